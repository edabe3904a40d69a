"""Rules that hold for every price and every usage.

More of anything that is not a discount on something else never costs less: fresh input, output,
thoughts, requests, searches. (More *cached* input does, when it was fresh before.) Within one
tier of prompt size, costs add up, to one rounding a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.metering.prices.listed import NOW
from unit.metering.prices.usages import added, more, plain_usages, usages

from spendfuse.metering.catalogue import Rate
from spendfuse.metering.price import Price, compiled
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.usage import Usage

BOOK = PriceBook.standard()
WITH_EVERYTHING = [
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "gpt-realtime"),
    ("openai", "gpt-realtime-mini"),
    ("openai", "gpt-4o-realtime-preview"),
    ("openai", "gpt-image-1.5"),
    ("google", "gemini-2.5-flash"),
    ("google", "gemini-3-pro-image-preview"),
    ("google", "gemini-live-2.5-flash"),
    ("aws", "amazon.nova-2-sonic-v1:0"),
]
PLAIN = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4"),
    ("openai", "gpt-5.5"),
    ("openai", "gpt-5.6-sol"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-5-5"),
    ("aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-1.5-flash"),
    ("x-ai", "grok-4.3"),
    ("perplexity", "sonar-pro"),
    ("perplexity", "sonar-deep-research"),
    ("azure", "eu/gpt-4o"),
    ("openrouter", "google/gemini-2.5-pro"),
]


def _cases() -> st.SearchStrategy[tuple[Price, Usage]]:
    def drawn(names: list[tuple[str, str]], usage: st.SearchStrategy[Usage]) -> Any:
        prices = [BOOK.price_of(provider, model, at=NOW) for provider, model in names]
        return st.tuples(st.sampled_from(prices), usage)

    return drawn(WITH_EVERYTHING + PLAIN, usages()) | drawn(PLAIN, plain_usages())


CASES = _cases()


@given(CASES, st.sampled_from(["input_tokens", "output_tokens", "requests"]), st.integers(1, 10**6))
def test_more_of_what_is_no_discount_never_costs_less(
    case: tuple[Price, Usage], name: str, count: int
) -> None:
    price, usage = case

    assert price.nano_usd(more(usage, **{name: count})) >= price.nano_usd(usage)


@given(CASES, st.integers(1, 10**6))
def test_thinking_more_never_costs_less(case: tuple[Price, Usage], count: int) -> None:
    price, usage = case
    thought = more(usage, output_tokens=count, reasoning_tokens=count)

    assert price.nano_usd(thought) >= price.nano_usd(usage)


@given(st.sampled_from(["claude-sonnet-4-5", "claude-opus-5"]), plain_usages(), st.integers(1, 99))
def test_searching_more_costs_more(model: str, usage: Usage, count: int) -> None:
    price = BOOK.price_of("anthropic", model, at=NOW)

    assert price.nano_usd(more(usage, web_searches=count)) - price.nano_usd(usage) == count * 10**7


@given(
    st.sampled_from(PLAIN),
    plain_usages(st.integers(0, 12_000)),
    plain_usages(st.integers(0, 12_000)),
)
def test_costs_add_up_within_a_tier_but_for_one_rounding(
    name: tuple[str, str], left: Usage, right: Usage
) -> None:
    price = BOOK.price_of(*name, at=NOW)

    apart = price.nano_usd(left) + price.nano_usd(right)
    assert 0 <= apart - price.nano_usd(added(left, right)) <= 1


@given(st.sampled_from(WITH_EVERYTHING), usages(), usages())
def test_spoken_and_seen_parts_add_up_too(name: tuple[str, str], left: Usage, right: Usage) -> None:
    price = BOOK.price_of(*name, at=NOW)

    apart = price.nano_usd(left) + price.nano_usd(right)
    assert 0 <= apart - price.nano_usd(added(left, right)) <= 1


@given(CASES)
def test_a_cost_is_the_sum_of_its_parts_rounded_up_once(case: tuple[Price, Usage]) -> None:
    price, usage = case

    total = sum((part.usd for part in price.parts(usage)), Decimal(0))
    assert price.nano_usd(usage) == ceil(total * 10**9)
    assert all(part.usd >= 0 and part.count >= 0 for part in price.parts(usage))


@given(st.sampled_from(WITH_EVERYTHING + PLAIN), usages())
def test_nothing_of_a_cost_is_a_float(name: tuple[str, str], usage: Usage) -> None:
    cost = BOOK.price(*name, usage, at=NOW)

    assert type(cost.nano_usd) is int
    assert cost.nano_usd >= 0
    assert type(cost.usd) is Decimal
    assert not [each for each in _inside(cost.parts()) if isinstance(each, float)]
    assert not [each for each in _inside(cost.price.rates) if isinstance(each, float)]
    assert not [each for each in _inside(cost.price.terms) if isinstance(each, float)]


def _inside(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _inside(each)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _inside(getattr(value, name))


def test_parts_that_overlap_without_saying_so_never_cost_less_than_nothing() -> None:
    usd = {"input_tokens": 10, "cached_input_tokens": 1, "input_image_tokens": 2}
    rates = {unit: Rate(Decimal(amount)) for unit, amount in usd.items()}
    price = compiled(rates, provider="x", model="m", version="v", source="")
    seen_again = Usage(input_tokens=100, cached_input_tokens=100, input_image_tokens=100)

    assert price.nano_usd(seen_again) == 0


@pytest.mark.parametrize(("own", "nano"), [(None, 6 * 10**9), ("3", 3 * 10**9)])
def test_cached_audio_costs_what_audio_does_where_the_list_has_no_discount_for_it(
    own: str | None, nano: int
) -> None:
    usd = {"input_tokens": "2", "cached_input_tokens": "1", "input_audio_tokens": "6"}
    usd |= {"cached_audio_tokens": own} if own else {}
    rates = {unit: Rate(Decimal(amount)) for unit, amount in usd.items()}
    price = compiled(rates, provider="x", model="m", version="v", source="")
    heard_again = dict.fromkeys(
        ["input_tokens", "cached_input_tokens", "input_audio_tokens", "cached_audio_tokens"], 10**6
    )

    assert price.nano_usd(Usage(**heard_again)) == nano


@pytest.mark.parametrize("provider", sorted({provider for provider, _ in BOOK.names()}))
def test_every_price_of_every_provider_is_whole_nano_dollars_and_none_is_negative(
    provider: str,
) -> None:
    for name in BOOK.names(provider):
        price = BOOK.price_of(*name, at=NOW)
        for rate in price.rates.values():
            assert all(type(usd) is Decimal and usd >= 0 for _, usd in [(0, rate.usd), *rate.tiers])
        for terms in [price.terms, *(terms for _, terms in price.tiers)]:
            assert all(type(nano) is int for _, nano in terms)


@settings(max_examples=50)
@given(usages(st.integers(0, 10**11)))
def test_huge_counts_are_priced_exactly(usage: Usage) -> None:
    price = BOOK.price_of("openai", "gpt-realtime", at=NOW)

    total = sum((part.usd for part in price.parts(usage)), Decimal(0))
    assert price.nano_usd(usage) == ceil(total * 10**9)
