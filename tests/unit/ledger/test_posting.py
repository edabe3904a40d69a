"""Which counters a record is added to: by its attributes, its model and its zone's midnight."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from aws_tables import aws, make_table
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from packs import NOW, a_pack, a_record

from spendfuse.budget import Budget
from spendfuse.errors import UnavailableError
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import UsageRecord, cut_id, read_pack
from spendfuse.ledger.posting import deltas, posting
from spendfuse.metering.attribution import attribute_text

USER = Budget("user", 10**9, "day", per="user")


def a_call(**changes: Any) -> UsageRecord:
    values: dict[str, Any] = {"id": "r1", "at": NOW, "cost_nano_usd": 5}
    return UsageRecord(**{**values, **changes})


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ({"model": "gpt-4o"}, True),
        ({"model": "gpt-4*"}, True),
        ({"model": "gpt-5*"}, False),
        ({"provider": "openai", "team": "search"}, True),
        ({"provider": "openai", "team": "ads"}, False),
    ],
)
def test_a_budget_matches_on_model_and_provider(match: dict[str, str], matches: bool) -> None:
    budget = Budget("b", 10**9, "month", match=match)
    record = a_call(attributes={"team": "search"}, model="gpt-4o", provider="openai")

    assert bool(deltas([record], [budget])) is matches


def test_the_record_s_own_model_goes_before_an_attribute_of_that_name() -> None:
    budget = Budget("b", 10**9, "month", match={"model": "gpt-4o"})

    assert not deltas([a_call(attributes={"model": "gpt-4o"}, model="other")], [budget])
    assert deltas([a_call(attributes={"model": "gpt-4o"})], [budget])


def test_a_budget_per_user_counts_each_of_them_and_no_total_and_no_keys() -> None:
    records = [a_call(attributes={"user": user, "key_id": "k1"}) for user in ("a", "b", "a")]
    records.append(a_call(attributes={"key_id": "k1"}))

    assert deltas(records, [USER]) == {
        ItemKey("user", "2026-11-21", "per#a"): Delta(10, 2),
        ItemKey("user", "2026-11-21", "per#b"): Delta(5, 1),
        ItemKey("user", "2026-11-21", "per#anonymous"): Delta(5, 1),
    }


@pytest.mark.parametrize("user", ["total", "key#k1", "per#b", "x}:y", "#", "\N{GRINNING FACE}"])
def test_no_user_s_id_reaches_another_counter(user: str) -> None:
    (key,) = deltas([a_call(attributes={"user": user})], [USER])

    assert key.share == f"per#{user}"


@pytest.mark.parametrize(
    ("at", "zone", "key"),
    [
        ("2026-11-21T22:59:59.999999+00:00", "Europe/Berlin", "2026-11-21"),
        ("2026-11-21T23:00:00+00:00", "Europe/Berlin", "2026-11-22"),
        ("2026-03-29T21:59:59+00:00", "Europe/Berlin", "2026-03-29"),
        ("2026-03-29T22:00:00+00:00", "Europe/Berlin", "2026-03-30"),
        ("2026-10-25T22:59:59+00:00", "Europe/Berlin", "2026-10-25"),
        ("2026-10-25T23:00:00+00:00", "Europe/Berlin", "2026-10-26"),
    ],
)
def test_a_record_counts_in_its_zone_s_day(at: str, zone: str, key: str) -> None:
    budget = Budget("b", 10**9, "day", zone=zone)

    (item,) = deltas([a_call(at=datetime.fromisoformat(at))], [budget])
    assert item.period == key


def test_a_total_counts_for_ever() -> None:
    records = [a_call(), a_call(at=datetime.fromisoformat("2031-01-01T00:00:00+00:00"))]

    assert deltas(records, [Budget("ever", 10**9, "total")]) == {
        ItemKey("ever", "total"): Delta(10, 2)
    }


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_a_long_value_is_cut_as_the_sdk_cuts_it(text: str) -> None:
    assert cut_id(text) == attribute_text(text)
    assert len(cut_id(text).encode()) <= 256


@pytest.fixture
def ledger() -> Iterator[DynamoLedger]:
    with mock_aws():
        yield DynamoLedger(aws("dynamodb"), make_table("ledger"))


def test_the_ledger_tells_what_one_of_them_has_spent_and_what_all_have(
    ledger: DynamoLedger,
) -> None:
    model = Budget("model", 10**9, "month", per="model")
    root = Budget("llm", 10**9, "month")
    name = "m" * 300
    pack = read_pack(a_pack("p1", a_record(model=name), a_record("r2")), received_at=NOW)
    ledger.post([posting(pack, [root, model])], NOW)

    assert ledger.spent("llm", "2026-11") == 150_000
    assert ledger.spent("model", "2026-11", name) == 75_000
    assert ledger.spent("model", "2026-11", "gpt-4o") == 75_000
    assert ledger.spent("model", "2026-11", "nobody") == 0
    assert ledger.spent("model", "2026-11") == 0


def test_a_ledger_that_can_t_be_read_says_so_and_not_zero(ledger: DynamoLedger) -> None:
    aws("dynamodb").delete_table(TableName="ledger")

    with pytest.raises(UnavailableError):
        ledger.spent("llm", "2026-11")
