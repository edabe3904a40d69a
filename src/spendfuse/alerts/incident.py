"""Incidents: all alerts of one budget in one period, told as one story.

Alerts come late, twice and out of order. One is told once on each channel, and says what
people have heard before it and since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from spendfuse.alerts.alert import Alert, Severity, Source
from spendfuse.alerts.outlook import Outlook
from spendfuse.alerts.verbatim import cut, one_line

LEASE_SECONDS = 60
"""Longer than a channel takes; shorter than people should wait for a function that died."""

_HEADLINE_CHARACTERS = 200
_RANKS: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Told:
    """What an incident remembers of one of its alerts."""

    alert_id: str
    at: datetime
    """When it happened."""
    seen_at: datetime
    """When it first got here; alerts are numbered in this order."""
    severity: Severity
    source: Source
    headline: str


@dataclass(frozen=True, slots=True)
class Story:
    """An alert, and all that a channel needs to tell it well."""

    alert: Alert
    outlook: Outlook
    number: int = 1
    """Its place in the incident, from 1."""
    earlier: tuple[Told, ...] = ()
    later: tuple[Told, ...] = ()
    """Alerts that overtook it while it waited for its channel."""
    escalates: bool = False
    """Whether it is graver than all before it."""
    notes: tuple[str, ...] = ()
    """What went wrong on other channels."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The sole right to send one alert on one channel, until ``until``."""

    until: datetime


Verdict = Lease | Literal["sent"] | datetime
"""The lease; or it was sent already; or when another's lease runs out."""


class Incidents(Protocol):
    """The memory of what was told, and the right to tell it.

    Raises:
        UnavailableError: nothing was done; the same call may work later.
    """

    def remember(self, alert: Alert) -> tuple[Told, ...]:
        """Put the alert into its incident, once, and return all that the incident holds."""
        ...

    def claim(self, alert: Alert, channel: str) -> Verdict:
        """Ask for the right to send: of all who ask at one time, one gets a lease."""
        ...

    def mark_sent(self, alert: Alert, channel: str) -> None:
        """Remember that it was sent: nobody gets a lease on it again."""
        ...

    def release(self, alert: Alert, channel: str, lease: Lease) -> None:
        """Give a lease back after a failure; one that has passed on to others stays theirs."""
        ...


def incident_key(alert: Alert) -> str:
    """Return the name of the alert's incident; what has no budget stands for itself."""
    if alert.budget is None or alert.period is None:
        return alert.id
    return f"{alert.budget}#{alert.period}"


def told(alert: Alert, *, seen_at: datetime) -> Told:
    """Return what is remembered of an alert."""
    headline = cut(one_line(alert.headline), _HEADLINE_CHARACTERS)
    return Told(alert.id, alert.at, seen_at, alert.severity, alert.source, headline)


def story(alert: Alert, incident: Iterable[Told], outlook: Outlook) -> Story:
    """Tell ``alert`` as a part of its incident, which holds it."""
    in_order = sorted(incident, key=lambda each: (each.seen_at, each.alert_id))
    place = next(i for i, each in enumerate(in_order) if each.alert_id == alert.id)
    earlier = tuple(in_order[:place])
    rank = _RANKS[alert.severity]
    return Story(
        alert=alert,
        outlook=outlook,
        number=place + 1,
        earlier=earlier,
        later=tuple(in_order[place + 1 :]),
        escalates=bool(earlier) and all(_RANKS[each.severity] < rank for each in earlier),
    )
