"""Batches and tiers: what they are called, which contradict each other, who has none."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from unit.metering.prices.listed import NOW

from spendfuse.metering.price_book import PriceBook, PriceError
from spendfuse.metering.processing import processing_of
from spendfuse.metering.usage import Usage

A_CALL = Usage(input_tokens=1_000_000)


@pytest.mark.parametrize(
    "tier", [None, "", "default", "standard", "auto", "on_demand", " Default ", "STANDARD"]
)
def test_what_is_no_tier_of_its_own_is_standard(book: PriceBook, tier: str | None) -> None:
    cost = book.price("openai", "gpt-5", A_CALL, at=NOW, tier=tier)

    assert cost.usd == Decimal("1.25")
    assert cost.price.tier == "standard"


@pytest.mark.parametrize(
    ("tier", "batch"), [("batch", False), ("batch", True), ("default", True), (None, True)]
)
def test_a_batch_may_be_said_either_way(tier: str | None, batch: bool) -> None:
    assert processing_of(tier, batch=batch) == "batch"


@pytest.mark.parametrize("tier", ["flex", "priority", "fast"])
def test_a_batch_of_another_tier_is_a_contradiction(book: PriceBook, tier: str) -> None:
    with pytest.raises(PriceError, match=f"either in a batch or of tier '{tier}'"):
        book.price("openai", "gpt-5", A_CALL, at=NOW, tier=tier, batch=True)


def test_an_unknown_tier_is_named_with_those_that_there_are(book: PriceBook) -> None:
    with pytest.raises(PriceError, match="no tier 'turbo'; there are fast, flex, priority"):
        book.price("openai", "gpt-5", A_CALL, at=NOW, tier="turbo")


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("openai", "gpt-4o", "flex"),
        ("openai", "gpt-5-nano", "priority"),
        ("openai", "gpt-5-pro", "flex"),
        ("anthropic", "claude-sonnet-4-5", "flex"),
        ("anthropic", "claude-sonnet-4-5", "fast"),
        ("aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "flex"),
        ("azure", "gpt-4o", "flex"),
        ("google", "gemini-1.5-pro", "priority"),
        ("groq", "llama-3.3-70b-versatile", "flex"),
        ("deepseek", "deepseek-v4-pro", "batch"),
    ],
)
def test_a_tier_that_a_model_lacks_has_no_price_rather_than_the_standard_one(
    book: PriceBook, provider: str, model: str, tier: str
) -> None:
    with pytest.raises(PriceError) as raised:
        book.price(provider, model, A_CALL, at=NOW, tier=tier)

    assert f"no {tier} price; there are standard" in str(raised.value)


def test_the_error_names_the_ways_that_a_model_has(book: PriceBook) -> None:
    with pytest.raises(PriceError, match=r"there are standard, batch, fast, priority\. Add"):
        book.price("openai", "gpt-4o", A_CALL, at=NOW, tier="flex")
    with pytest.raises(PriceError, match=r"there are standard, batch, priority\. Add"):
        book.price("anthropic", "claude-3-haiku-20240307", A_CALL, at=NOW, tier="fast")


def test_a_reseller_does_not_inherit_the_makers_tiers(book: PriceBook) -> None:
    assert book.price("openai", "gpt-5.4-mini", A_CALL, at=NOW, tier="flex").nano_usd
    with pytest.raises(PriceError, match="no flex price"):
        book.price("azure", "gpt-5.4-mini", A_CALL, at=NOW, tier="flex")


@pytest.mark.parametrize(
    ("day", "usd"), [("2025-05-01", "5"), ("2025-06-10", "1"), ("2026-10-14", "1")]
)
def test_before_the_book_knew_of_batches_they_cost_half_all_the_same(
    book: PriceBook, day: str, usd: str
) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)

    assert book.price("openai", "o3", A_CALL, at=at, batch=True).usd == Decimal(usd)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "named"),
    [
        ("openai", "gpt-4o", Usage(characters=5), "characters (5)"),
        ("openai", "tts-1", Usage(input_tokens=5), "input_tokens (5)"),
        ("openai", "whisper-1", Usage(input_tokens=7, output_tokens=3), "output_tokens (3)"),
        ("openai", "text-embedding-3-small", Usage(output_tokens=2), "output_tokens (2)"),
        ("openai", "gpt-4.1-nano", Usage(input_tokens=1, web_searches=1), "web_searches (1)"),
        ("groq", "llama-3.3-70b-versatile", Usage(pages=1, audio_seconds=2), "pages (1)"),
    ],
)
def test_a_unit_without_a_price_is_an_error_that_names_it(
    book: PriceBook, provider: str, model: str, usage: Usage, named: str
) -> None:
    with pytest.raises(PriceError) as raised:
        book.price(provider, model, usage, at=NOW)

    assert f"{model} has no price for " in str(raised.value)
    assert named in str(raised.value)


@pytest.mark.parametrize("usage", [Usage(), Usage(requests=0), Usage(requests=7)])
def test_using_nothing_costs_nothing(book: PriceBook, usage: Usage) -> None:
    cost = book.price("openai", "gpt-4o", usage, at=NOW)

    assert cost.nano_usd == 0
    assert cost.parts() == []
