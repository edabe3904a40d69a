"""What a posting tells beyond the totals: who spent, and how requests went, minute by minute."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packs import NOW, a_pack, a_record

from spendfuse.budget import Budget
from spendfuse.clock import utc_text
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.pack import UsageRecord, read_pack
from spendfuse.ledger.posting import posting
from spendfuse.ledger.tally import Series, SeriesKey, ShareKey, Tally, latency_bucket, minute_of

ROOT = Budget("llm", 10**12, "month")
SEARCH = Budget("search", 10**12, "day", match={"team": "search"})
USER = Budget("user", 10**9, "day", per="user")
MINUTE = minute_of(NOW) - 1
"""In which the records were made."""


def tally_of(*records: dict[str, Any], budgets: tuple[Budget, ...] = (ROOT,)) -> Tally:
    return posting(read_pack(a_pack("p1", *records), received_at=NOW), budgets).tally


def a_call(id: str, user: str, cost: int | None = 5, **over: Any) -> dict[str, Any]:
    return a_record(id, attributes={"user": user, "feature": "chat"}, cost_nano_usd=cost, **over)


def test_shares_are_by_user_model_and_feature() -> None:
    tally = tally_of(a_call("r1", "a"), a_call("r2", "b", None), a_call("r3", "a", model="o1"))

    assert tally.shares == {
        ShareKey("llm", "2026-11", "user", "a"): Delta(10, 2),
        ShareKey("llm", "2026-11", "user", "b"): Delta(0, 1, 1),
        ShareKey("llm", "2026-11", "model", "gpt-4o"): Delta(5, 2, 1),
        ShareKey("llm", "2026-11", "model", "o1"): Delta(5, 1),
        ShareKey("llm", "2026-11", "feature", "chat"): Delta(10, 3, 1),
    }


def test_what_a_record_does_not_say_is_shared_by_nobody() -> None:
    bare = a_record(attributes={}, model=None)

    assert {key.value for key in tally_of(bare).shares} == {""}


def test_shares_are_of_every_budget_that_matches_and_is_not_per_an_attribute() -> None:
    other = a_record("r2", attributes={"user": "u1"})
    tally = tally_of(a_record(), other, budgets=(ROOT, SEARCH, USER))
    users = {key: each.requests for key, each in tally.shares.items() if key.by == "user"}

    assert users == {
        ShareKey("llm", "2026-11", "user", "u1"): 2,
        ShareKey("search", "2026-11-21", "user", "u1"): 1,
    }


def test_series_say_how_the_requests_of_a_minute_went() -> None:
    fast = a_call("r1", "a", 7, latency_ms=100)
    failed = a_call("r2", "b", None, latency_ms=30_000, status="error", provider="azure")
    series = tally_of(fast, failed).series
    ok = Series(7, 1, 0, 0, 0, 10, 5, 7, 0, {latency_bucket(100): 1})
    error = Series(0, 1, 1, 1, 0, 10, 5, 0, 0, {latency_bucket(30_000): 1})

    assert series == {
        SeriesKey(MINUTE): ok + error,
        SeriesKey(MINUTE, "model", "gpt-4o"): ok + error,
        SeriesKey(MINUTE, "feature", "chat"): ok + error,
        SeriesKey(MINUTE, "provider", "openai"): ok,
        SeriesKey(MINUTE, "provider", "azure"): error,
    }


def test_each_request_stands_under_its_own_minute() -> None:
    late = a_call("r2", "a", at=utc_text(NOW - timedelta(days=3)))

    assert {key.minute for key in tally_of(a_call("r1", "a"), late).series} == {
        MINUTE,
        minute_of(NOW - timedelta(days=3)),
    }


def test_an_answer_from_the_app_s_cache_used_no_tokens_of_a_provider() -> None:
    series = tally_of(a_call("r1", "a", 0, cached=True)).series[SeriesKey(MINUTE)]

    assert (series.requests, series.cache_hits) == (1, 1)
    assert (series.input_tokens, series.output_tokens) == (0, 0)


def test_rejected_records_stand_under_the_minute_of_receipt() -> None:
    tally = tally_of(a_call("r1", "a"), a_call("r2", "a", -1), {"id": "r3"})

    assert tally.series[SeriesKey(MINUTE + 1)] == Series(rejected=2)
    assert tally.series[SeriesKey(MINUTE)].rejected == 0


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"input_tokens": 7, "output_tokens": 9, "cached_input_tokens": 3}, (7, 9)),
        ({"input_tokens": 10**12, "output_tokens": 10**12 + 1}, (10**12, 0)),
        ({"input_tokens": -7, "output_tokens": 9}, (0, 9)),
        ({"input_tokens": True, "output_tokens": 9.5}, (0, 0)),
        ({"input_tokens": "7", "output_tokens": None}, (0, 0)),
        ({"input_tokens": float("nan"), "output_tokens": float("inf")}, (0, 0)),
        ({"input_tokens": 10**100}, (0, 0)),
        ({}, (0, 0)),
        ([], (0, 0)),
        ("many", (0, 0)),
        (None, (0, 0)),
    ],
)
def test_tokens_that_can_t_be_read_are_left_out_and_the_money_counts(
    said: object, tokens: tuple[int, int]
) -> None:
    (record,) = read_pack(a_pack("p1", a_record(tokens=said)), received_at=NOW).records

    assert (record.input_tokens, record.output_tokens) == tokens
    assert record.cost_nano_usd == 75_000


@pytest.mark.parametrize(
    ("said", "latency_ms"),
    [
        (0, 0),
        (12.5, 12.5),
        (86_400_000, 86_400_000),
        (86_400_001, None),
        (10**12, None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("12", None),
        ([], None),
        (None, None),
    ],
)
def test_a_latency_that_can_t_be_read_is_left_out_and_the_money_counts(
    said: object, latency_ms: float | None
) -> None:
    (record,) = read_pack(a_pack("p1", a_record(latency_ms=said)), received_at=NOW).records

    assert record.latency_ms == latency_ms
    assert record.cost_nano_usd == 75_000


@pytest.mark.parametrize(
    ("said", "is_error", "is_cached"),
    [
        ({"status": "error"}, True, False),
        ({"status": "ok", "cached": True}, False, True),
        ({"status": "cancelled", "cached": False}, False, False),
        ({"status": "exploded", "cached": "yes"}, False, False),
        ({"status": ["error"], "cached": 1}, False, False),
        ({"status": None, "cached": None}, False, False),
    ],
)
def test_a_status_that_is_not_known_is_no_error_and_the_money_counts(
    said: dict[str, Any], is_error: bool, is_cached: bool
) -> None:
    (record,) = read_pack(a_pack("p1", a_record() | said), received_at=NOW).records

    assert (record.is_error, record.is_cached) == (is_error, is_cached)
    assert record.cost_nano_usd == 75_000


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.fixed_dictionaries(dict.fromkeys(("tokens", "latency_ms", "status", "cached"), ANY_JSON)))
def test_nothing_beside_the_money_costs_the_money(said: dict[str, Any]) -> None:
    added = posting(read_pack(a_pack("p1", a_record() | said), received_at=NOW), [ROOT]).added

    assert added[ItemKey("llm", "2026-11")] == Delta(75_000, 1)


RECORDS = st.lists(
    st.builds(
        UsageRecord,
        id=st.uuids().map(str),
        at=st.integers(0, 200).map(lambda minutes: NOW - timedelta(minutes=minutes * 20)),
        cost_nano_usd=st.none() | st.integers(0, 10**15),
        attributes=st.dictionaries(
            st.sampled_from(["user", "feature", "key_id", "team"]), st.sampled_from(["a", "search"])
        ),
        model=st.sampled_from(["", "m1", "m2"]),
        provider=st.sampled_from(["", "openai"]),
        input_tokens=st.integers(0, 10**12),
        latency_ms=st.none() | st.floats(0, 10**8),
        is_error=st.booleans(),
        is_cached=st.booleans(),
    ),
    max_size=20,
)


@given(RECORDS)
def test_every_view_of_the_same_records_adds_up_to_the_same(records: list[UsageRecord]) -> None:
    pack = read_pack(a_pack("p1"), received_at=NOW)
    adds = posting(type(pack)("p1", tuple(records), (), NOW), [ROOT, SEARCH, USER])
    spent = sum(each.cost_nano_usd or 0 for each in records)

    for by in ("", "model", "feature", "provider"):
        series = [each for key, each in adds.tally.series.items() if key.by == by]
        assert sum(each.nano_usd for each in series) == spent
        assert sum(each.requests for each in series) == len(records)
    for by in ("user", "model", "feature"):
        for budget in ("llm", "search"):
            shares = [
                delta
                for key, delta in adds.tally.shares.items()
                if (key.budget, key.by) == (budget, by)
            ]
            totals = [
                delta
                for key, delta in adds.added.items()
                if (key.budget, key.share) == (budget, "total")
            ]
            assert sum(shares, Delta()) == sum(totals, Delta())
