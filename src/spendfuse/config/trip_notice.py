"""A trip never comes unannounced: some rung below it has told people, checked on the raw block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from spendfuse.config.limits import TRIPS_FROM_PERCENT
from spendfuse.config.mistakes import Mistake, path_of, shown

_Located = Sequence[tuple[int, Mapping[str, Any]]]


class _Rung(NamedTuple):
    percent: int
    trips: bool


def unannounced_trips(
    block: Mapping[str, Any], budgets: _Located, aws_budgets: _Located
) -> Iterator[Mistake]:
    """Yield the ladders whose lowest rung trips; where the fuse is off, none does."""
    fuse = block.get("fuse")
    if isinstance(fuse, Mapping) and fuse.get("mode") == "off":
        return
    yield from _by_the_ledger(budgets)
    yield from _by_the_bill(aws_budgets)


def _by_the_ledger(budgets: _Located) -> Iterator[Mistake]:
    for index, budget in budgets:
        lowest = min(_rungs(budget.get("ladder")), default=None)
        # A budget per attribute has a mistake of its own: it may have no ladder at all.
        if lowest is not None and lowest.trips and not budget.get("per"):
            yield Mistake(
                path_of(("budgets", index, "ladder")),
                f"got {shown(budget['ladder'])}; its lowest rung, {lowest.percent} %, trips: "
                "everything would stop before anybody has heard of it. Add a rung below that only "
                'informs, such as 50, or write "trip": false',
            )


def _by_the_bill(aws_budgets: _Located) -> Iterator[Mistake]:
    for index, each in aws_budgets:
        lowest = min(_rungs(each.get("actual_percents")), default=None)
        may_trip = each.get("trip", True) and each.get("period", "month") == "month"
        if lowest is not None and lowest.trips and may_trip and not each.get("forecast_percents"):
            yield Mistake(
                path_of(("aws_budgets", index, "actual_percents")),
                f"got {shown(each['actual_percents'])}; its lowest rung, {lowest.percent} %, "
                "trips: everything would stop before anybody has heard of it. Add one below, such "
                'as 80, or forecast_percents, or write "trip": false',
            )


def _rungs(ladder: object) -> Iterator[_Rung]:
    """Yield the rungs that are written as they should be; the others have mistakes of their own."""
    for rung in ladder if isinstance(ladder, list) else ():
        written = rung if isinstance(rung, Mapping) else {"percent": rung}
        percent, trip = written.get("percent"), written.get("trip")
        if _is_whole(percent):
            yield _Rung(percent, percent >= TRIPS_FROM_PERCENT if trip is None else trip is True)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
