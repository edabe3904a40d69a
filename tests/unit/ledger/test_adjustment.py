"""Adjustments: corrections that count once, on all that they concern, and are never forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import ClientError
from moto import mock_aws
from packs import a_pack, a_record

from spendfuse.budget import Budget, Rung
from spendfuse.errors import InputError, UnavailableError
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger.adjustment import Adjustment
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_adjustments import BelowZeroError, DynamoAdjustments
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROOT = Budget("llm", 10**12, "month", (Rung(80, ("slack",)),))
SEARCH = Budget("search", 10**12, "day", (), {"team": "search"})
EACH_USER = Budget("user-day", 10**10, "day", per="user")
BIG = Budget("big", 10**12, "month", (), {"model": "gpt-4o*", "provider": "openai"})
BUDGETS = (ROOT, SEARCH, EACH_USER, BIG)


def an_adjustment(nano_usd: int = -50_000, **over: Any) -> Adjustment:
    told: dict[str, Any] = {
        "attributes": {"team": "search", "user": "u1"},
        "at": NOW,
        "reason": "billed twice",
        "by": "arn:aws:sts::123456789012:user/ann",
        "posted_at": NOW,
    }
    return Adjustment("a1", nano_usd, **told | over)


@pytest.fixture
def store() -> Iterator[DynamoAdjustments]:
    """75,000 nano-dollars of u1 in search, with the key k1, were counted."""
    with mock_aws():
        make_table("ledger")
        pack = read_pack(a_pack("p1", a_record()), received_at=NOW)
        ledger().post([posting(pack, BUDGETS)], NOW)
        yield DynamoAdjustments(aws("dynamodb"), "ledger", sleep=lambda _: None)


def ledger() -> DynamoLedger:
    return DynamoLedger(aws("dynamodb"), "ledger")


def rows() -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = aws("dynamodb").scan(TableName="ledger")["Items"]
    return sorted(items, key=lambda each: (each["pk"]["S"], each["sk"]["S"]))


def users() -> dict[str, Delta]:
    top = DynamoTallies(aws("dynamodb"), "ledger").top("llm", "2026-11", "user", most=9)
    return dict(top.entries)


class FailingClient:
    """Answers transactions with errors, before or after it lets them through."""

    def __init__(self, *errors: Exception, lets_through: bool = False) -> None:
        self._client = aws("dynamodb")
        self._errors = list(errors)
        self._lets_through = lets_through

    def transact_write_items(self, **request: Any) -> Any:
        if self._errors and not self._lets_through:
            raise self._errors.pop(0)
        answer = self._client.transact_write_items(**request)
        if self._errors:
            raise self._errors.pop(0)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def an_error(code: str, *reasons: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": code},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return ClientError(response, "TransactWriteItems")


def test_it_counts_on_all_that_it_matches_and_is_no_request(store: DynamoAdjustments) -> None:
    told = {"team": "search", "user": "u1", "key_id": "k1"}

    assert store.post(an_adjustment(attributes=told), BUDGETS)
    assert ledger().total("llm", "2026-11") == Delta(25_000, 1)
    assert ledger().total("search", "2026-11-21") == Delta(25_000, 1)
    assert ledger().spent("user-day", "2026-11-21", "u1") == 25_000
    assert ledger().dearest_keys("llm", "2026-11", most=9) == (KeySpend("k1", 25_000),)
    assert ledger().total("big", "2026-11") == Delta(75_000, 1)


def test_model_and_provider_match_as_a_record_s_do(store: DynamoAdjustments) -> None:
    store.post(an_adjustment(5, attributes={"model": "gpt-4o", "provider": "openai"}), BUDGETS)

    assert ledger().total("big", "2026-11") == Delta(75_005, 1)


def test_the_shares_change_with_the_totals(store: DynamoAdjustments) -> None:
    store.post(an_adjustment(), BUDGETS)
    store.post(replace(an_adjustment(7), id="a2", attributes={}), BUDGETS)

    assert users() == {"u1": Delta(25_000, 1), "": Delta(7)}


def test_a_budget_per_user_has_no_shares() -> None:
    adjustment = an_adjustment()
    shares = adjustment.tally(adjustment.added(BUDGETS)).shares

    assert {key.budget for key in shares} == {"llm", "search"}
    assert {(key.by, key.value) for key in shares} == {
        ("user", "u1"),
        ("model", ""),
        ("feature", ""),
    }


def test_a_budget_per_user_is_left_alone_where_no_user_is_named() -> None:
    added = an_adjustment(9, attributes={"team": "search"}).added(BUDGETS)

    assert {key.budget for key in added} == {"llm", "search"}
    assert an_adjustment(9, attributes={"user": "anonymous"}).added(BUDGETS).keys() == {
        ItemKey("llm", "2026-11"),
        ItemKey("user-day", "2026-11-21", "per#anonymous"),
    }


def test_it_goes_into_the_period_of_its_time(store: DynamoAdjustments) -> None:
    store.post(an_adjustment(5, at=NOW - timedelta(days=30)), BUDGETS)

    assert ledger().total("llm", "2026-10") == Delta(5)
    assert ledger().total("search", "2026-10-22") == Delta(5)


def test_posted_again_it_counts_nothing(store: DynamoAdjustments) -> None:
    store.post(an_adjustment(), BUDGETS)
    before = rows()
    again = an_adjustment(posted_at=NOW + timedelta(hours=1), by="bob")

    assert not store.post(again, BUDGETS)
    assert rows() == before


@pytest.mark.parametrize(
    "other",
    [
        {"nano_usd": -40_000},
        {"attributes": {"team": "search"}},
        {"at": NOW - timedelta(seconds=1)},
        {"reason": "billed thrice"},
    ],
)
def test_its_id_belongs_to_it_alone(store: DynamoAdjustments, other: dict[str, Any]) -> None:
    store.post(an_adjustment(), BUDGETS)
    before = rows()

    with pytest.raises(InputError, match="a1 was posted already, and says something else"):
        store.post(replace(an_adjustment(), **other), BUDGETS)
    assert rows() == before


def test_no_counter_falls_below_0_and_then_nothing_changes(store: DynamoAdjustments) -> None:
    ledger().post(
        [posting(read_pack(a_pack("p2", a_record("r2", attributes={})), received_at=NOW), BUDGETS)],
        NOW,
    )
    before = rows()

    with pytest.raises(BelowZeroError, match="search in 2026-11-21 has") as refused:
        store.post(an_adjustment(-75_001), BUDGETS)
    assert "user-day in 2026-11-21 of 'u1' has $0.000075" in str(refused.value)
    assert "llm" not in str(refused.value)
    assert rows() == before


def test_what_was_never_counted_can_t_be_taken_away(store: DynamoAdjustments) -> None:
    with pytest.raises(BelowZeroError, match=r"llm in 2026-09 has \$0.00"):
        store.post(an_adjustment(at=NOW - timedelta(days=60)), BUDGETS)


def test_all_of_a_counter_can_be_taken_away(store: DynamoAdjustments) -> None:
    store.post(an_adjustment(-75_000), BUDGETS)

    assert ledger().total("llm", "2026-11") == Delta(0, 1)


def test_recorders_that_collide_with_it_are_waited_for(store: DynamoAdjustments) -> None:
    conflict = an_error("TransactionCanceledException", "None", "TransactionConflict")
    busy = DynamoAdjustments(FailingClient(conflict, conflict), "ledger", sleep=lambda _: None)

    assert busy.post(an_adjustment(), BUDGETS)
    assert ledger().total("llm", "2026-11").nano_usd == 25_000


def test_an_answer_that_was_lost_is_found_out(store: DynamoAdjustments) -> None:
    lost = FailingClient(an_error("InternalServerError"), lets_through=True)

    assert DynamoAdjustments(lost, "ledger", sleep=lambda _: None).post(an_adjustment(), BUDGETS)
    assert ledger().total("llm", "2026-11").nano_usd == 25_000


def test_a_table_that_refuses_for_long_is_an_error_that_can_be_tried_again(
    store: DynamoAdjustments,
) -> None:
    conflicts = [an_error("TransactionCanceledException", "TransactionConflict")] * 8
    busy = DynamoAdjustments(FailingClient(*conflicts), "ledger", sleep=lambda _: None)

    with pytest.raises(UnavailableError, match="contended"):
        busy.post(an_adjustment(), BUDGETS)
    assert store.post(an_adjustment(), BUDGETS)


def test_more_counters_than_a_transaction_holds_are_refused_and_98_are_not(
    store: DynamoAdjustments,
) -> None:
    many = tuple(Budget(f"b{number}", 10**12, "month") for number in range(99))

    with pytest.raises(InputError, match="counts on 99 counters, and one transaction holds 98"):
        store.post(an_adjustment(1), many)
    assert store.post(an_adjustment(1), many[:98])
    assert ledger().total("b97", "2026-11") == Delta(1)


def test_the_trail_says_all_of_it_and_stays(store: DynamoAdjustments) -> None:
    store.post(an_adjustment(), BUDGETS)
    (row,) = [each for each in rows() if each["pk"]["S"] == "adjustments"]

    assert list(store.all()) == [an_adjustment()]
    assert store.find("a1") == an_adjustment()
    assert store.find("a2") is None
    assert "expires_at" not in row


def test_times_finer_than_the_row_s_are_the_same_time(store: DynamoAdjustments) -> None:
    fine = an_adjustment(at=NOW + timedelta(microseconds=123_456), posted_at=NOW)
    store.post(fine, BUDGETS)

    assert not store.post(replace(fine, by="bob"), BUDGETS)
