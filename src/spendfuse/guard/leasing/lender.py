"""Talks to the shared store about purses: borrows, charges, returns.

A step without an answer is sent again as it was before anything else is said about its purse.
So nothing is charged twice, and nothing is lost while the shared store is away.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.leasing.lease import Charge, Lease, Pace, Purse, Unsent
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
from spendfuse.guard.store import UNSEEDED_SECONDS, Store

logger = logging.getLogger(__name__)


class Borrowed(NamedTuple):
    lease: Lease
    standings: tuple[Standing, ...]


class Lender:
    """One process's dealings with the shared store.

    Args:
        lock: guards the figures of all purses. It is never held while the network is waited for.
    """

    def __init__(
        self, shared: Store, lock: threading.RLock, clock: Callable[[], float], pace: Pace
    ) -> None:
        self._shared = shared
        self._lock = lock
        self._clock = clock
        self._pace = pace

    def borrow(
        self,
        purse: Purse,
        amount: int,
        least: int,
        *,
        seeds: Mapping[str, int] | None,
        calls_in: bool,
    ) -> Borrowed | Refused | Unseeded:
        """Borrow up to ``amount``. The purse's turn is the caller's, and so is adding the lease.

        Raises:
            UnavailableError: the shared store can't be reached. What it may have lent all the same
                is returned later.
        """
        step = Reserve(
            secrets.token_hex(16),
            amount,
            least,
            purse.borrowed_levels,
            hold_seconds=self._pace.lease_seconds,
            seeds=seeds,
            calls_in=calls_in,
        )
        at = self._clock()
        try:
            outcome = self._shared.reserve(step)
        except UnavailableError:
            purse.failures += 1
            nothing = Settle(Hold(step.id, 0, step.levels), 0, seeds=purse.seeds)
            purse.unsent.append(Unsent(nothing))
            raise
        if not isinstance(outcome, Granted):
            return outcome
        lease = Lease(outcome.hold, at + self._pace.usable_seconds)
        return Borrowed(lease, outcome.standings)

    def settle_up(self, purse: Purse, keep_room: int) -> None:
        """Charge what was spent; keep what is held, and so much room.

        Raises:
            UnavailableError: it is tried again the next time.
        """
        with purse.turn:
            self.send(purse)
            with self._lock:
                self._plan(purse, keep_room, self._clock())
            if purse.unsent:
                standings = self.send(purse)
                # The garbage collector may have begun this in the middle of another sending.
                if not purse.unsent:
                    self._hear(purse, standings)

    def send(self, purse: Purse) -> tuple[Standing, ...]:
        """Send what waits, in order; return how the levels stood after the last step, if said."""
        standings: tuple[Standing, ...] = ()
        while purse.unsent and not purse.is_sending:
            unsent = purse.unsent[0]
            if unsent.sent_at is None:
                unsent.sent_at = self._clock()
            purse.is_sending = True
            try:
                outcome = self._settle(unsent.step)
            except UnavailableError:
                purse.failures += 1
                raise
            finally:
                purse.is_sending = False
            with self._lock:
                purse.unsent.popleft()
                self._take(purse, unsent, unsent.sent_at, outcome)
            standings = outcome.standings if isinstance(outcome, Settled) else ()
        return standings

    def _settle(self, step: Settle) -> Settled | Unseeded | None:
        try:
            return self._shared.settle(step)
        except ReservationError:
            # The shared store knows another end of this lease: it can't be charged on it.
            logger.exception("a lease can't be settled; its cost is charged by itself")
            return None

    def _take(
        self, purse: Purse, unsent: Unsent, sent_at: float, outcome: Settled | Unseeded | None
    ) -> None:
        """Know what became of a step."""
        if not isinstance(outcome, Settled):
            purse.owe(unsent.step.nano_usd)
        if isinstance(outcome, Settled):
            purse.unseeded_since = None
        elif outcome is not None and purse.unseeded_since is None:
            purse.unseeded_since = sent_at
        lease = unsent.lease
        if lease is None:
            return
        if isinstance(outcome, Settled) and outcome.kind != "late":
            # It was prolonged when it was sent first, which may be long ago.
            lease.until = sent_at + self._pace.usable_seconds
            purse.see_the_end()
        else:
            purse.lose(lease)

    def _plan(self, purse: Purse, keep_room: int, now: float) -> None:
        since = purse.unseeded_since
        if since is not None and now - since > UNSEEDED_SECONDS:
            purse.write_off()
            purse.unseeded_since = None
        renew_before = now + self._pace.usable_seconds / 2
        for charge in purse.plan(keep_room, renew_before):
            purse.unsent.append(self._unsent(purse, charge))

    def _unsent(self, purse: Purse, charge: Charge) -> Unsent:
        lease, cost, keep = charge
        if lease is None:
            hold = Hold(secrets.token_hex(16), 0, purse.borrowed_levels)
            return Unsent(Settle(hold, cost, seeds=purse.seeds))
        if not keep:
            return Unsent(Settle(lease.hold, cost, seeds=purse.seeds))
        lease.part += 1
        seconds = self._pace.lease_seconds
        return Unsent(Settle(lease.hold, cost, keep, lease.part, seconds, purse.seeds), lease)

    def _hear(self, purse: Purse, standings: tuple[Standing, ...]) -> None:
        if not standings and purse.room > 0:
            looked = self._shared.look([each.counter for each in purse.levels])
            standings = tuple(each for each in looked if each is not None)
        if len(standings) == len(purse.levels):
            with self._lock:
                purse.hear(standings)
