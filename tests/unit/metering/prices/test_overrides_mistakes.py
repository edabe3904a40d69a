"""Each mistake in an overrides file: its path, what was written, and what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spendfuse.errors import SettingsError
from spendfuse.metering.overrides import parsed
from spendfuse.metering.yaml_file import overrides_in

GOOD = {"provider": "openai", "models": ["gpt-4o"], "usd": {"input_tokens": 1}}


def mistakes(*prices: Any, **document: Any) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        parsed({"schema": 1, "prices": list(prices)} | document, name="own.yaml")
    return [line.strip() for line in str(raised.value).splitlines()]


@pytest.mark.parametrize(
    ("entry", "mistake"),
    [
        ("gpt-4o", "prices[0]: expected an object, got 'gpt-4o'"),
        (GOOD | {"provider": 3}, "prices[0].provider: expected a text such as openai, got 3"),
        (GOOD | {"provider": " "}, "prices[0].provider: expected a text such as openai, got ' '"),
        (GOOD | {"models": "gpt-4o"}, "prices[0].models: expected a list such as"),
        (GOOD | {"models": []}, "prices[0].models: expected a list such as"),
        (GOOD | {"models": ["a", 4]}, "prices[0].models: expected a list such as"),
        (GOOD | {"models": {}}, "prices[0].models: either names with a price each, or a list"),
        (GOOD | {"models": {"a": {}}}, "prices[0].models: either names with a price each, or"),
        (
            {"provider": "x", "models": {"a": {"input_tokens": -1}}},
            "prices[0].models.a.input_tokens: must be from 0 to 1000000, got -1",
        ),
        (GOOD | {"price": 3}, "prices[0].price: unknown; there are discount_percent, free, from"),
        (GOOD | {"from": "soon"}, "prices[0].from: expected a day such as 2026-11-22, got 'soon'"),
        (GOOD | {"until": 2026}, "prices[0].until: expected a day such as 2026-11-22, got 2026"),
        (
            GOOD | {"from": "2026-02-01", "until": "2026-02-01"},
            "prices[0].until: 2026-02-01 must be after from, 2026-02-01",
        ),
        (GOOD | {"free": "yes"}, "prices[0].free: expected true or false, got 'yes'"),
        (GOOD | {"free": True}, "prices[0].free: a free model has no other price; keep free or"),
        (GOOD | {"usd": 3}, "prices[0].usd: expected prices by unit, got 3"),
        (GOOD | {"usd": {"tokens": 3}}, "prices[0].usd.tokens: unknown unit; there are input_"),
        (GOOD | {"usd": {"input_tokens": "much"}}, "prices[0].usd.input_tokens: expected an amoun"),
        (GOOD | {"usd": {"input_tokens": None}}, "prices[0].usd.input_tokens: expected an amount"),
        (GOOD | {"usd": {"input_tokens": True}}, "prices[0].usd.input_tokens: expected an amount"),
        (
            GOOD | {"usd": {"input_tokens": float("nan")}},
            "prices[0].usd.input_tokens: expected an amount in dollars",
        ),
        (
            GOOD | {"usd": {"input_tokens": -0.01}},
            "prices[0].usd.input_tokens: must be from 0 to 1000000, got -0.01",
        ),
        (
            GOOD | {"usd": {"input_tokens": 1_000_001}},
            "prices[0].usd.input_tokens: must be from 0 to 1000000, got 1000001",
        ),
        (
            GOOD | {"usd": {"input_tokens": {"base": 3}}},
            "prices[0].usd.input_tokens: expected {base: 3, above: {200000: 6}}, or a number",
        ),
        (
            GOOD | {"usd": {"input_tokens": {"base": 3, "above": {"many": 6}}}},
            "prices[0].usd.input_tokens.above: expected a number of input tokens, got 'many'",
        ),
        (
            GOOD | {"usd": {"input_tokens": {"base": 3, "above": {200_000: -6}}}},
            "prices[0].usd.input_tokens.above.200000: must be from 0 to 1000000, got -6",
        ),
        (GOOD | {"processing": 0.5}, "prices[0].processing: expected an object such as {batch:"),
        (
            GOOD | {"processing": {"bulk": 0.5}},
            "prices[0].processing.bulk: unknown; there are batch, flex, priority, fast",
        ),
        (
            GOOD | {"processing": {"batch": "half"}},
            "prices[0].processing.batch: expected an amount in dollars",
        ),
        (
            GOOD | {"processing": {"batch": {"outputs": 1}}},
            "prices[0].processing.batch.outputs: unknown unit",
        ),
        (
            GOOD | {"discount_percent": 100},
            "prices[0].discount_percent: must be below 100, got 100; or set free: true",
        ),
        (GOOD | {"discount_percent": -1}, "prices[0].discount_percent: must be from 0 to 1000000"),
        (GOOD | {"surcharge_percent": "x"}, "prices[0].surcharge_percent: expected an amount"),
        (GOOD | {"like": "gpt-4o"}, "prices[0].like: expected provider/model, such as openai/gpt"),
        (GOOD | {"like": 5}, "prices[0].like: expected provider/model, such as openai/gpt-4o, got"),
        (
            {"provider": "openai", "models": ["gpt-4o"], "source": "a contract"},
            "prices[0]: changes nothing; add usd, processing, discount_percent, surcharge_percent",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(entry: Any, mistake: str) -> None:
    found = mistakes(entry)

    assert found[0] == f"{len(found) - 1} mistake{'s' if len(found) > 2 else ''} in own.yaml:"
    assert any(line.startswith(mistake) for line in found), found


def test_all_mistakes_are_reported_at_once_in_their_order() -> None:
    found = mistakes(
        GOOD | {"provider": 3, "free": 1}, GOOD, "gpt-4o", GOOD | {"models": 5}, author="me"
    )

    assert found[0] == "5 mistakes in own.yaml:"
    assert [line.partition(":")[0] for line in found[1:]] == [
        "author", "prices[0].provider", "prices[0].free", "prices[2]", "prices[3].models",
    ]  # fmt: skip


@pytest.mark.parametrize("document", [None, [], "prices", {"prices": []}, {"schema": 2}])
def test_a_document_of_another_schema_is_refused(document: Any) -> None:
    with pytest.raises(SettingsError, match=r"own\.yaml: expected an object with schema: 1"):
        parsed(document, name="own.yaml")


@pytest.mark.parametrize("prices", [None, {"openai": 1}, "none"])
def test_prices_that_are_no_list_are_refused(prices: Any) -> None:
    with pytest.raises(SettingsError, match=r"own\.yaml: prices: expected a list, got "):
        parsed({"schema": 1, "prices": prices}, name="own.yaml")


def test_no_prices_at_all_are_none() -> None:
    assert parsed({"schema": 1, "prices": []}, name="own.yaml").entries == ()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"price overrides .*none\.yaml can't be read"):
        overrides_in(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"schema: 1\nprices: [", "are no YAML"),
        (b"schema: 1\nprices: !!python/object/apply:os.getcwd []", "are no YAML"),
        (b"\xff\xfe\x00\xd8", "can't be read"),
        (b"", "expected an object with schema: 1"),
    ],
)
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, text: bytes, what: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(text)

    with pytest.raises(SettingsError, match=what) as raised:
        overrides_in(file)
    assert str(file) in str(raised.value)


def test_json_is_yaml_too(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text('{"schema": 1, "prices": [{"provider": "x", "models": ["m"], "free": true}]}')

    assert overrides_in(file).entries[0].is_free
