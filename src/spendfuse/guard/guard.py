"""The guard: asks the store before a request is made, and tells it afterwards what it cost."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from spendfuse.budget import Budget, Limits
from spendfuse.clock import utc_now
from spendfuse.errors import InputError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.errors import (
    BudgetExceededError,
    BudgetFigures,
    FuseTrippedError,
    ReservationError,
)
from spendfuse.guard.memory import MemoryStore
from spendfuse.guard.reservation import Reservation
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
    is_short,
    room,
)
from spendfuse.guard.store import Store
from spendfuse.guard.tree import BudgetTree
from spendfuse.metering.attribution import current_attribution, extended
from spendfuse.money import decimal_usd, nano_usd

LimitsSource = Limits | Sequence[Budget] | Callable[[], Limits]
Spent = Callable[[Level], int]
"""What the ledger says was spent on a level, in nano-dollars; may raise UnavailableError."""
HOLD_SECONDS = 600.0
_WHEN_HELD_SECONDS = 5
"""Retry-After where only running requests stand in the way: they end before the period does."""


class Guard:
    """Reserves money for requests; safe to share between threads and tasks.

    Args:
        limits: budgets, or ``Limits``, or a function that returns the limits in force; it is
            asked for every request, so it must be quick.
        store: where the counters are; by default in this process.
        spent: what the ledger says, for counters that the store does not have (any more).
        fuse: the fuse's state; while it is tripped, everything is refused.
        hold_seconds: after this time a hold ends by itself.
        now: the time, aware.
    """

    def __init__(
        self,
        limits: LimitsSource,
        *,
        store: Store | None = None,
        spent: Spent | None = None,
        fuse: Callable[[], FuseState] | None = None,
        hold_seconds: float = HOLD_SECONDS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._limits = _source(limits)
        self._tree = BudgetTree(self._limits())
        self._store = MemoryStore() if store is None else store
        self._spent = spent
        self._fuse = fuse
        self._hold_seconds = hold_seconds
        self._now = now

    def reserve(
        self, estimate_usd: object, *, hold_id: str | None = None, **attributes: str
    ) -> Reservation:
        """Hold the estimate on every budget that applies.

        Raises:
            BudgetExceededError: it does not fit.
            FuseTrippedError: the fuse is tripped.
        """
        self._ask_fuse()
        amount = _amount(estimate_usd)
        known = extended(current_attribution(), attributes).attributes
        levels = self._current_tree().levels(known, self._now())
        step = Reserve(
            hold_id or secrets.token_hex(16),
            amount,
            amount,
            levels.budgets,
            levels.rates,
            self._hold_seconds,
            {} if self._spent is None else None,
        )
        outcome = self._store.reserve(step)
        if isinstance(outcome, Unseeded):
            seeds = self._seeds(levels.budgets, outcome)
            outcome = self._store.reserve(step._replace(seeds=seeds))
        if isinstance(outcome, Granted):
            return Reservation(self, outcome.hold)
        if isinstance(outcome, Refused):
            raise self._refusal(step, outcome)
        raise AssertionError(outcome)

    def settle(self, reservation: Reservation | str, cost_usd: object) -> Settled:
        """Charge what a request really cost."""
        hold = self._hold(reservation)
        step = Settle(hold, _amount(cost_usd), seeds={} if self._spent is None else None)
        outcome = self._store.settle(step)
        if isinstance(outcome, Unseeded):
            seeds = self._seeds(hold.levels, outcome)
            outcome = self._store.settle(step._replace(seeds=seeds))
        if isinstance(outcome, Unseeded):
            raise AssertionError(outcome)
        return outcome

    def release(self, reservation: Reservation | str) -> bool:
        """Let go of a reservation, nothing charged."""
        return self._store.release(self._hold(reservation))

    def close(self) -> None:
        self._store.close()

    def _current_tree(self) -> BudgetTree:
        limits = self._limits()
        if limits is not self._tree.limits:
            self._tree = BudgetTree(limits)
        return self._tree

    def _ask_fuse(self) -> None:
        if self._fuse is None:
            return
        state = self._fuse()
        if state.state == "tripped":
            raise FuseTrippedError(state.fuse, trip_id=state.trip_id, since=state.since)

    def _hold(self, reservation: Reservation | str) -> Hold:
        if isinstance(reservation, Reservation):
            return reservation.hold
        hold = self._store.find(reservation)
        if hold is None:
            raise ReservationError(f"there is no reservation {reservation!r}; nothing was counted")
        return hold

    def _seeds(self, levels: Sequence[Level], missing: Unseeded) -> Mapping[str, int]:
        spent = self._spent
        wanted = set(missing.counters)
        return {
            each.counter: spent(each) if spent else 0 for each in levels if each.counter in wanted
        }

    def _refusal(self, step: Reserve, refused: Refused) -> BudgetExceededError:
        budgets = [
            figures(level, standing, asked=step.nano_usd)
            for level, standing in zip(step.levels, refused.standings, strict=True)
        ]
        level, standing = min(
            (
                (level, standing)
                for level, standing in zip(step.levels, refused.standings, strict=True)
                if level.mode != "observe"
            ),
            key=lambda each: room(*each),
        )
        return BudgetExceededError(
            figures(level, standing, asked=step.nano_usd),
            step.nano_usd,
            retry_after_seconds=self._retry_after(level, standing, step.nano_usd),
            budgets=budgets,
        )

    def _retry_after(self, level: Level, standing: Standing, asked: int) -> int | None:
        if standing.spent_nano_usd + asked <= level.limit_nano_usd:
            return _WHEN_HELD_SECONDS
        if not level.ends_at or asked > level.limit_nano_usd:
            return None
        return max(1, level.ends_at - int(self._now().timestamp()))


def figures(level: Level, standing: Standing, *, asked: int) -> BudgetFigures:
    """Return one level's figures for people."""
    return BudgetFigures(
        level.budget,
        level.value,
        level.period,
        level.limit_nano_usd,
        standing.spent_nano_usd,
        standing.held_nano_usd,
        datetime.fromtimestamp(level.ends_at, UTC) if level.ends_at else None,
        is_short=is_short(level, standing, asked),
    )


def _source(limits: LimitsSource) -> Callable[[], Limits]:
    if callable(limits):
        return limits
    fixed = limits if isinstance(limits, Limits) else Limits(tuple(limits))
    return lambda: fixed


def _amount(dollars: object) -> int:
    amount = decimal_usd(dollars)
    if amount < 0:
        raise InputError(f"an amount can't be below 0, got {dollars!r}")
    return nano_usd(amount)
