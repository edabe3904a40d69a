"""A store whose missing counters begin with what the ledger says was spent.

Where the ledger can't be asked, a counter stays missing: what it began with would be wrong for
the rest of its period. Until then its budget does what it does when the store is down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from spendfuse.errors import SpendfuseError, UnavailableError
from spendfuse.guard.health import BudgetGauge, Counts
from spendfuse.guard.memory import MemoryStore
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
)
from spendfuse.guard.store import Store
from spendfuse.metering.said_once import SaidOnce

logger = logging.getLogger(__name__)
Spent = Callable[[Level], int]
"""What the ledger says was spent on a level, in nano-dollars; may raise UnavailableError."""


class LedgerDownError(UnavailableError):
    """A counter is missing, its budget refuses then, and the ledger can't be asked."""

    def __init__(self, level: Level) -> None:
        self.level = level
        super().__init__(f"the ledger can't be asked for {level.budget} of {level.period}")


class SeededStore:
    """Takes the guard's steps to its store, and asks the ledger where a counter is missing."""

    def __init__(
        self, store: Store, spent: Spent | None, counts: Counts, *, hold_seconds: float
    ) -> None:
        self._store = store
        self._spent = spent
        self._counts = counts
        self._shares = MemoryStore()
        """What is held and spent in this process while the ledger is down (``local_share``)."""
        self._shared: dict[str, Hold] = {}
        self._said = SaidOnce()
        self._hold_seconds = hold_seconds
        self.seeds: Mapping[str, int] | None = {} if spent is None else None
        """What a step brings along at first."""

    @property
    def asks_ledger(self) -> bool:
        return self._spent is not None

    def reserve(self, step: Reserve) -> Granted | Refused:
        """Take a step; errors as ``Store.reserve`` has them.

        Raises:
            LedgerDownError: a counter is missing, and the ledger can't be asked.
        """
        outcome = self._store.reserve(step)
        return self._reserve_seeded(step, outcome) if isinstance(outcome, Unseeded) else outcome

    def find(self, hold_id: str) -> Hold | None:
        return self._store.find(hold_id)

    def _reserve_seeded(self, step: Reserve, unseeded: Unseeded) -> Granted | Refused:
        seeds, unknown = self._ask(step.levels, unseeded)
        if unknown:
            self._reserve_share(step, unknown)
            step = step._replace(levels=_without(step.levels, unknown))
        outcome = self._store.reserve(step._replace(seeds=seeds))
        if isinstance(outcome, Unseeded):
            raise UnavailableError("the store forgets its counters")
        if isinstance(outcome, Refused):
            self._release_share(step.id)
        return outcome

    def settle(self, hold: Hold, nano: int) -> Settled:
        """Charge a hold's cost, wherever it is held."""
        step = Settle(hold, nano, None, 0, self._hold_seconds, self.seeds)
        outcome = self._store.settle(step)
        if type(outcome) is Unseeded:
            seeds, unknown = self._ask(hold.levels, outcome)
            # Their counters will begin with what the ledger says, this cost included.
            kept = hold._replace(levels=_without(hold.levels, unknown))
            outcome = self._store.settle(step._replace(hold=kept, seeds=seeds))
        if isinstance(outcome, Unseeded):
            raise UnavailableError("the store forgets its counters")
        if self._shared:
            share = self._shared.pop(hold.id, None)
            if share is not None:
                self._shares.settle(Settle(share, nano, seeds={}))
        return outcome

    def release(self, hold: Hold) -> bool:
        if self._shared:
            self._release_share(hold.id)
        return self._store.release(hold)

    def standings(self, levels: Sequence[Level]) -> list[Standing]:
        """Return how the counters stand; a missing one as the ledger says, or at 0.

        Raises:
            UnavailableError: the store, or the ledger, can't be asked.
        """
        found = self._store.look([each.counter for each in levels])
        return [
            Standing(self._spent(level) if self._spent else 0, 0) if standing is None else standing
            for level, standing in zip(levels, found, strict=True)
        ]

    def gauges(self, levels: Sequence[Level]) -> list[BudgetGauge]:
        """Return how budgets stand; what can't be told is None."""
        found: Sequence[Standing | None]
        try:
            found = self._store.look([each.counter for each in levels])
        except UnavailableError:
            self._counts.add("store_failures")
            found = [None] * len(levels)
        return [self._gauge(level, standing) for level, standing in zip(levels, found, strict=True)]

    def _gauge(self, level: Level, standing: Standing | None) -> BudgetGauge:
        in_ledger = self.spent(level)
        spent, held = (None, None) if standing is None else standing[:2]
        drift = None if spent is None or in_ledger is None else spent - in_ledger
        return BudgetGauge(level.budget, level.period, level.limit_nano_usd, spent, held, drift)

    def spent(self, level: Level) -> int | None:
        """Return what the ledger says; None where it says nothing."""
        if self._spent is None:
            return None
        try:
            return self._spent(level)
        except SpendfuseError as error:
            self._counts.add("ledger_failures")
            if self._said.is_new(f"{level.budget} {level.period}"):
                logger.warning(
                    "the ledger can't be asked what %s has spent in %s (logged once): %s",
                    level.budget,
                    level.period,
                    error,
                )
            return None

    def _ask(
        self, levels: Sequence[Level], missing: Unseeded
    ) -> tuple[dict[str, int], tuple[Level, ...]]:
        """Return the seeds, and the levels for which there is none."""
        wanted = set(missing.counters)
        seeds, unknown = {}, []
        for level in levels:
            if level.counter in wanted:
                spent = self.spent(level)
                if spent is None:
                    unknown.append(level)
                else:
                    seeds[level.counter] = spent
        return seeds, tuple(unknown)

    def _reserve_share(self, step: Reserve, unknown: Sequence[Level]) -> None:
        closed = next((each for each in unknown if each.when_down == "fail_closed"), None)
        if closed is not None:
            raise LedgerDownError(closed)
        shares = tuple(_share(each) for each in unknown if each.when_down == "local_share")
        if not shares:
            return
        granted = self._shares.reserve(step._replace(levels=shares, rates=(), seeds={}))
        if not isinstance(granted, Granted):
            raise LedgerDownError(shares[0])
        self._shared[step.id] = granted.hold

    def _release_share(self, hold_id: str) -> None:
        share = self._shared.pop(hold_id, None)
        if share is not None:
            self._shares.release(share)


def _share(level: Level) -> Level:
    return level._replace(limit_nano_usd=level.limit_nano_usd * level.local_share_percent // 100)


def _without(levels: Sequence[Level], unknown: Sequence[Level]) -> tuple[Level, ...]:
    return tuple(each for each in levels if each not in unknown)
