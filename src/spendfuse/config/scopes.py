"""What a budget or a rate counts, and when: the checks of ``match``, ``per`` and ``zone``.

What could only be a mistake is refused: a budget that never matches holds nothing, in silence.
"""

from __future__ import annotations

import difflib
from zoneinfo import available_timezones

from spendfuse.config.fields import MAX_ATTRIBUTE_BYTES
from spendfuse.errors import InputError
from spendfuse.period import UTC_ZONE, zone_of

_REST = "*"
_OF_THIS_MACHINE = {"Factory", "localtime"}
"""Names in the zones' folder that are no place: another machine reads them as another zone."""


def match(value: dict[str, str]) -> dict[str, str]:
    for name, wanted in value.items():
        attribute(name)
        if not is_attribute_text(wanted):
            raise ValueError(
                f'the value of "{name}" is no text of 1 to {MAX_ATTRIBUTE_BYTES} bytes, and no '
                "record has such a one; write the value that the records have"
            )
        if _REST in wanted[:-1]:
            raise ValueError(
                f'"{name}" has a * before the end, where it would stand for itself; write it at '
                'the end, for the rest of the value, as in "gpt-4o*"'
            )
    return value


def attribute(name: str) -> str:
    """Take any name that a record's attribute may have: apps make up their own."""
    if not is_attribute_text(name) or _REST in name or name != name.strip():
        raise ValueError(
            f"an attribute's name has 1 to {MAX_ATTRIBUTE_BYTES} bytes and no *; write one that "
            'the records have, such as "team" or "user"'
        )
    return name


def zone(name: str) -> str:
    if name == UTC_ZONE:
        return name
    known = available_timezones() - _OF_THIS_MACHINE
    try:
        zone_of(name)
    except InputError as error:
        raise ValueError(_unknown_zone(name, known)) from error
    if name not in known:
        raise ValueError(_unknown_zone(name, known))
    return name


def _unknown_zone(name: str, known: set[str]) -> str:
    """Say what was meant: a name in other letters, or a city without its continent."""
    folded = {each.lower(): each for each in sorted(known)}
    cities = {each.rpartition("/")[2]: zone for each, zone in folded.items()}
    plain = name.strip().lower().replace(" ", "_")
    near = cities.get(plain) or next(
        (folded[each] for each in difflib.get_close_matches(plain, folded, n=1)), None
    )
    hint = f'did you mean "{near}"? ' if near else ""
    return f'there is no such time zone; {hint}write an IANA name, such as "Europe/Berlin"'


def is_attribute_text(text: str) -> bool:
    """Return whether an attribute of a record may have this text."""
    try:
        return 0 < len(text.encode()) <= MAX_ATTRIBUTE_BYTES
    except UnicodeEncodeError:
        return False
