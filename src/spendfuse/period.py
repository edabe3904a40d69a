"""Calendar periods: the UTC day, ISO week or month that a budget counts in.

A period's key is part of every counter's name, so nothing has to be reset at midnight.
A month is a calendar month: not 28 days, not 30.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args

from spendfuse.errors import InputError

PeriodKind = Literal["day", "week", "month"]
PERIOD_KINDS: tuple[PeriodKind, ...] = get_args(PeriodKind)

_KEYS = {
    "day": re.compile(r"(\d{4})-(\d{2})-(\d{2})"),
    "week": re.compile(r"(\d{4})-W(\d{2})"),
    "month": re.compile(r"(\d{4})-(\d{2})"),
}


@dataclass(frozen=True, slots=True)
class Period:
    """One calendar period, ``[start, end)`` in UTC; ``key`` is e.g. ``2026-11``."""

    kind: PeriodKind
    start: datetime

    @classmethod
    def containing(cls, kind: PeriodKind, at: datetime) -> Period:
        """Return the period in which ``at`` (aware) lies."""
        if at.tzinfo is None:
            raise InputError(f"the time {at.isoformat()} has no time zone")
        day = at.astimezone(UTC).date()
        if kind == "week":
            day -= timedelta(days=day.weekday())
        elif kind == "month":
            day = day.replace(day=1)
        return cls(kind, _midnight(day))

    @classmethod
    def from_key(cls, kind: PeriodKind, key: str) -> Period:
        """Return the period that ``key`` names.

        Raises:
            InputError: not a key of this kind.
        """
        match = _KEYS[kind].fullmatch(key)
        try:
            if match is None:
                raise ValueError(key)
            numbers = [int(group) for group in match.groups()]
            if kind == "week":
                first = date.fromisocalendar(numbers[0], numbers[1], 1)
            else:
                first = date(numbers[0], numbers[1], numbers[2] if kind == "day" else 1)
        except ValueError as error:
            raise InputError(f"{key!r} is not the key of a {kind}") from error
        return cls(kind, _midnight(first))

    @property
    def key(self) -> str:
        """The period's name in keys and messages: 2026-11-21, 2026-W47 or 2026-11."""
        if self.kind == "week":
            year, week, _ = self.start.isocalendar()
            return f"{year}-W{week:02d}"
        return self.start.strftime("%Y-%m-%d" if self.kind == "day" else "%Y-%m")

    @property
    def end(self) -> datetime:
        """The first moment after the period: when its budget starts anew."""
        if self.kind == "day":
            return self.start + timedelta(days=1)
        if self.kind == "week":
            return self.start + timedelta(days=7)
        return (self.start + timedelta(days=32)).replace(day=1)

    @property
    def previous(self) -> Period:
        """The period just before this one."""
        return Period.containing(self.kind, self.start - timedelta(days=1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
