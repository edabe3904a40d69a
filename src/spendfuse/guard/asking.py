"""What a request is asked for: whose it is, its id, and the budgets that follow from that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ParamSpec, TypeVar
from uuid import UUID

from spendfuse.errors import InputError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.tree import BudgetTree, Levels
from spendfuse.metering.attribution import (
    MAX_ATTRIBUTES,
    NAMED,
    current_attribution,
    extended,
)
from spendfuse.metering.usage import shown_value

Attribute = str | int | UUID | None
MAX_ID_BYTES = 256
_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def asked_as(
    reserve: Callable[_Asked, object],
) -> Callable[[Callable[..., _Answer]], Callable[_Asked, _Answer]]:
    """Give a method the arguments of ``reserve``, for type checkers and for help."""

    def decorate(method: Callable[..., _Answer]) -> Callable[_Asked, _Answer]:
        signature = inspect.signature(reserve)
        returns = inspect.signature(method).return_annotation
        method.__signature__ = signature.replace(  # type: ignore[attr-defined]
            return_annotation=returns
        )
        return method

    return decorate


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
    got = "bytes" if isinstance(value, bytes) else shown_value(value)
    raise InputError(f"{name} must be text, got {got}; budgets match on text")


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
