"""When a CloudWatch alarm is in ALARM: the last periods' values against its threshold.

As on AWS M of the last N periods must breach, and a period without data counts as the alarm
says. AWS looks further back than N periods when data is missing; here only one period more.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """What an alarm asks of its metric."""

    comparison: str
    threshold: float
    periods: int
    """N: how many periods are looked at."""
    to_alarm: int
    """M: how many of them must breach."""
    missing: str = "missing"
    """``missing``, ``ignore``, ``breaching`` or ``notBreaching``."""


def next_state(rule: AlarmRule, values: Sequence[float | None], current: State) -> State:
    """Return the alarm's state; ``values`` are the last N + 1 periods', oldest first.

    None is a period without data. The newest period is not over yet: without data it is left
    out, with data the oldest one is.
    """
    window = values[1:] if values[-1] is not None else values[:-1]
    if all(value is None for value in window):
        return _without_data(rule, current)
    breaching = sum(_breaches(rule, value) for value in window)
    if breaching < rule.to_alarm and rule.missing == "ignore" and None in window:
        return current
    return "ALARM" if breaching >= rule.to_alarm else "OK"


def _without_data(rule: AlarmRule, current: State) -> State:
    if rule.missing == "breaching":
        return "ALARM"
    if rule.missing == "notBreaching":
        return "OK"
    return current if rule.missing == "ignore" else "INSUFFICIENT_DATA"


def _breaches(rule: AlarmRule, value: float | None) -> bool:
    if value is None:
        return rule.missing == "breaching"
    return _BREACHES[rule.comparison](value, rule.threshold)
