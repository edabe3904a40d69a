"""What a guard has done: counts for people and for metrics, never with a user among them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from spendfuse.guard.errors import (
    BudgetExceededError,
    FuseTrippedError,
    GuardDownError,
    RateExceededError,
    RefusedError,
)
from spendfuse.metering.forks import renew_after_fork


@dataclass(frozen=True, slots=True)
class GuardHealth:
    """Counts since the guard was made, in this process."""

    reserved: int = 0
    """Requests that were let through."""
    lowered: int = 0
    """Of them, those whose max_tokens a ``fit`` budget lowered."""
    refused: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By (kind, name of the budget, rate or fuse)."""
    settled: int = 0
    """Requests, and late parts of them, whose cost was charged."""
    released: int = 0
    late: int = 0
    """Of the settled, those whose hold had expired or was released: the limit was not held."""
    unreported: int = 0
    """Requests that ended well and of which the meter heard nothing: their estimate counts."""
    observed_over: Mapping[str, int] = field(default_factory=dict)
    """By budget: requests that an ``observe`` budget had no room for."""
    store_failures: int = 0
    """Steps that the store could not take."""
    ledger_failures: int = 0
    """Counters that could not be seeded, because the ledger could not be asked."""
    fuse_unreadable: int = 0
    """Reads of the fuse's state that failed: the last known state held."""
    limits_unreadable: int = 0
    """Reads of the limits that failed: the last known limits held."""


class BudgetGauge(NamedTuple):
    """How one budget stands in its period; None where it can't be told."""

    budget: str
    period: str
    limit_nano_usd: int
    spent_nano_usd: int | None
    held_nano_usd: int | None
    drift_nano_usd: int | None
    """What the guard has counted and the ledger has not; below 0 the other way round."""


_COUNTS = tuple(
    name
    for name in GuardHealth.__dataclass_fields__
    if name not in {"refused", "observed_over", "fuse_unreadable", "limits_unreadable"}
)


class _Tally:
    """A count that threads add to without a lock: a step of ``itertools.count`` is one step."""

    __slots__ = ("_looks", "add")

    def __init__(self) -> None:
        self.add = itertools.count().__next__
        self._looks = 0

    def value(self) -> int:
        # Looking is a step too; one thread looks at a time.
        value = self.add() - self._looks
        self._looks += 1
        return value


class Counts:
    """The guard's counts; safe to share between threads."""

    def __init__(self) -> None:
        self._tallies = {name: _Tally() for name in _COUNTS}
        self._refused: dict[tuple[str, str], int] = {}
        self._observed: dict[str, int] = {}
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        self._tallies[name].add()

    def refuse(self, error: RefusedError) -> None:
        key = (error.kind, _name(error))
        with self._lock:
            self._refused[key] = self._refused.get(key, 0) + 1

    def observe(self, budget: str) -> None:
        with self._lock:
            self._observed[budget] = self._observed.get(budget, 0) + 1

    def health(self, *, fuse_unreadable: int, limits_unreadable: int) -> GuardHealth:
        with self._lock:
            return GuardHealth(
                **{name: tally.value() for name, tally in self._tallies.items()},
                refused=dict(self._refused),
                observed_over=dict(self._observed),
                fuse_unreadable=fuse_unreadable,
                limits_unreadable=limits_unreadable,
            )


def _name(error: RefusedError) -> str:
    if isinstance(error, BudgetExceededError):
        return error.figures.budget
    if isinstance(error, RateExceededError):
        return error.rate
    if isinstance(error, FuseTrippedError):
        return error.fuse
    return error.budget if isinstance(error, GuardDownError) else ""
