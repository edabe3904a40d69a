"""Times as text: RFC 3339 in UTC, ending in Z, to the millisecond."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, UTC, datetime

from spendfuse.errors import InputError

_LOWEST, _HIGHEST = MINYEAR, MAXYEAR
"""In the first and the last year a zone's offset may lead out of what a datetime holds."""


def utc_now() -> datetime:
    """Return the current time; passed in as ``now`` by whoever wires a use case."""
    return datetime.now(UTC)


def utc_text(at: datetime) -> str:
    """Return ``2026-11-21T22:13:34.125Z``."""
    if at.tzinfo is None:
        raise InputError(f"the time {at.isoformat()} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: object) -> datetime:
    """Read an RFC 3339 time with a zone.

    Raises:
        InputError: not text, not a time, or without a zone.
    """
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not _LOWEST < at.year < _HIGHEST:
        raise InputError(f"expected a time with a zone, such as 2026-11-21T22:13:34Z, got {text!r}")
    return at.astimezone(UTC)
