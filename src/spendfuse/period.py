"""Calendar periods: the day, ISO week or month that a budget counts in, or all of time.

A period's key is part of every counter's name, so nothing has to be reset at midnight.
A month is a calendar month: not 28 days, not 30. Midnight is UTC's, or a named zone's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spendfuse.errors import InputError

PeriodKind = Literal["day", "week", "month", "total"]
PERIOD_KINDS: tuple[PeriodKind, ...] = get_args(PeriodKind)
UTC_ZONE = "UTC"
TOTAL_KEY = "total"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of the period that does not end."""
_FIRST_YEAR, _LAST_YEAR = 1000, 9998
"""Of keys: their years have four digits, and what follows the last is still in the calendar."""

_KEYS = {
    "day": re.compile(r"(\d{4})-(\d{2})-(\d{2})"),
    "week": re.compile(r"(\d{4})-W(\d{2})"),
    "month": re.compile(r"(\d{4})-(\d{2})"),
}


@cache
def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name, such as ``Europe/Berlin``.

    Raises:
        InputError: there is none of that name here.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"{name!r} is no time zone that is known here; write an IANA name, such as "
            "'Europe/Berlin' (pip install 'spendfuse[zones]' where the system has no zones)"
        ) from error


@dataclass(frozen=True, slots=True)
class Period:
    """One calendar period, ``[start, end)``; ``key`` is e.g. ``2026-11``.

    ``start`` is the first moment of its day in ``zone``, given in UTC. A day on which the clocks
    change has 23 or 25 hours.
    """

    kind: PeriodKind
    start: datetime
    zone: str = UTC_ZONE

    @classmethod
    def containing(cls, kind: PeriodKind, at: datetime, zone: str = UTC_ZONE) -> Period:
        """Return the period in which ``at`` (aware) lies."""
        if at.tzinfo is None:
            raise InputError(f"the time {at.isoformat()} has no time zone")
        if kind == "total":
            return cls(kind, _BEGINNING, zone)
        day = _day_of(at, zone)
        if kind == "week":
            day -= timedelta(days=day.weekday())
        elif kind == "month":
            day = day.replace(day=1)
        return cls(kind, _midnight(day, zone), zone)

    @classmethod
    def from_key(cls, kind: PeriodKind, key: str, zone: str = UTC_ZONE) -> Period:
        """Return the period that ``key`` names.

        Raises:
            InputError: not a key of this kind.
        """
        if kind == "total":
            if key != TOTAL_KEY:
                raise InputError(f"{key!r} is not the key of a total")
            return cls(kind, _BEGINNING, zone)
        match = _KEYS[kind].fullmatch(key)
        try:
            if match is None:
                raise ValueError(key)
            numbers = [int(group) for group in match.groups()]
            if kind == "week":
                first = date.fromisocalendar(numbers[0], numbers[1], 1)
            else:
                first = date(numbers[0], numbers[1], numbers[2] if kind == "day" else 1)
            if not _FIRST_YEAR <= first.year <= _LAST_YEAR:
                raise ValueError(key)
        except ValueError as error:
            raise InputError(f"{key!r} is not the key of a {kind}") from error
        period = cls(kind, _midnight(first, zone), zone)
        if period.key != key:
            # Where the date line moved, a day was left out.
            raise InputError(f"{key!r} is not the key of a {kind}: {zone} has no such {kind}")
        return period

    @property
    def key(self) -> str:
        """The period's name in keys and messages: 2026-11-21, 2026-W47, 2026-11 or total."""
        if self.kind == "total":
            return TOTAL_KEY
        first = self._first_day
        if self.kind == "week":
            year, week, _ = first.isocalendar()
            return f"{year}-W{week:02d}"
        return first.strftime("%Y-%m-%d" if self.kind == "day" else "%Y-%m")

    @property
    def end(self) -> datetime:
        """The first moment after the period: when its budget starts anew."""
        if self.kind == "total":
            return NEVER
        first = self._first_day
        if self.kind == "month":
            return _midnight((first + timedelta(days=32)).replace(day=1), self.zone)
        days = 1 if self.kind == "day" else 7 - first.weekday()
        return _midnight(first + timedelta(days=days), self.zone)

    @property
    def previous(self) -> Period:
        """The period just before this one; the total has none and returns itself."""
        if self.kind == "total":
            return self
        return Period.containing(self.kind, self.start - timedelta(microseconds=1), self.zone)

    @property
    def _first_day(self) -> date:
        if self.zone == UTC_ZONE:
            return self.start.date()
        return self.start.astimezone(zone_of(self.zone)).date()


def _day_of(at: datetime, zone: str) -> date:
    """Return the day whose first moment is the last one up to ``at``.

    Clocks that are put back just after midnight show the day before once more; it is over.
    """
    if zone == UTC_ZONE:
        return at.astimezone(UTC).date()
    day = at.astimezone(zone_of(zone)).date()
    one = timedelta(days=1)
    while at < _midnight(day, zone):
        day -= one
    while at >= _midnight(day + one, zone):
        day += one
    return day


def _midnight(day: date, zone: str) -> datetime:
    """Return the first moment of a day; where midnight does not exist, the clock's next."""
    if zone == UTC_ZONE:
        return datetime.combine(day, time.min, UTC)
    return datetime.combine(day, time.min, zone_of(zone)).astimezone(UTC)
