"""What may still be spent after a restore before the fuse trips again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from spendfuse.definitions import Definitions
from spendfuse.fuse.judgement import is_current
from spendfuse.fuse.records import Trip
from spendfuse.fuse_state import Allowance, FuseState, TripOrder

Spent = Callable[[str, str], int]
"""A budget's total in a period, in nano-dollars, by name and period key."""


def allowance_nano_usd(order: TripOrder, definitions: Definitions) -> int:
    """Return what a restore adds for this order's budget.

    It is a share of the budget's own limit, also where AWS Budgets gave the order: what
    comes after a restore is counted by the ledger.
    """
    budget = definitions.budget(order.budget)
    limit = order.limit_nano_usd if budget is None else budget.limit_nano_usd
    return limit * definitions.fuse.allowance_percent // 100


def after_restore(
    state: FuseState, trips: Iterable[Trip], spent: Spent, now: datetime
) -> dict[str, Allowance]:
    """Return the allowances in force after a restore of these trips.

    Allowances of periods that are over are dropped. A trip whose order is older than its
    budget's present allowance has been restored before and gets none.
    """
    kept = {key: each for key, each in state.allowances.items() if is_current(each.period, now)}
    allowances = dict(kept)
    for trip in trips:
        order, key = trip.order, f"{trip.order.budget}#{trip.order.period}"
        present = kept[key].number if key in kept else 0
        if order.is_manual or order.allowance < present or not is_current(order.period, now):
            continue
        until = spent(order.budget, order.period) + trip.allowance_nano_usd
        if key in allowances and allowances[key].number > present:
            until = max(until, allowances[key].until_nano_usd)
        allowances[key] = Allowance(order.budget, order.period, order.allowance + 1, until)
    return allowances
