"""Prices of your own: negotiated, free, by another name, for some days; and every mistake named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from unit.metering.prices.listed import NOW

from spendfuse.errors import InputError
from spendfuse.metering.genai_prices import genai_catalogue
from spendfuse.metering.overrides import parsed
from spendfuse.metering.price_book import BUILT_IN, PriceBook, PriceError, UnknownModelError
from spendfuse.metering.usage import Usage
from spendfuse.metering.yaml_file import overrides_in

IN, OUT = Usage(input_tokens=1_000_000), Usage(output_tokens=1_000_000)
Make = Callable[..., PriceBook]


@pytest.fixture
def with_prices() -> Make:
    def make(*prices: dict[str, Any]) -> PriceBook:
        own = parsed({"schema": 1, "version": "ours", "prices": list(prices)}, name="own")
        return PriceBook(genai_catalogue(), [overrides_in(BUILT_IN), own])

    return make


def usd(book: PriceBook, provider: str, model: str, usage: Usage = IN, **options: Any) -> Decimal:
    return book.price(provider, model, usage, **({"at": NOW} | options)).usd


def test_a_patch_changes_what_it_names_and_leaves_the_rest(with_prices: Make) -> None:
    book = with_prices({"provider": "openai", "models": ["gpt-4o"], "usd": {"input_tokens": 2}})

    assert usd(book, "openai", "gpt-4o") == 2
    assert usd(book, "openai", "gpt-4o", OUT) == 10
    assert usd(book, "openai", "gpt-4o-mini") == Decimal("0.15")


def test_an_entry_defines_a_model_that_nobody_knew(with_prices: Make) -> None:
    entry = {"provider": "acme", "models": ["house-llm"], "usd": {"input_tokens": 7}}
    book = with_prices(entry | {"source": "https://acme.example/contract"})

    assert usd(book, "acme", "house-llm") == 7
    assert usd(book, "", "house-llm") == 7
    assert usd(book, "", "acme/house-llm") == 7
    assert ("acme", "house-llm") in book.names()
    assert book.price_of("acme", "house-llm", at=NOW).source == "https://acme.example/contract"


def test_a_seller_of_your_own_is_not_taken_for_the_one_that_its_name_contains(
    with_prices: Make,
) -> None:
    entry = {"provider": "acme-openai", "models": ["gpt-4o"], "usd": {"input_tokens": 7}}
    book = with_prices(entry)

    assert usd(book, "acme-openai", "gpt-4o") == 7
    assert usd(book, "openai", "gpt-4o") == Decimal("2.5")
    with pytest.raises(UnknownModelError):
        usd(book, "acme-openai", "gpt-4o-mini")


def test_what_a_defined_model_has_no_price_for_is_an_error(with_prices: Make) -> None:
    book = with_prices({"provider": "acme", "models": ["house-llm"], "usd": {"input_tokens": 7}})

    with pytest.raises(PriceError, match=r"house-llm has no price for output_tokens \(1000000\)"):
        usd(book, "acme", "house-llm", OUT)


def test_an_entry_that_only_discounts_makes_no_model_known(with_prices: Make) -> None:
    book = with_prices({"provider": "acme", "models": ["*"], "discount_percent": 10})

    with pytest.raises(UnknownModelError):
        usd(book, "acme", "house-llm")


@pytest.mark.parametrize("provider", ["vllm", "", "openai"])
def test_a_model_on_premise_is_free_whoever_is_named(with_prices: Make, provider: str) -> None:
    book = with_prices({"provider": "*", "models": ["house-*"], "free": True})

    cost = book.price(provider, "house-llm-7b", Usage(input_tokens=5, pages=3), at=NOW)
    assert cost.nano_usd == 0
    assert cost.parts() == []
    assert usd(book, provider, "house-llm-7b", batch=True) == 0
    assert usd(book, provider, "house-llm-7b", tier="flex") == 0


def test_a_discount_is_off_every_price_and_every_way_of_processing(with_prices: Make) -> None:
    book = with_prices({"provider": "openai", "models": ["gpt-5*"], "discount_percent": 12.5})

    assert usd(book, "openai", "gpt-5") == Decimal("1.09375")
    assert usd(book, "openai", "gpt-5", batch=True) == Decimal("0.546875")
    assert usd(book, "openai", "gpt-5", tier="priority") == Decimal("2.1875")
    assert usd(book, "openai", "gpt-5", Usage(web_searches=1000)) == Decimal("8.75")


def test_a_surcharge_is_on_tokens_alone(with_prices: Make) -> None:
    book = with_prices({"provider": "openai", "models": ["gpt-5"], "surcharge_percent": "10"})

    assert usd(book, "openai", "gpt-5") == Decimal("1.375")
    assert usd(book, "openai", "gpt-5", Usage(web_searches=1000)) == 10


def test_discounts_multiply(with_prices: Make) -> None:
    entry = {"provider": "openai", "models": ["gpt-5"], "discount_percent": 50}
    book = with_prices(entry, entry)

    assert usd(book, "openai", "gpt-5") == Decimal("0.3125")


def test_an_alias_has_the_prices_of_what_it_is_like_and_its_own_on_top(with_prices: Make) -> None:
    book = with_prices(
        {"provider": "azure", "models": ["prod-chat"], "like": "azure/gpt-4o"},
        {"provider": "azure", "models": ["prod-*"], "discount_percent": 20},
    )

    assert usd(book, "azure", "prod-chat") == 2
    assert usd(book, "azure", "prod-chat", batch=True) == 1
    assert usd(book, "", "prod-chat") == 2


def test_an_alias_of_an_alias_of_an_alias_is_found(with_prices: Make) -> None:
    book = with_prices(
        {"provider": "azure", "models": ["one"], "like": "azure/two"},
        {"provider": "azure", "models": ["two"], "like": "acme/three"},
        {"provider": "acme", "models": ["three"], "usd": {"input_tokens": 3}},
    )

    assert usd(book, "azure", "one") == 3


def test_aliases_in_a_circle_are_an_error(with_prices: Make) -> None:
    book = with_prices(
        {"provider": "azure", "models": ["one"], "like": "azure/two"},
        {"provider": "azure", "models": ["two"], "like": "azure/one"},
    )

    with pytest.raises(PriceError, match="'one': `like` in the price overrides goes round"):
        usd(book, "azure", "one")


def test_an_alias_of_an_unknown_model_says_which(with_prices: Make) -> None:
    book = with_prices({"provider": "azure", "models": ["one"], "like": "azure/gpt-99"})

    with pytest.raises(PriceError, match="`like: azure/gpt-99` in the price overrides"):
        usd(book, "azure", "one")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-01-31T23:59:59.999999", "2.5"),
        ("2026-02-01T00:00:00", "2"),
        ("2026-02-28T23:59:59.999999", "2"),
        ("2026-03-01T00:00:00", "2.5"),
    ],
)
def test_an_entry_holds_from_its_day_until_its_day(
    with_prices: Make, at: str, expected: str
) -> None:
    entry = {"provider": "openai", "models": ["gpt-4o"], "usd": {"input_tokens": 2}}
    book = with_prices(entry | {"from": "2026-02-01", "until": "2026-03-01"})

    assert usd(
        book, "openai", "gpt-4o", at=datetime.fromisoformat(at).replace(tzinfo=UTC)
    ) == Decimal(expected)


def test_a_model_has_no_price_before_the_day_from_which_it_is_defined(with_prices: Make) -> None:
    entry = {"provider": "acme", "models": ["house-llm"], "usd": {"input_tokens": 7}}
    book = with_prices(entry | {"from": "2026-02-01"})
    before = datetime(2026, 1, 31, tzinfo=UTC)

    with pytest.raises(PriceError, match="no price for house-llm on 2026-01-31"):
        usd(book, "acme", "house-llm", at=before)
    assert usd(book, "acme", "house-llm") == 7
    with pytest.raises(PriceError):
        usd(book, "acme", "house-llm", at=before)


def test_the_price_tells_the_source_of_what_holds_and_bears_on_it(with_prices: Make) -> None:
    entry = {"provider": "openai", "models": ["o3"], "usd": {"input_tokens": 2}}
    book = with_prices(
        entry | {"source": "https://now.example"},
        entry | {"until": "2025-01-01", "source": "https://then.example"},
        {"provider": "openai", "models": ["o3"], "processing": {"flex": 1}, "source": "https://f"},
    )

    assert book.price_of("openai", "o3", at=NOW).source == "https://now.example"
    assert book.price_of("openai", "o3", at=NOW, tier="flex").source == "https://f"


def test_the_price_tells_since_when_it_holds(with_prices: Make) -> None:
    entry = {"provider": "openai", "models": ["gpt-4o"], "usd": {"input_tokens": 2}}
    book = with_prices(entry | {"from": "2026-02-01", "until": "2026-03-01"})

    def since(year: int, month: int) -> str:
        at = datetime(year, month, 15, tzinfo=UTC)
        return str(book.price_of("openai", "gpt-4o", at=at).valid_from)

    assert [since(2026, 1), since(2026, 2), since(2026, 3)] == [
        "2024-10-02", "2026-02-01", "2026-03-01",
    ]  # fmt: skip


def test_a_later_entry_wins_over_an_earlier_one(with_prices: Make) -> None:
    book = with_prices(
        {"provider": "openai", "models": ["gpt-4o*"], "usd": {"input_tokens": 4}},
        {"provider": "openai", "models": ["gpt-4o"], "usd": {"input_tokens": 3}},
        {"provider": "x", "models": ["a"], "free": True},
        {"provider": "x", "models": ["a"], "usd": {"input_tokens": 1}},
        {"provider": "x", "models": ["b"], "usd": {"input_tokens": 1}},
        {"provider": "x", "models": ["b"], "free": True},
    )

    assert usd(book, "openai", "gpt-4o") == 3
    assert usd(book, "openai", "gpt-4o-mini") == 4
    assert usd(book, "x", "a") == 1
    assert usd(book, "x", "b") == 0


def test_yours_wins_over_ours(with_prices: Make) -> None:
    model = "eu.amazon.nova-pro-v1:0"
    book = with_prices({"provider": "bedrock", "models": [model], "usd": {"input_tokens": 9}})

    assert usd(book, "aws", model) == 9
    assert usd(book, "aws", model, OUT) == Decimal("4.2")


def test_a_batch_price_of_yours_is_taken_as_it_stands(with_prices: Make) -> None:
    batch = {"input_tokens": 0.7}
    book = with_prices(
        {"provider": "openai", "models": ["gpt-5"], "processing": {"batch": batch, "flex": 0.8}}
    )

    assert usd(book, "openai", "gpt-5", batch=True) == Decimal("0.7")
    assert usd(book, "openai", "gpt-5", OUT, batch=True) == 10
    assert usd(book, "openai", "gpt-5", tier="flex") == 1


def test_a_batch_keeps_its_proportion_to_a_price_of_yours(with_prices: Make) -> None:
    book = with_prices({"provider": "openai", "models": ["gpt-5"], "usd": {"input_tokens": 1}})

    assert usd(book, "openai", "gpt-5", batch=True) == Decimal("0.5")
    assert usd(book, "openai", "gpt-5", tier="priority") == 2


def test_prices_may_depend_on_the_size_of_the_prompt(with_prices: Make) -> None:
    tiered = {"base": 1, "above": {200_000: 2, "300000": 3}}
    book = with_prices({"provider": "x", "models": ["m"], "usd": {"input_tokens": tiered}})

    costs = [
        book.price("x", "m", Usage(input_tokens=count), at=NOW).nano_usd
        for count in (200_000, 200_001, 300_000, 300_001)
    ]
    assert costs == [200_000_000, 400_002_000, 600_000_000, 900_003_000]


def test_models_may_stand_beside_their_prices(with_prices: Make) -> None:
    models = {"Small": {"input_tokens": 1}, "large-*": {"input_tokens": 5}}
    book = with_prices({"provider": "x", "models": models, "discount_percent": 10})

    assert usd(book, "x", "small") == Decimal("0.9")
    assert usd(book, "x", "large-2") == Decimal("4.5")


@pytest.mark.parametrize(
    ("written", "nano"),
    [("0.1", 1), ("0.3", 3), ("1e-1", 1), ("'0.7'", 7), ("1.1", 11), ("0.0000001", 1)],
)
def test_money_is_what_the_file_says_to_the_last_digit(
    tmp_path: Path, written: str, nano: int
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "schema: 1\nprices:\n- {provider: x, models: [m], usd: {input_tokens: " + written + "}}\n"
    )
    tokens = 10_000 if written == "0.0000001" else 10

    rate = PriceBook.standard(file).price_of("x", "m", at=NOW).rates["input_tokens"]
    cost = PriceBook.standard(file).price("x", "m", Usage(input_tokens=tokens), at=NOW)

    assert rate.usd == Decimal(written.strip("'"))
    assert cost.nano_usd == (nano * 1000 if tokens == 10 else 1)


def test_the_version_tells_whose_prices_they_were(with_prices: Make, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("schema: 1\nprices: [{provider: x, models: [m], free: true}]\n")
    first = PriceBook.standard(file).version
    file.write_text("schema: 1\nprices: [{provider: x, models: [n], free: true}]\n")

    assert with_prices().version.endswith("+ours")
    assert first.startswith("genai-prices-")
    assert first.count("+") == 2
    assert PriceBook.standard(file).version != first


def test_a_time_without_a_zone_is_refused_however_well_the_price_is_known(
    book: PriceBook,
) -> None:
    book.price("openai", "gpt-4o", IN, at=NOW)

    with pytest.raises(InputError, match="has no time zone"):
        book.price("openai", "gpt-4o", IN, at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_our_own_file_has_a_source_for_each_entry() -> None:
    for entry in overrides_in(BUILT_IN).entries:
        assert entry.source.startswith("https://")


def test_no_entry_of_ours_names_a_model_that_it_does_not_price(book: PriceBook) -> None:
    for entry in overrides_in(BUILT_IN).entries:
        day = entry.until_day or entry.from_day
        at = NOW if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
        for name in entry.models:
            if not set("*?[") & set(name):
                book.price_of(entry.provider, name, at=at)
