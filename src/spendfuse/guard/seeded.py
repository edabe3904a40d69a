"""A store whose missing counters begin with what the ledger says was spent.

Where the ledger can't be asked, a counter stays missing: what it began with would be wrong for
the rest of its period. Until then its budget does what it does while the store is down.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from spendfuse.errors import SpendfuseError, UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.health import BudgetGauge, Counts
from spendfuse.guard.outage.stand_in import StandIn, StoreDownError
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
    """A counter is missing, the ledger can't be asked, and a budget refuses then."""

    def __init__(self, budget: str) -> None:
        self.budget = budget
        super().__init__(f"budget {budget} has no counter, and the ledger can't be asked")


class SeededStore:
    """Takes the guard's steps to its store, and asks the ledger where a counter is missing."""

    def __init__(
        self, store: Store, spent: Spent | None, counts: Counts, *, hold_seconds: float
    ) -> None:
        self._store = store
        self._spent = spent
        self._counts = counts
        self._stand_in = StandIn(time.monotonic)
        """Decides for budgets whose counter can't be made; it remembers what it admitted."""
        self._stands_in = False
        self._said = SaidOnce()
        self._hold_seconds = hold_seconds
        self.seeds: Mapping[str, int] | None = {} if spent is None else None
        """What a step brings along at first."""

    @property
    def asks_ledger(self) -> bool:
        return self._spent is not None

    def reserve(
        self, step: Reserve, unseeded: Unseeded
    ) -> tuple[Reserve, Granted | Refused | Unseeded]:
        """Take a step again whose counters are missing; errors as ``Store.reserve`` has them.

        Return it as it was taken, without the levels that could not be seeded.

        Raises:
            LedgerDownError: the ledger can't be asked, and a budget refuses then.
        """
        seeds, unknown = self._ask(step.levels, unseeded)
        if unknown:
            nano = self._stand_in_for(step._replace(levels=unknown))
            step = step._replace(levels=_without(step.levels, unknown), nano_usd=nano)
        step = step._replace(seeds=seeds)
        outcome = None
        try:
            outcome = self._store.reserve(step)
        finally:
            if not isinstance(outcome, Granted):
                self._stand_in.release(Hold(step.id, step.nano_usd, ()))
        return step, outcome

    def settle(self, hold: Hold, nano: int) -> Settled:
        """Charge a hold's cost, wherever it is held; errors as ``Store.settle`` has them."""
        step = Settle(hold, nano, None, 0, self._hold_seconds, self.seeds)
        try:
            settled = self._store.settle(step)
            if isinstance(settled, Unseeded):
                settled = self._settle_seeded(step, settled)
        except UnavailableError:
            self._counts.add("store_failures")
            raise
        if self._stands_in and self._stand_in.has_admitted(hold.id):
            self._stand_in.settle(step)
        if settled.kind != "again":
            self._counts.add("settled")
            if settled.kind == "late":
                self._counts.add("late")
        return settled

    def release(self, hold: Hold) -> bool:
        """Let go of a hold, wherever it is; errors as ``Store.release`` has them."""
        if self._stands_in:
            self._stand_in.release(hold)
        try:
            is_released = self._store.release(hold)
        except UnavailableError:
            self._counts.add("store_failures")
            raise
        if is_released:
            self._counts.add("released")
        return is_released

    def find(self, hold_id: str) -> Hold:
        """Return the hold of an id.

        Raises:
            ReservationError: nobody knows it.
            UnavailableError: the store can't be reached.
        """
        try:
            hold = self._store.find(hold_id)
        except UnavailableError:
            self._counts.add("store_failures")
            raise
        if hold is None:
            raise ReservationError(f"there is no reservation {hold_id!r}; nothing was counted")
        return hold

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

    def _stand_in_for(self, step: Reserve) -> int:
        """Return the amount that is admitted without the counters."""
        try:
            admitted, _ = self._stand_in.reserve(
                step, outage=0, seconds_down=0.0, is_unanswered=False
            )
        except StoreDownError as error:
            raise LedgerDownError(error.budget) from error
        self._stands_in = True
        return admitted.hold.nano_usd

    def _settle_seeded(self, step: Settle, missing: Unseeded) -> Settled:
        seeds, unknown = self._ask(step.hold.levels, missing)
        # Their counters will begin with what the ledger says then, this cost included.
        kept = step.hold._replace(levels=_without(step.hold.levels, unknown))
        settled = self._store.settle(step._replace(hold=kept, seeds=seeds))
        if isinstance(settled, Unseeded):
            raise UnavailableError("the store forgets its counters")
        return settled

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


def _without(levels: Sequence[Level], unknown: Sequence[Level]) -> tuple[Level, ...]:
    return tuple(each for each in levels if each not in unknown)
