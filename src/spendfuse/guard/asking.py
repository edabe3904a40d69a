"""What a request is asked for: whose it is, its id, and the budgets that follow from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from spendfuse.budget import Budget, Limits
from spendfuse.errors import InputError, SettingsError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.tree import BudgetTree, Levels
from spendfuse.metering.attribution import (
    MAX_ATTRIBUTES,
    NAMED,
    current_attribution,
    extended,
)
from spendfuse.metering.usage import shown_value

LimitsSource = Limits | Sequence[Budget] | Callable[[], Limits]
Attribute = str | int | UUID | None
MAX_ID_BYTES = 256


def levels_of(tree: BudgetTree, given: Mapping[str, Attribute], at: datetime) -> Levels:
    """Return the levels of a request made here: of its attributes, and of those in force."""
    around = current_attribution()
    for value in given.values():
        if type(value) is not str:
            given = _texts(given)
            break
    known: Mapping[str, str] = given  # type: ignore[assignment]
    if len(known) + len(around.attributes) > MAX_ATTRIBUTES:
        # As the meter leaves some of them out, or guard and ledger would count it apart.
        known = extended(around, known).attributes
    elif around.attributes:
        known = {**around.attributes, **{name: value for name, value in known.items() if value}}
    return tree.levels(known, at)


def _texts(given: Mapping[str, Attribute]) -> dict[str, str]:
    return {name: _text(name, value) for name, value in given.items() if value is not None}


def _text(name: str, value: Attribute) -> str:
    """Return an attribute as text; a user's number is the user all the same.

    Raises:
        InputError: it is none. The meter makes a field of it, which no budget ever matches.
    """
    if isinstance(value, str):
        return value
    if name in NAMED and isinstance(value, int | UUID) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"{name} must be text, got {shown_value(value)}; budgets match on text")


def checked_id(hold_id: object) -> str:
    """Return an id that every store takes.

    Raises:
        ReservationError: it is no text of 1 to 256 bytes.
    """
    if isinstance(hold_id, str):
        try:
            if 0 < len(hold_id.encode()) <= MAX_ID_BYTES:
                return hold_id
        except UnicodeEncodeError:
            pass
    raise ReservationError(
        f"a reservation's id is a text of 1 to {MAX_ID_BYTES} bytes, got {shown_value(hold_id)}"
    )


def fixed_limits(limits: LimitsSource) -> Limits:
    """Return limits that don't change.

    Raises:
        SettingsError: two budgets have one name.
    """
    if callable(limits):
        return limits()
    fixed = limits if isinstance(limits, Limits) else Limits(tuple(limits))
    names = [each.name for each in fixed.budgets] + [each.name for each in fixed.rates]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise SettingsError(
            f"each budget and each rate needs a name of its own: {', '.join(twice)}"
        )
    return fixed


def current_tree(tree: BudgetTree, limits: Limits) -> BudgetTree:
    """Return the tree of the limits in force: the same one as long as they are the same."""
    if limits is tree.limits or limits == tree.limits:
        return tree
    return BudgetTree(limits)
