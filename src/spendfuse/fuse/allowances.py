"""What may still be spent after a restore before the fuse trips again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from spendfuse.definitions import FuseDefinition
from spendfuse.fuse.judgement import FindBudget, is_current, no_budget
from spendfuse.fuse.records import Trip
from spendfuse.fuse_state import Allowance, FuseState

Spent = Callable[[str, str], int]
"""A budget's total in a period, in nano-dollars, by name and period key."""


def allowance_nano_usd(limit_nano_usd: int, fuse: FuseDefinition) -> int:
    """Return what a restore adds for a budget with this limit."""
    return limit_nano_usd * fuse.allowance_percent // 100


def after_restore(
    state: FuseState,
    trips: Iterable[Trip],
    spent: Spent,
    now: datetime,
    find_budget: FindBudget = no_budget,
) -> dict[str, Allowance]:
    """Return the allowances in force after a restore of these trips.

    Allowances of periods that are over are dropped. A trip whose order is older than its
    budget's present allowance has been restored before and gets none.
    """

    def is_over(budget: str, period: str) -> bool:
        return not is_current(period, now, find_budget(budget))

    kept = {
        key: each for key, each in state.allowances.items() if not is_over(each.budget, each.period)
    }
    allowances = dict(kept)
    for trip in trips:
        order, key = trip.order, f"{trip.order.budget}#{trip.order.period}"
        present = kept[key].number if key in kept else 0
        if order.is_manual or order.allowance < present or is_over(order.budget, order.period):
            continue
        until = spent(order.budget, order.period) + trip.allowance_nano_usd
        if key in allowances and allowances[key].number > present:
            until = max(until, allowances[key].until_nano_usd)
        allowances[key] = Allowance(order.budget, order.period, order.allowance + 1, until)
    return allowances
