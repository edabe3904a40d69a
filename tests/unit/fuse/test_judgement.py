"""Which period is the current one: the budget's own zone says."""

from __future__ import annotations

from datetime import datetime

import pytest

from spendfuse.budget import Budget
from spendfuse.fuse.allowances import after_restore
from spendfuse.fuse.judgement import is_current, refusal
from spendfuse.fuse.records import Trip
from spendfuse.fuse_state import MANUAL, Allowance, FuseState, TripOrder

BUDGETS = {
    "utc": Budget("utc", 10**9, "day"),
    "berlin": Budget("berlin", 10**9, "day", zone="Europe/Berlin"),
    "angeles": Budget("angeles", 10**9, "month", zone="America/Los_Angeles"),
    "ever": Budget("ever", 10**9, "total", zone="Europe/Berlin"),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.mark.parametrize(
    ("budget", "period", "now", "current"),
    [
        ("berlin", "2026-11-21", "2026-11-21T22:59:59", True),
        ("berlin", "2026-11-21", "2026-11-21T23:00:00", False),
        ("berlin", "2026-11-22", "2026-11-21T22:59:59", False),
        ("berlin", "2026-11-22", "2026-11-21T23:00:00", True),
        ("berlin", "2026-03-29", "2026-03-29T21:59:59", True),  # 23 hours
        ("berlin", "2026-03-29", "2026-03-29T22:00:00", False),
        ("berlin", "2026-10-25", "2026-10-25T22:59:59", True),  # 25 hours
        ("berlin", "2026-10-25", "2026-10-25T23:00:00", False),
        ("utc", "2026-11-21", "2026-11-21T23:59:59", True),
        ("utc", "2026-11-21", "2026-11-22T00:00:00", False),
        ("angeles", "2026-11", "2026-12-01T07:59:59", True),
        ("angeles", "2026-11", "2026-12-01T08:00:00", False),
        ("angeles", "2026-12", "2026-12-01T07:59:59", False),
        ("ever", "total", "2026-11-21T23:00:00", True),
        # AWS bills months: no period of these budgets, and current while UTC says so.
        ("berlin", "2026-11", "2026-11-30T23:30:00", True),
        ("ever", "2026-11", "2026-12-01T00:00:00", False),
        # A budget that nobody knows any more.
        ("gone", "2026-11-21", "2026-11-21T23:30:00", True),
        ("gone", "2026-11-22", "2026-11-21T23:30:00", False),
        ("gone", "2026-W47", "2026-11-21T23:30:00", True),
        ("gone", "total", "2026-11-21T23:30:00", True),
        (MANUAL, "2026-11-21", "2026-11-21T23:30:00", True),
    ],
)
def test_a_period_is_current_until_its_budget_s_own_midnight(
    budget: str, period: str, now: str, current: bool
) -> None:
    order = TripOrder("llm", budget, period, 100, 10**9)
    verdict = refusal(order, FuseState("llm"), mode="armed", now=at(now), find_budget=BUDGETS.get)

    assert is_current(period, at(now), BUDGETS.get(budget)) is current
    assert (verdict is None) is current
    assert verdict is None or verdict.status == "past"


@pytest.mark.parametrize(
    ("now", "key"),
    [("2026-11-21T22:59:59", "2026-11-21"), ("2026-11-21T23:00:00", "2026-11-22")],
)
def test_a_restore_leaves_allowances_for_the_zone_s_current_day_alone(now: str, key: str) -> None:
    days = ("2026-11-21", "2026-11-22")
    orders = [TripOrder("llm", "berlin", day, 100, 10**9) for day in days]
    trips = [Trip(each, at(now), "spent", allowance_nano_usd=5, status="done") for each in orders]
    old = {f"berlin#{day}": Allowance("berlin", day, 1, 7) for day in days}

    kept = after_restore(FuseState("llm", allowances=old), [], lambda *_: 10, at(now), BUDGETS.get)
    new = after_restore(FuseState("llm"), trips, lambda *_: 10, at(now), BUDGETS.get)

    assert kept == {f"berlin#{key}": Allowance("berlin", key, 1, 7)}
    assert new == {f"berlin#{key}": Allowance("berlin", key, 1, 15)}
