"""litellm's keys, read as prices of ours."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spendfuse.metering.catalogue import Rate, Rates
from spendfuse.metering.litellm_table import Listed, table_in


def listed(folder: Path, **model: Any) -> Listed:
    path = folder / "table.json"
    path.write_text(json.dumps({"some-model": model}))
    (only,) = table_in(path)
    return only


def standard(folder: Path, **model: Any) -> Rates:
    return listed(folder, **model).prices["standard"]


@pytest.mark.parametrize(
    ("key", "price", "unit", "usd"),
    [
        ("input_cost_per_token", 2.5e-06, "input_tokens", "2.5"),
        ("output_cost_per_token", 1e-05, "output_tokens", "10"),
        ("cache_read_input_token_cost", 1.25e-06, "cached_input_tokens", "1.25"),
        ("cache_creation_input_token_cost", 3.75e-06, "cache_write_tokens", "3.75"),
        ("cache_creation_input_token_cost_above_1hr", 6e-06, "cache_write_1h_tokens", "6"),
        ("output_cost_per_reasoning_token", 4e-06, "reasoning_tokens", "4"),
        ("input_cost_per_audio_token", 4e-05, "input_audio_tokens", "40"),
        ("output_cost_per_audio_token", 8e-05, "output_audio_tokens", "80"),
        ("input_cost_per_image_token", 1e-05, "input_image_tokens", "10"),
        ("input_cost_per_character", 1.5e-05, "characters", "15"),
        ("ocr_cost_per_page", 0.004, "pages", "4"),
        ("input_cost_per_token", 0.1 + 0.2, "input_tokens", "300000.00000000004"),
    ],
)
def test_a_price_of_one_unit_becomes_that_of_many_without_a_rounding(
    tmp_path: Path, key: str, price: float, unit: str, usd: str
) -> None:
    rates = standard(tmp_path, litellm_provider="openai", **{key: price})

    assert rates == {unit: Rate(Decimal(usd))}


def test_seconds_are_of_audio_where_a_model_transcribes_and_nowhere_else(tmp_path: Path) -> None:
    price = {"litellm_provider": "openai", "input_cost_per_second": 0.0001}
    other = {**price, "input_cost_per_token": 1e-06}

    assert standard(tmp_path, mode="audio_transcription", **price) == {
        "audio_seconds": Rate(Decimal("0.36"))
    }
    assert standard(tmp_path, mode="chat", **other).keys() == {"input_tokens"}


def test_a_key_says_tier_and_way_of_processing(tmp_path: Path) -> None:
    prices = listed(
        tmp_path,
        litellm_provider="openai",
        input_cost_per_token=1e-06,
        input_cost_per_token_above_272k_tokens=3e-06,
        input_cost_per_token_above_128k_tokens=2e-06,
        input_cost_per_token_priority=4e-06,
        cache_creation_input_token_cost_above_1hr=5e-06,
        cache_creation_input_token_cost_above_1hr_above_200k_tokens=6e-06,
        output_cost_per_token_flex=7e-06,
        output_cost_per_token_above_200k_tokens_batches=8e-06,
        input_cost_per_token_balanced=9e-06,
    ).prices

    assert prices == {
        "standard": {
            "input_tokens": Rate(
                Decimal(1), ((128_000, Decimal(2)), (272_000, Decimal(3)))
            ),
            "cache_write_1h_tokens": Rate(Decimal(5), ((200_000, Decimal(6)),)),
        },
        "priority": {"input_tokens": Rate(Decimal(4))},
        # A tier of a price that is not listed says nothing.
        "flex": {"output_tokens": Rate(Decimal(7))},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("openai", "openai"),
        ("text-completion-openai", "openai"),
        ("bedrock_converse", "aws"),
        ("vertex_ai-anthropic_models", "google"),
        ("vertex_ai", "google"),
        ("fireworks_ai-embedding-models", "fireworks"),
        ("azure_ai", "azure"),
        ("scx-ai", "scx-ai"),
    ],
)
def test_providers_have_the_book_s_names(tmp_path: Path, theirs: str, ours: str) -> None:
    found = listed(tmp_path, litellm_provider=theirs, input_cost_per_token=1e-06)

    assert found.provider == ours
