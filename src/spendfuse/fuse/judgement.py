"""Whether an order may blow the fuse at all. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spendfuse.definitions import FuseMode
from spendfuse.fuse_state import FuseState, TripOrder
from spendfuse.period import PERIOD_KINDS, Period


@dataclass(frozen=True, slots=True)
class Refusal:
    status: Literal["off", "past", "stale"]
    reason: str


def refusal(order: TripOrder, state: FuseState, *, mode: FuseMode, now: datetime) -> Refusal | None:
    """Return why the order trips nothing, or None where it may.

    A person's order is given with the fuse in view: no mode stops it.
    """
    if mode == "off" and not order.is_manual:
        return Refusal("off", "its mode is off")
    if not is_current(order.period, now):
        return Refusal(
            "past", f"the period {order.period} of {order.budget} is not the current one"
        )
    allowance = state.allowance(order.budget, order.period)
    if allowance is not None and order.allowance < allowance.number:
        return Refusal("stale", f"{order.budget} was restored in {order.period} after this order")
    return None


def is_current(period_key: str, now: datetime) -> bool:
    """Return whether the period of that key, whatever its kind, contains ``now``."""
    return any(Period.containing(kind, now).key == period_key for kind in PERIOD_KINDS)
