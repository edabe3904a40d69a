"""Whether an order may blow the fuse at all. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spendfuse.budget import Budget
from spendfuse.definitions import FuseMode
from spendfuse.errors import InputError
from spendfuse.fuse_state import FuseState, TripOrder
from spendfuse.period import PERIOD_KINDS, Period

FindBudget = Callable[[str], Budget | None]
"""Returns the budget of a name, whose time zone says which of its periods is the current one."""


def no_budget(_: str) -> None:
    """Know no budget: every period is then UTC's."""


@dataclass(frozen=True, slots=True)
class Refusal:
    status: Literal["off", "past", "stale"]
    reason: str


def refusal(
    order: TripOrder,
    state: FuseState,
    *,
    mode: FuseMode,
    now: datetime,
    find_budget: FindBudget = no_budget,
) -> Refusal | None:
    """Return why the order trips nothing, or None where it may.

    A person's order is given with the fuse in view: no mode stops it.
    """
    if mode == "off" and not order.is_manual:
        return Refusal("off", "its mode is off")
    if not is_current(order.period, now, find_budget(order.budget)):
        return Refusal(
            "past", f"the period {order.period} of {order.budget} is not the current one"
        )
    allowance = state.allowance(order.budget, order.period)
    if allowance is not None and order.allowance < allowance.number:
        return Refusal("stale", f"{order.budget} was restored in {order.period} after this order")
    return None


def is_current(period_key: str, now: datetime, budget: Budget | None = None) -> bool:
    """Return whether the period of that key contains ``now``.

    The budget's zone says when its periods begin. A budget that is unknown, or has periods of
    another kind (AWS bills months, also what is linked to a daily budget), leaves UTC.
    """
    if budget is not None:
        try:
            period = budget.period_of(period_key)
        except InputError:
            pass
        else:
            return period.start <= now < period.end
    return any(Period.containing(kind, now).key == period_key for kind in PERIOD_KINDS)
