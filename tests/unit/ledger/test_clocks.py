"""A sender's clock: corrected where it is surely wrong, doubted where it may be, else believed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packs import a_pack, a_record

from spendfuse.budget import Budget
from spendfuse.clock import parse_utc
from spendfuse.ledger.pack import Pack, read_pack

MONTH = Budget("llm", 10**12, "month")
DAY = Budget("daily", 10**12, "day")
EVER = Budget("ever", 10**12, "total")
SEARCH = Budget("search", 10**12, "day", match={"team": "search"})
USER = Budget("user", 10**12, "day", per="user")
BERLIN = Budget("berlin", 10**12, "day", zone="Europe/Berlin")

EVENING = parse_utc("2026-11-21T23:30:00Z")
NOON = parse_utc("2026-11-21T12:00:00Z")


def sent(at: datetime, *, late: timedelta, budgets: tuple[Budget, ...] = (DAY,)) -> Pack:
    """Return the pack that arrives ``late`` after its sender's clock said ``at``."""
    text = a_pack("p", a_record(at=at.isoformat()), sent_at=at.isoformat())
    return read_pack(text, received_at=at + late, doubted_by=budgets)


HOUR = timedelta(hours=1)


def test_an_hour_late_within_a_period_counts_by_its_own_time() -> None:
    pack = sent(NOON, late=HOUR)

    assert [record.at for record in pack.records] == [NOON]


@pytest.mark.parametrize(
    "late", [timedelta(minutes=31), HOUR, timedelta(hours=14), timedelta(hours=25)]
)
def test_across_midnight_it_is_kept_apart_with_both_times_and_what_to_do(late: timedelta) -> None:
    pack = sent(EVENING, late=late)

    assert pack.records == ()
    (rejected,) = pack.rejected
    assert "2026-11-21T23:30:00.000Z by the sender's clock" in rejected.reason
    assert f"{(EVENING + late).isoformat()[:16]}:00.000Z by ours" in rejected.reason
    assert "'daily' would count it in 2026-11-21 or in 2026-11-2" in rejected.reason
    assert "`spendfuse ledger quarantine retry`" in rejected.reason
    assert "23:30" in rejected.raw


@pytest.mark.parametrize("late", [timedelta(hours=25, seconds=1), timedelta(days=20)])
def test_more_than_a_wrong_zone_late_it_was_held_up(late: timedelta) -> None:
    assert [record.at for record in sent(EVENING, late=late).records] == [EVENING]


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=60)])
def test_a_usual_delay_is_none(late: timedelta) -> None:
    at = EVENING + timedelta(minutes=29, seconds=59)

    assert [record.at for record in sent(at, late=late).records] == [at]


@pytest.mark.parametrize(
    "late", [timedelta(seconds=61), timedelta(minutes=15), timedelta(minutes=-2), -HOUR]
)
def test_a_clock_that_is_surely_wrong_is_corrected(late: timedelta) -> None:
    assert [record.at for record in sent(EVENING, late=late).records] == [EVENING + late]


@pytest.mark.parametrize(
    ("budgets", "is_kept_apart"),
    [
        ((MONTH,), False),
        ((EVER,), False),
        ((SEARCH,), True),
        ((Budget("other", 1, "day", match={"team": "ads"}),), False),
        ((USER,), True),
        ((BERLIN,), False),
        ((MONTH, BERLIN, DAY), True),
        ((), False),
    ],
)
def test_only_a_budget_that_it_counts_on_can_doubt_it(
    budgets: tuple[Budget, ...], is_kept_apart: bool
) -> None:
    pack = sent(EVENING, late=HOUR, budgets=budgets)

    assert bool(pack.rejected) is is_kept_apart
    assert bool(pack.records) is not is_kept_apart


def test_records_of_one_pack_are_doubted_one_by_one() -> None:
    records = [a_record(each, at=f"2026-11-21T{each}:30:00Z") for each in ("20", "23")]
    text = a_pack("p", *records, sent_at=EVENING.isoformat())
    pack = read_pack(text, received_at=EVENING + HOUR, doubted_by=[DAY])

    assert [record.id for record in pack.records] == ["20"]
    assert [rejected.position for rejected in pack.rejected] == [1]


@given(
    st.integers(0, 35 * 24 * 60 - 26 * 60).map(lambda minutes: NOON - timedelta(minutes=minutes)),
    st.integers(16, 25 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_what_counts_would_have_counted_there_either_way(at: datetime, late: timedelta) -> None:
    budgets = (DAY, MONTH, BERLIN)
    pack = sent(at, late=late, budgets=budgets)
    is_sure = all(each.period_at(at) == each.period_at(at + late) for each in budgets)

    assert [record.at for record in pack.records] == ([at] if is_sure else [])
    assert len(pack.rejected) == (not is_sure)
