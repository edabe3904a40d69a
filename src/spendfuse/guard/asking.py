"""What a request asks of the guard: its arguments, read and checked before anything is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from spendfuse.budget import Limits
from spendfuse.errors import InputError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.estimate import (
    MOST_NANO_USD,
    CallEstimate,
    Dollars,
    Estimator,
    amount_nano_usd,
)
from spendfuse.guard.step import Reserve
from spendfuse.guard.tree import BudgetTree, Levels
from spendfuse.metering.attribution import (
    MAX_ATTRIBUTES,
    NAMED,
    current_attribution,
    extended,
)
from spendfuse.metering.record import RecordIds
from spendfuse.metering.usage import shown_value
from spendfuse.money import display_usd

Attribute = str | int | UUID | None
MAX_ID_BYTES = 256


class Asked(NamedTuple):
    """One request, ready for the store."""

    step: Reserve
    levels: Levels
    call: CallEstimate | None
    """Its estimate; None where that was given in dollars."""
    max_tokens: int | None
    at: datetime


class Asking:
    """Makes steps of what apps ask.

    Args:
        estimator: for calls that are asked for by model and prompt.
        hold_seconds: how long money is held.
        now: the time, aware.
        seeds: what each step brings along.
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        hold_seconds: float,
        now: Callable[[], datetime],
        seeds: Mapping[str, int] | None,
    ) -> None:
        self.estimator = estimator
        self._hold_seconds = hold_seconds
        self._now = now
        self._seeds = seeds
        self._ids = RecordIds()

    def asked(
        self,
        tree: BudgetTree,
        estimate_usd: Dollars | None,
        attributes: dict[str, Attribute],
        *,
        model: str,
        provider: str,
        prompt: object,
        max_tokens: int | None,
        tier: str | None,
        batch: bool,
        hold_id: str | None,
    ) -> Asked:
        """Return the step; errors as ``Guard.reserve`` has them."""
        at = self._now()
        call = None
        if estimate_usd is not None:
            if prompt is not None:
                raise InputError("an estimate is given in dollars or by a prompt, not by both")
            least = amount = amount_nano_usd(estimate_usd)
            if model and not provider and "provider" in tree.names:
                provider = self.estimator.provider_of(model, at=at)
        else:
            call = self._call(
                model, provider, prompt, max_tokens=max_tokens, tier=tier, batch=batch, at=at
            )
            least = amount = call.nano_usd(call.max_tokens)
            max_tokens, provider = call.max_tokens, call.price.provider
            if amount > MOST_NANO_USD:
                raise InputError(f"one call can't cost {display_usd(amount)}; check max_tokens")
        if model:
            attributes["model"] = model
        if provider:
            attributes["provider"] = provider
        levels = levels_of(tree, attributes, at)
        if levels.fits and call is not None:
            least = self.estimator.least_nano_usd(call)
        step = Reserve(
            self._ids() if hold_id is None else checked_id(hold_id),
            amount,
            least,
            levels.budgets,
            levels.rates,
            self._hold_seconds,
            self._seeds,
        )
        return Asked(step, levels, call, max_tokens, at)

    def _call(
        self,
        model: str,
        provider: str,
        prompt: object,
        *,
        max_tokens: int | None,
        tier: str | None,
        batch: bool,
        at: datetime,
    ) -> CallEstimate:
        if not model or prompt is None:
            raise InputError(
                "what is it to cost? Give an estimate in dollars, or a model and its prompt"
            )
        return self.estimator.call(
            model,
            prompt,
            at=at,
            provider=provider,
            max_tokens=max_tokens,
            tier=tier,
            batch=batch,
        )


def levels_of(tree: BudgetTree, given: Mapping[str, Attribute], at: datetime) -> Levels:
    """Return the levels of a request made here: of its attributes, and of those in force."""
    around = current_attribution()
    if len(given) + len(around.attributes) > MAX_ATTRIBUTES:
        # As the meter leaves some of them out, or guard and ledger would count it apart.
        return tree.levels(extended(around, _texts(given)).attributes, at)
    for value in given.values():
        if type(value) is not str:
            given = _texts(given)
            break
    return tree.levels(given, at, around=around.attributes)  # type: ignore[arg-type]


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


def current_tree(tree: BudgetTree, limits: Limits) -> BudgetTree:
    """Return the tree of the limits in force: the same one as long as they are the same."""
    if limits is tree.limits or limits == tree.limits:
        return tree
    return BudgetTree(limits)
