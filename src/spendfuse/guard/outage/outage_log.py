"""Says loudly that the guard's store is down, and counts what was done without it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from spendfuse.guard.outage.backlog import Backlog
from spendfuse.guard.outage.breaker import Breaker

logger = logging.getLogger(__name__)

SAY_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What was done without the store, in this process."""

    is_down: bool = False
    outages: int = 0
    failures: int = 0
    """Steps that the store did not take."""
    admitted_open: int = 0
    admitted_locally: int = 0
    refused_closed: int = 0
    refused_locally: int = 0
    """Requests for which a local share had no room, or no time any more."""
    waiting: int = 0
    """Settles and releases that the store is still to be told."""
    delivered: int = 0
    """Those that it was told later."""
    dropped: int = 0
    """Those that it was never told: there were too many, or the process ended."""
    rejected: int = 0
    """Those that it did not accept, such as a second cost of one request."""
    left_to_ledger: int = 0
    """Costs on counters that it had lost: they begin at what the ledger says."""


class OutageLog:
    """Counts and messages of one store.

    Args:
        name: what the store is called in messages.
        clock: seconds that never go back.
    """

    def __init__(
        self, name: str, breaker: Breaker, backlog: Backlog, clock: Callable[[], float]
    ) -> None:
        self._name = name
        self._breaker = breaker
        self._backlog = backlog
        self._clock = clock
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._said_at = 0.0

    def add(self, count: str) -> None:
        with self._lock:
            self._counts[count] = self._counts.get(count, 0) + 1

    def health(self) -> StoreHealth:
        """Return all counts."""
        with self._lock:
            counts = dict(self._counts)
        return StoreHealth(
            is_down=self._breaker.is_down,
            outages=self._breaker.outages,
            waiting=len(self._backlog),
            **counts,
        )

    def say_down(self, error: Exception) -> None:
        """Say that an outage begins."""
        self._said_at = self._clock()
        # Its cause may name the host, which is for this log and for nobody's client.
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        logger.warning(
            "%s is down, and each budget does as its when_down says: %s%s",
            self._name,
            error,
            cause,
        )

    def remind(self) -> None:
        """Say again, at most once a minute, that the outage goes on."""
        now = self._clock()
        if self._breaker.is_down and now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            logger.warning("%s is still down: %s", self._name, self._summary())

    def say_up(self) -> None:
        """Say that the outage has ended."""
        logger.warning("%s is back: %s", self._name, self._summary())

    def say_dropped(self, hold_id: str) -> None:
        """Say that a step will never be delivered: the first of all, then once a minute."""
        self.add("dropped")
        now = self._clock()
        if self._counts["dropped"] == 1 or now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            logger.warning(
                "%s: too much waits for it; reservation %s and older ones are dropped: %s",
                self._name,
                hold_id,
                self._summary(),
            )

    def say_lost(self, number: int) -> None:
        """Say what the end of the process loses."""
        if number:
            logger.warning(
                "%s was not told of %d settled or released reservations: their holds end by "
                "themselves, and the ledger has their costs",
                self._name,
                number,
            )

    def _summary(self) -> str:
        health = self.health()
        return (
            f"down for {self._breaker.seconds_down():.0f} s, since the process began "
            f"{health.outages} outages, {health.failures} failed steps, "
            f"{health.admitted_open} requests admitted without a check, "
            f"{health.admitted_locally} out of a local share, "
            f"{health.refused_closed + health.refused_locally} refused; "
            f"{health.waiting} settles and releases wait, {health.dropped} were dropped"
        )
