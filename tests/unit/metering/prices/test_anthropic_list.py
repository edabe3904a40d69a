"""Anthropic's list, at https://platform.claude.com/docs/en/about-claude/pricing.

Written for five minutes costs 1.25 times the input, for an hour twice, read a tenth (less for the
newest); a batch costs half of everything.
"""

from __future__ import annotations

import pytest
from unit.metering.prices.listed import Case, assert_costs_what_is_listed, case

from spendfuse.metering.price_book import PriceBook

PLAIN = [
    case("anthropic", "claude-sonnet-4-5", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-sonnet-4-5-20250929", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-sonnet-4-20250514", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-4-1-20250805", "1000 * 15.00/M + 500 * 75.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-4-5", "1000 * 5.00/M + 500 * 25.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-4-7", "1000 * 5.00/M + 500 * 25.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-5-5", "1000 * 4.00/M + 500 * 20.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-haiku-4-5-20251001", "1000 * 1.00/M + 500 * 5.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-3-5-haiku-20241022", "1000 * 0.80/M + 500 * 4.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-3-haiku-20240307", "1000 * 0.25/M + 500 * 1.25/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-3-5-sonnet-latest", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-3-7-sonnet-20250219", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500, reasoning_tokens=300),
    case("anthropic", "claude-3-opus-20240229", "1000 * 15.00/M + 500 * 75.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-2.1", "1000 * 8.00/M + 500 * 24.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-5[1m]", "900_000 * 5.00/M + 500 * 25.00/M",
         input_tokens=900_000, output_tokens=500),
    case("", "anthropic/claude-sonnet-4-5", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("Anthropic", " Claude-Sonnet-4-5 ", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-sonnet-4-5", "1000 * 3.00/M + 500 * 15.00/M + 2 * 10/K",
         input_tokens=1000, output_tokens=500, web_searches=2),
]  # fmt: skip
CACHE = [
    case("anthropic", "claude-sonnet-4-5", "100 * 3.00/M + 9900 * 0.30/M + 500 * 15.00/M",
         input_tokens=10_000, cached_input_tokens=9900, output_tokens=500),
    case("anthropic", "claude-sonnet-4-5", "100 * 3.00/M + 9900 * 3.75/M + 500 * 15.00/M",
         input_tokens=10_000, cache_write_tokens=9900, output_tokens=500),
    case("anthropic", "claude-sonnet-4-5", "100 * 3.00/M + 9900 * 6.00/M + 500 * 15.00/M",
         input_tokens=10_000, cache_write_tokens=9900, cache_write_1h_tokens=9900,
         output_tokens=500),
    case("anthropic", "claude-opus-4-5",
         "100 * 5.00/M + 900 * 6.25/M + 2000 * 10.00/M + 7000 * 0.50/M + 500 * 25.00/M",
         input_tokens=10_000, cache_write_tokens=2900, cache_write_1h_tokens=2000,
         cached_input_tokens=7000, output_tokens=500),
    case("anthropic", "claude-haiku-4-5",
         "1 * 1.00/M + 999 * 1.25/M + 4000 * 0.10/M + 7 * 5.00/M",
         input_tokens=5000, cache_write_tokens=999, cached_input_tokens=4000, output_tokens=7),
    case("anthropic", "claude-3-haiku-20240307",
         "100 * 0.25/M + 400 * 0.30/M + 500 * 0.03/M + 7 * 1.25/M",
         input_tokens=1000, cache_write_tokens=400, cached_input_tokens=500, output_tokens=7),
    # The newest read the cache for a twentieth, Fable 5.1 for a fortieth.
    case("anthropic", "claude-opus-5-5", "100 * 4.00/M + 900 * 0.20/M + 7 * 20.00/M",
         input_tokens=1000, cached_input_tokens=900, output_tokens=7),
    case("anthropic", "claude-fable-5-1", "100 * 10.00/M + 900 * 0.25/M + 7 * 50.00/M",
         input_tokens=1000, cached_input_tokens=900, output_tokens=7),
]  # fmt: skip
PROCESSING = [
    case("anthropic", "claude-sonnet-4-5", "1000 * 1.50/M + 500 * 7.50/M", batch=True,
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-4-7", "1000 * 2.50/M + 500 * 12.50/M", batch=True,
         input_tokens=1000, output_tokens=500),
    # The multipliers of the cache stack with the batch's half.
    case("anthropic", "claude-opus-4-5",
         "100 * 2.50/M + 900 * 3.125/M + 2000 * 5.00/M + 7000 * 0.25/M + 500 * 12.50/M", batch=True,
         input_tokens=10_000, cache_write_tokens=2900, cache_write_1h_tokens=2000,
         cached_input_tokens=7000, output_tokens=500),
    case("anthropic", "claude-3-5-sonnet-20241022", "1000 * 1.50/M + 500 * 7.50/M", batch=True,
         at="2025-01-01", input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-sonnet-4-5", "1000 * 1.50/M + 500 * 7.50/M + 2 * 10/K", batch=True,
         input_tokens=1000, output_tokens=500, web_searches=2),
    # Priority is bought beforehand: what it uses is counted at the list price.
    case("anthropic", "claude-sonnet-4-5", "1000 * 3.00/M + 500 * 15.00/M", tier="priority",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-sonnet-4-5", "1000 * 3.00/M + 500 * 15.00/M", tier="standard",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "claude-opus-4-8", "100 * 10.00/M + 900 * 1.00/M + 500 * 50.00/M",
         tier="fast", input_tokens=1000, cached_input_tokens=900, output_tokens=500),
    case("anthropic", "claude-opus-4-6", "100 * 30.00/M + 900 * 3.00/M + 500 * 150.00/M",
         tier="fast", at="2026-04-01", input_tokens=1000, cached_input_tokens=900,
         output_tokens=500),
    case("anthropic", "claude-opus-4-6", "1000 * 5.00/M + 500 * 25.00/M", tier="fast",
         input_tokens=1000, output_tokens=500),
    # In the United States alone: a tenth more on all tokens, and on nothing else.
    case("anthropic", "us/claude-opus-4-6",
         "100 * 5.50/M + 900 * 0.55/M + 500 * 27.50/M + 2 * 10/K",
         input_tokens=1000, cached_input_tokens=900, output_tokens=500, web_searches=2),
    case("anthropic", "us/claude-opus-4-8", "1000 * 11.00/M + 500 * 55.00/M", tier="fast",
         input_tokens=1000, output_tokens=500),
    case("anthropic", "us/claude-sonnet-4-6", "1000 * 1.65/M + 500 * 8.25/M", batch=True,
         input_tokens=1000, output_tokens=500),
]  # fmt: skip
LONG = [
    case("anthropic", "claude-sonnet-4-5", "199_999 * 3.00/M + 1000 * 15.00/M",
         input_tokens=199_999, output_tokens=1000),
    case("anthropic", "claude-sonnet-4-5", "200_000 * 3.00/M + 1000 * 15.00/M",
         input_tokens=200_000, output_tokens=1000),
    case("anthropic", "claude-sonnet-4-5", "200_001 * 6.00/M + 1000 * 22.50/M",
         input_tokens=200_001, output_tokens=1000),
    # What was read and written counts towards the limit.
    case("anthropic", "claude-sonnet-4-5",
         "1000 * 6.00/M + 50_000 * 7.50/M + 150_000 * 0.60/M + 1000 * 22.50/M",
         input_tokens=201_000, cache_write_tokens=50_000, cached_input_tokens=150_000,
         output_tokens=1000),
    case("anthropic", "claude-sonnet-4-5", "201_000 * 3.00/M + 1000 * 11.25/M", batch=True,
         input_tokens=201_000, output_tokens=1000),
    case("anthropic", "claude-sonnet-4-20250514", "200_001 * 6.00/M + 1000 * 22.50/M",
         at="2025-10-01", input_tokens=200_001, output_tokens=1000),
    case("anthropic", "claude-opus-4-6", "200_001 * 10.00/M + 1000 * 37.50/M", at="2026-03-12",
         input_tokens=200_001, output_tokens=1000),
    case("anthropic", "claude-opus-4-6", "200_001 * 5.00/M + 1000 * 25.00/M", at="2026-03-13",
         input_tokens=200_001, output_tokens=1000),
    case("anthropic", "claude-haiku-5-5", "100_000 * 0.10/M + 1000 * 0.50/M",
         input_tokens=100_000, output_tokens=1000),
    case("anthropic", "claude-haiku-5-5", "100_001 * 0.50/M + 1000 * 2.50/M",
         input_tokens=100_001, output_tokens=1000),
]  # fmt: skip


@pytest.mark.parametrize("each", [*PLAIN, *CACHE, *PROCESSING, *LONG])
def test_anthropic_costs_what_its_list_says(book: PriceBook, each: Case) -> None:
    assert_costs_what_is_listed(book, each)
