"""What people are told after a trip or a restore. Pure words; whoever joins the rooms sends them.

A report's id is made of the trip's and the outcome, so that the same news, sent again after a
crash, is still the same news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spendfuse.fuse.key import FUSE_TAG
from spendfuse.fuse.plan import LeftAlone
from spendfuse.fuse.records import KeyRecord, Trip
from spendfuse.fuse_state import Allowance
from spendfuse.money import display_usd

NAMED = 20
"""Keys named in one report; the rest are counted."""
HOW_TO_RESTORE = "To undo it: spendfuse fuse restore (shows what it would do; --yes does it)"
STOP_BY_HAND = 'spendfuse fuse trip --reason "over budget" --yes'

Severity = Literal["info", "warning", "critical"]
Outcome = Literal[
    "done", "incomplete", "gave-up", "empty", "dry-run", "off", "past", "stale", "restored"
]


@dataclass(frozen=True, slots=True)
class Report:
    """One piece of news from the fuse."""

    id: str
    outcome: Outcome
    severity: Severity
    headline: str
    details: tuple[str, ...]
    budget: str | None = None
    """None for a manual trip, which belongs to no budget."""
    period: str | None = None
    percent: int | None = None
    limit_nano_usd: int | None = None


@dataclass(frozen=True, slots=True)
class Deeds:
    """What one trip did, as its report tells it."""

    disabled: Sequence[KeyRecord] = ()
    failed: Sequence[KeyRecord] = ()
    left: Sequence[LeftAlone] = ()
    foreign: int = 0
    unreachable: Sequence[str] = ()
    """Key stores that could not be listed, and why."""


def blown(trip: Trip, outcome: Outcome, deeds: Deeds) -> Report:
    """Report a trip that holds the fuse: ``done``, ``incomplete`` or ``gave-up``."""
    details = [
        f"Cause: {trip.cause}",
        *_named("Disabled", [str(each.key) for each in deeds.disabled]),
        *_named("STILL WORKS", [f"{each.key}: {each.note}" for each in deeds.failed]),
        *(f"Could not be listed: {each}" for each in deeds.unreachable),
        *_left(deeds),
        HOW_TO_RESTORE,
    ]
    return _report(trip, outcome, "critical", _blown_headline(trip, outcome, deeds), details)


def _blown_headline(trip: Trip, outcome: Outcome, deeds: Deeds) -> str:
    said = f"Fuse tripped: {_count(len(deeds.disabled))} disabled"
    if trip.joined:
        said = f"Fuse was tripped already: {_count(len(deeds.disabled))} more disabled"
    failed = len(deeds.failed) + len(deeds.unreachable)
    if outcome == "incomplete":
        return f"{said}; {failed} could not be yet, trying again"
    if outcome == "gave-up":
        return f"{said}; {failed} COULD NOT BE after {trip.passes + 1} attempts: do it by hand"
    return said


def not_blown(trip: Trip, outcome: Outcome, reason: str, deeds: Deeds = Deeds()) -> Report:
    """Report an order that disabled nothing: the traffic goes on, and people must know."""
    details = [f"Cause: {trip.cause}", *_left(deeds)]
    if outcome in ("empty", "off"):
        details += _goes_on(trip)
    # Only ``empty`` comes as a surprise: it was to trip, and there was nothing to disable.
    severity: Severity = "critical" if outcome == "empty" else "warning"
    return _report(trip, outcome, severity, f"Fuse NOT tripped: {reason}", details)


def rehearsed(trip: Trip, would_disable: Sequence[str], deeds: Deeds) -> Report:
    """Report a dry run."""
    details = [
        f"Cause: {trip.cause}",
        *_named("Would be disabled", would_disable),
        *_left(deeds),
        "The fuse's mode is dry-run: nothing was changed, and this order is used up.",
        *_goes_on(trip),
    ]
    headline = f"Dry run: the fuse would have disabled {_count(len(would_disable))}"
    return _report(trip, "dry-run", "warning", headline, details)


def restored(
    trip: Trip | None,
    fuse: str,
    epoch: int,
    *,
    enabled: Sequence[str],
    gone: Sequence[str],
    failed: Sequence[str],
    allowances: Sequence[Allowance],
) -> Report:
    """Report a restore; it joins the incident of the trip that had blown the fuse."""
    headline = f"Fuse restored: {_count(len(enabled))} enabled"
    if failed:
        headline += f"; {len(failed)} could not be: run the restore again"
    details = [
        *_named("Enabled", enabled),
        *_named("STILL DISABLED", failed),
        *_named("Deleted meanwhile", gone),
        *(allowance_line(each) for each in allowances),
    ]
    order = None if trip is None or trip.order.is_manual else trip.order
    return Report(
        id=f"{fuse}/restore/{epoch}/{len(failed)}",
        outcome="restored",
        severity="warning" if failed else "info",
        headline=headline,
        details=tuple(details),
        budget=order.budget if order else None,
        period=order.period if order else None,
    )


def allowance_line(allowance: Allowance) -> str:
    """Say in one line when a budget trips again."""
    until = display_usd(allowance.until_nano_usd)
    return (
        f"{allowance.budget} {allowance.period}: trips again at {until}, "
        "or at its limit where that is higher"
    )


def _report(
    trip: Trip,
    outcome: Outcome,
    severity: Severity,
    headline: str,
    details: Sequence[str],
) -> Report:
    order = trip.order
    belongs = not order.is_manual
    return Report(
        id=f"{trip.id}/{outcome}",
        outcome=outcome,
        severity=severity,
        headline=headline,
        details=tuple(details),
        budget=order.budget if belongs else None,
        period=order.period if belongs else None,
        percent=order.percent if belongs else None,
        limit_nano_usd=order.limit_nano_usd if belongs else None,
    )


def _count(keys: int) -> str:
    return f"{keys} API key" if keys == 1 else f"{keys} API keys"


def _named(what: str, names: Sequence[str]) -> list[str]:
    lines = [f"{what}: {name}" for name in names[:NAMED]]
    if len(names) > NAMED:
        lines.append(f"{what}: and {len(names) - NAMED} more")
    return lines


def _goes_on(trip: Trip) -> list[str]:
    tag = f"{FUSE_TAG}={trip.order.fuse}"
    return [
        f"The spending goes on, and this order is not sent again in {trip.order.period}.",
        f"To stop it: tag the API keys that spend with {tag}, then run: {STOP_BY_HAND}",
    ]


def _left(deeds: Deeds) -> list[str]:
    lines = _named("Left alone", [f"{each.key}: {each.reason}" for each in deeds.left])
    if deeds.foreign:
        lines.append(f"Left alone: {_count(deeds.foreign)} without this fuse's tag")
    return lines
