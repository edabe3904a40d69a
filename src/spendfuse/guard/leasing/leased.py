"""Borrows slices of budgets from a shared store, and decides about requests in this process.

What is borrowed is held in the shared store, so the limit holds over all processes by the one
rule that the shared store keeps. A request for which there is room here costs no round trip.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from spendfuse.errors import SpendfuseError, UnavailableError
from spendfuse.guard.leasing.direct import DirectRequests
from spendfuse.guard.leasing.lease import Pace, Purse
from spendfuse.guard.leasing.lender import Borrowed, Lender
from spendfuse.guard.leasing.local_steps import LocalSteps
from spendfuse.guard.step import (
    Granted,
    Hold,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
)
from spendfuse.guard.store import Store
from spendfuse.metering.sinks.worker import EXIT_SECONDS, STOP, UNTIL_RUNG, Worker

logger = logging.getLogger(__name__)

_LOOKS = 3
_TURN_SECONDS = 0.5
"""How long a look waits for money that is on its way to the shared store or back."""


class LeasedStore:
    """A ``Store`` over a shared one; ``close()``, or the process's end, returns what is borrowed.

    An id is known to the process that reserved it: another can't settle it by its bare id, unless
    the shared store was asked for it alone. A process that is killed loses what it spent since
    the last sync (the ledger has it), and its money comes back when the leases end.

    Args:
        shared: where the counters are; closed together with this.
        pace: how much is borrowed, and how often it is accounted for.
        clock: seconds that never go back.
    """

    is_local = False
    takes_rates = False

    def __init__(
        self,
        shared: Store,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._pace = pace or Pace()
        self._clock = clock
        self._begin()
        self._worker = Worker(self, "leases")

    def _begin(self) -> None:
        self._local = LocalSteps(self._clock)
        self._lock = self._local.lock
        self._purses = self._local.purses
        self._holds = self._local.holds
        self._lender = Lender(self._shared, self._lock, self._clock, self._pace)
        self._direct = DirectRequests(self._shared, self._local, self._lender)
        self._next_sync = math.inf
        self._is_failing = False

    # Steps that never wait for the network.

    def reserve_at_once(self, step: Reserve) -> Granted | None:
        return self._local.reserve(step)

    def settle_at_once(self, step: Settle) -> Settled | None:
        settled = self._local.settle(step)
        if self._local.debtors:
            self._worker.ring()
        return settled

    def release_at_once(self, hold: Hold) -> bool | None:
        return self._local.release(hold)

    # Steps that wait where they must.

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        return self._local.reserve(step) or self._reserve_waiting(step)

    def settle(self, step: Settle) -> Settled | Unseeded:
        settled = self._local.settle(step)
        if settled is None:
            return self._direct.settle(step)
        if self._local.debtors:
            self._pay_debts()
        return settled

    def release(self, hold: Hold) -> bool:
        is_released = self._local.release(hold)
        return self._direct.release(hold) if is_released is None else is_released

    def find(self, hold_id: str) -> Hold | None:
        return self._local.find(hold_id) or self._shared.find(hold_id)

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        found: list[Standing | None] = []
        for _ in range(_LOOKS):
            before = self._at_rest(counters, wait_seconds=_TURN_SECONDS)
            standings = self._shared.look(counters)
            with self._lock:
                self._holds.sweep(self._clock())
                found = [
                    None if each is None else self._purses.as_seen_here(name, each)
                    for name, each in zip(counters, standings, strict=True)
                ]
            # Else money moved meanwhile, and stands in both places or in neither.
            if before is not None and self._at_rest(counters, wait_seconds=0) == before:
                break
        return found

    def _at_rest(self, counters: Sequence[str], *, wait_seconds: float) -> dict[Purse, int] | None:
        """Return the versions of what counts on the counters; None while money is on its way."""
        with self._lock:
            counted = self._purses.counted(counters)
        is_at_rest = all(purse.comes_to_rest(wait_seconds) for purse in counted)
        return counted if is_at_rest else None

    def sync(self) -> None:
        """Tell the shared store what was spent, and return what is idle.

        A thread does it twice a second, or as ``pace`` says, while there is something to say.

        Raises:
            UnavailableError: what is not told yet is told the next time.
        """
        now = self._clock()
        with self._lock:
            self._holds.sweep(now)
            purses = list(self._purses.active)
        for purse in purses:
            with self._lock:
                keep = purse.room_worth_keeping(now, self._pace)
            self._lender.settle_up(purse, keep)
            if purse.is_called_in and purse.room > 0:
                self._lender.settle_up(purse, 0)
            else:
                self._refill(purse)
            with self._lock:
                if purse.is_empty:
                    self._purses.active.pop(purse, None)

    def close(self, timeout_seconds: float = EXIT_SECONDS) -> None:
        """Charge what was spent and return what is free; what running requests hold runs out."""
        if self._local.is_closed:
            return
        self._local.is_closed = True
        self._worker.join(timeout_seconds)
        try:
            for purse in list(self._purses.active):
                self._lender.settle_up(purse, 0)
        except SpendfuseError as error:
            logger.warning("what is borrowed comes back when its leases end: %s", error)
        finally:
            self._shared.close()

    # What the thread asks for.

    def turn(self) -> float:
        if self._local.is_closed:
            return STOP
        self._pay_debts()
        now = self._clock()
        if now >= self._next_sync:
            self._try(self.sync)
            self._next_sync = math.inf
        if self._next_sync == math.inf and self.is_holding():
            self._next_sync = now + self._pace.sync_seconds
        return UNTIL_RUNG if self._next_sync == math.inf else max(0.0, self._next_sync - now)

    def is_holding(self) -> bool:
        return bool(self._purses.active)

    def hurry(self) -> None:
        self._next_sync = -math.inf
        self._worker.ring()

    def begin_anew(self) -> None:
        """Forget what the parent borrowed: this is its forked child."""
        is_closed = self._local.is_closed
        self._begin()
        self._local.is_closed = is_closed
        self._worker.begin_anew()

    # How a request gets its money.

    def _reserve_waiting(self, step: Reserve) -> Granted | Refused | Unseeded:
        with self._lock:
            purse = self._purses.of(step.levels)
            purse.seeds = None if step.seeds is None or step.seeds else {}
            failures = purse.failures
        with purse.turn:
            if purse.failures != failures:
                # Else each thread would wait for a timeout of its own, one after the other.
                raise UnavailableError("the shared store could not be reached a moment ago")
            outcome = self._lend(purse, step)
        return outcome or self._direct.reserve(purse, step)

    def _lend(self, purse: Purse, step: Reserve) -> Granted | Unseeded | None:
        """Borrow a slice and take the request out of it; None: it has to be asked for alone."""
        self._lender.send(purse)
        with self._lock:
            now = self._clock()
            self._holds.sweep(now)
            purse.lapse(now)
            granted = self._local.reserve(step)
            if granted is not None or self._local.is_closed or step.id in self._holds.by_id:
                return granted
            amount = purse.slice_for(step.nano_usd, now, self._pace)
            least = step.nano_usd - purse.room
        if amount is None:
            return None
        outcome = self._lender.borrow(
            purse, amount, least, seeds=step.seeds, calls_in=step.calls_in
        )
        if isinstance(outcome, Unseeded):
            return outcome
        with self._lock:
            if isinstance(outcome, Refused):
                purse.hear(outcome.standings)
                return None
            self._add(purse, outcome)
            purse.grow(amount)
            granted = self._local.reserve(step)
        self._worker.ring()
        return granted

    def _refill(self, purse: Purse) -> None:
        """Borrow before it is asked for, so that requests need not wait."""
        with purse.turn:
            amount = purse.refill(self._pace)
            if not amount:
                return
            outcome = self._lender.borrow(purse, amount, amount, seeds=purse.seeds, calls_in=False)
            if isinstance(outcome, Borrowed):
                with self._lock:
                    self._add(purse, outcome)

    def _add(self, purse: Purse, borrowed: Borrowed) -> None:
        purse.add(borrowed.lease)
        purse.hear(borrowed.standings)
        self._purses.activate(purse)

    def _pay_debts(self) -> None:
        if self._is_failing:
            # The next sync charges it; nobody waits for a timeout meanwhile.
            return
        with self._lock:
            debtors, self._local.debtors = self._local.debtors, []
        for each in debtors:
            self._try(partial(self._direct.pay_debt, each))

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except SpendfuseError as error:
            if not self._is_failing:
                logger.warning("leases can't be settled; they are tried again: %s", error)
            self._is_failing = True
        else:
            if self._is_failing:
                logger.info("leases are settled again")
            self._is_failing = False
