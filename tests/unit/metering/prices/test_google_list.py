"""Google's lists: https://ai.google.dev/gemini-api/docs/pricing, and that of Vertex AI."""

from __future__ import annotations

import pytest
from unit.metering.prices.listed import Case, assert_costs_what_is_listed, case

from spendfuse.metering.price_book import PriceBook

GEMINI = [
    case("google", "gemini-2.5-flash", "1000 * 0.30/M + 500 * 2.50/M",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-2.5-flash", "100 * 0.30/M + 900 * 0.03/M + 500 * 2.50/M",
         input_tokens=1000, cached_input_tokens=900, output_tokens=500),
    case("google", "gemini-2.5-flash", "100 * 0.30/M + 900 * 1.00/M + 500 * 2.50/M",
         input_tokens=1000, input_audio_tokens=900, output_tokens=500),
    case("google", "gemini-2.5-flash",
         "100 * 0.30/M + 600 * 1.00/M + 300 * 0.10/M + 500 * 2.50/M",
         input_tokens=1000, input_audio_tokens=900, cached_input_tokens=300,
         cached_audio_tokens=300, output_tokens=500),
    # Images are input like any other, and thoughts are output.
    case("google", "gemini-2.5-flash", "1000 * 0.30/M + 500 * 2.50/M",
         input_tokens=1000, input_image_tokens=516, output_tokens=500, reasoning_tokens=400),
    case("google", "gemini-2.5-flash-lite", "1000 * 0.10/M + 500 * 0.40/M",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-2.0-flash-001", "1000 * 0.10/M + 500 * 0.40/M",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-2.0-flash", "900 * 0.70/M + 500 * 0.40/M",
         input_tokens=900, input_audio_tokens=900, output_tokens=500),
    case("google", "gemini-1.5-pro-002", "128_001 * 2.50/M + 500 * 10.00/M",
         input_tokens=128_001, output_tokens=500),
    case("google", "gemini-1.5-flash-8b", "1000 * 0.0375/M + 500 * 0.15/M",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-2.5-flash-image", "1000 * 0.30/M + 1290 * 30.00/M",
         input_tokens=1000, output_tokens=1290, output_image_tokens=1290),
    case("google", "gemini-3-pro-image-preview", "1000 * 2.00/M + 200 * 12.00/M + 1120 * 120.00/M",
         input_tokens=1000, output_tokens=1320, output_image_tokens=1120),
    case("google", "gemini-2.5-flash-preview-tts", "100 * 0.50/M + 900 * 10.00/M",
         input_tokens=100, output_tokens=900, output_audio_tokens=900),
    case("google", "gemini-embedding-001", "2048 * 0.15/M", input_tokens=2048),
    case("google", "gemini-embedding-001", "2048 * 0.075/M", batch=True, input_tokens=2048),
    case("google", "text-embedding-005", "8000 * 0.025/M", characters=8000),
    case("google", "gemini-2.5-pro", "1000 * 1.25/M + 500 * 10.00/M + 2 * 35/K",
         input_tokens=1000, output_tokens=500, web_searches=2),
    case("google", "gemini-3-flash-preview", "1000 * 0.50/M + 500 * 3.00/M + 2 * 14/K",
         input_tokens=1000, output_tokens=500, web_searches=2),
]  # fmt: skip
LONG = [
    case("google", "gemini-2.5-pro", "199_999 * 1.25/M + 1000 * 10.00/M",
         input_tokens=199_999, output_tokens=1000),
    case("google", "gemini-2.5-pro", "200_000 * 1.25/M + 1000 * 10.00/M",
         input_tokens=200_000, output_tokens=1000),
    case("google", "gemini-2.5-pro", "200_001 * 2.50/M + 1000 * 15.00/M",
         input_tokens=200_001, output_tokens=1000),
    case("google", "gemini-2.5-pro", "100_000 * 1.25/M + 100_000 * 0.125/M + 1000 * 10.00/M",
         input_tokens=200_000, cached_input_tokens=100_000, output_tokens=1000),
    case("google", "gemini-2.5-pro", "100_000 * 2.50/M + 150_000 * 0.25/M + 1000 * 15.00/M",
         input_tokens=250_000, cached_input_tokens=150_000, output_tokens=1000),
    case("google", "gemini-3-pro-preview", "200_001 * 4.00/M + 1000 * 18.00/M",
         input_tokens=200_001, output_tokens=1000),
    case("google", "gemini-2.5-pro", "200_001 * 1.25/M + 1000 * 7.50/M", batch=True,
         input_tokens=200_001, output_tokens=1000),
    case("google", "gemini-2.5-pro", "200_001 * 4.50/M + 1000 * 27.00/M", tier="priority",
         input_tokens=200_001, output_tokens=1000),
]  # fmt: skip
PROCESSING = [
    case("google", "gemini-2.5-flash", "1000 * 0.15/M + 500 * 1.25/M", batch=True,
         input_tokens=1000, output_tokens=500),
    # The cache's discount takes precedence over the batch's: they don't stack.
    case("google", "gemini-2.5-pro", "100 * 0.625/M + 900 * 0.125/M + 500 * 5.00/M", batch=True,
         input_tokens=1000, cached_input_tokens=900, output_tokens=500),
    case("google", "gemini-2.5-flash", "100 * 0.15/M + 900 * 0.50/M + 500 * 1.25/M", batch=True,
         input_tokens=1000, input_audio_tokens=900, output_tokens=500),
    case("google", "gemini-2.5-pro", "1000 * 0.625/M + 500 * 5.00/M", tier="flex",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-2.5-flash", "1000 * 0.54/M + 500 * 4.50/M", tier="priority",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-2.5-flash", "1000 * 0.15/M + 500 * 1.25/M", batch=True, at="2025-10-01",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-3.8-flash", "1000 * 1.50/M + 500 * 7.50/M", at="2027-01-01",
         input_tokens=1000, output_tokens=500),
    case("google", "gemini-3.8-flash", "1000 * 0.75/M + 500 * 3.75/M", at="2026-12-31T23:59:59",
         input_tokens=1000, output_tokens=500),
]  # fmt: skip
NAMES = [
    case(provider, name, "1000 * 1.25/M + 500 * 10.00/M", input_tokens=1000, output_tokens=500)
    for provider, name in [
        ("gemini", "gemini-2.5-pro"),
        ("", "gemini-2.5-pro"),
        ("", "gemini/gemini-2.5-pro"),
        ("", "vertex_ai/gemini-2.5-pro"),
        ("google-gla", "gemini-2.5-pro"),
        ("vertexai", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "models/gemini-2.5-pro"),
        ("google-vertex", "publishers/google/models/gemini-2.5-pro"),
        ("google", "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro"),
        ("google", "gemini-2.5-pro-preview-05-06"),
    ]
]
CLAUDE = [
    case("google", "claude-sonnet-4-5@20250929", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("vertex_ai", "claude-opus-4-1@20250805", "1000 * 15.00/M + 500 * 75.00/M",
         input_tokens=1000, output_tokens=500),
    case("vertex_ai", "claude-3-5-sonnet-v2@20241022", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("vertex_ai", "claude-haiku-4-5@20251001", "1000 * 0.50/M + 500 * 2.50/M", batch=True,
         input_tokens=1000, output_tokens=500),
    # A region costs a tenth more than the world, since Claude 4.5.
    case("vertex_ai", "projects/p/locations/us-east5/publishers/anthropic/models/"
         "claude-sonnet-4-5@20250929", "1000 * 3.30/M + 500 * 16.50/M",
         input_tokens=1000, output_tokens=500),
    case("vertex_ai", "projects/p/locations/global/publishers/anthropic/models/"
         "claude-sonnet-4-5@20250929", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("vertex_ai", "projects/p/locations/us-east5/publishers/anthropic/models/"
         "claude-sonnet-4@20250514", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
]  # fmt: skip


@pytest.mark.parametrize("each", [*GEMINI, *LONG, *PROCESSING, *NAMES, *CLAUDE])
def test_google_costs_what_its_list_says(book: PriceBook, each: Case) -> None:
    assert_costs_what_is_listed(book, each)
