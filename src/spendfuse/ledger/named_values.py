"""Which models and features have metrics of their own. Pure.

CloudWatch bills every value of a dimension, so only so many have places; the rest are ``other``.
A value keeps its place: one that changed between itself and ``other`` could not be read. A place
is given away only where somebody else wants it and its holder was used neither today nor
yesterday, so a flood of values that are used once passes through and is gone two days later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Self

from spendfuse.errors import InputError
from spendfuse.metrics import MAX_VALUES, OTHER

NONE = "(none)"
"""Of the records that don't say."""
_MAX_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class NamedValues:
    """The values of one dimension that have places, and the day on which each was last used."""

    last_used: Mapping[str, date] = field(default_factory=dict)

    def shown(self, value: str) -> str:
        """Return the value, or ``other`` where it has no place."""
        return value if value in self.last_used else OTHER

    def after(self, used: Iterable[str], today: date) -> Self:
        """Return the places once these values were used today; who comes first is served first."""
        used = tuple(dict.fromkeys(used))
        places = dict(self.last_used)
        places.update((value, today) for value in used if value in places)
        for value in used:
            if value not in places and _make_room(places, today):
                places[value] = today
        return type(self)(places)


def dimension_value(text: str) -> str:
    """Return text as CloudWatch takes it: printable ASCII, not empty, without a leading colon.

    What is not ASCII is escaped and not replaced, so that two names stay two.
    """
    plain = text.strip().encode("unicode_escape").decode("ascii")
    if plain.startswith(":"):
        plain = rf"\x3a{plain[1:]}"
    return plain[:_MAX_CHARACTERS] or NONE


def named_values_to_json(named: Mapping[str, NamedValues]) -> str:
    """Return the places of several dimensions as text; the same places give the same text."""
    days = {
        dimension: {value: day.isoformat() for value, day in each.last_used.items()}
        for dimension, each in named.items()
    }
    return json.dumps(days, sort_keys=True)


def named_values_from_json(text: str) -> dict[str, NamedValues]:
    """Read what ``named_values_to_json`` wrote.

    Raises:
        InputError: not such a text.
    """
    try:
        return {
            dimension: NamedValues({value: date.fromisoformat(day) for value, day in days.items()})
            for dimension, days in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the named values can't be read: {error}") from error


def _make_room(places: dict[str, date], today: date) -> bool:
    """Give a place away where all are taken; False where every holder still uses its own."""
    if len(places) < MAX_VALUES:
        return True
    idlest = min(places, key=lambda value: (places[value], value))
    if places[idlest] >= today - timedelta(days=1):
        return False
    del places[idlest]
    return True
