"""Decides about requests while the store is down, and remembers what it admitted.

All levels are decided together. An observe budget refuses nobody, whatever its ``when_down``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, NamedTuple

from spendfuse.errors import UnavailableError
from spendfuse.guard.step import Granted, Hold, Level, Reserve, Settle, Settled, Standing
from spendfuse.guard.store import LATE_SECONDS
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.metering.forks import renew_after_fork

LOCAL_SHARE_SECONDS = 600.0
"""How long into an outage requests are admitted out of a local share."""
MOST_REMEMBERED = 100_000

How = Literal["admitted_open", "admitted_locally"]


class StoreDownError(UnavailableError):
    """The store is down, and a budget refuses then."""

    def __init__(
        self, budget: str, count: Literal["refused_closed", "refused_locally"], reason: str
    ) -> None:
        self.budget = budget
        self.count = count
        """What of the store's health it adds to."""
        super().__init__(f"budget {budget} can't be checked while the store is down: {reason}")


class _Admitted(NamedTuple):
    hold: Hold
    store: MemoryStore
    held: Hold
    """How ``store`` holds it: on the levels with a local share alone."""
    is_unanswered: bool
    forgotten_at: float


class StandIn:
    """Stands in for the store. Safe to share between threads.

    Args:
        clock: seconds that never go back.
        share_seconds: how long into an outage local shares are given.
    """

    def __init__(
        self, clock: Callable[[], float], *, share_seconds: float = LOCAL_SHARE_SECONDS
    ) -> None:
        self._clock = clock
        self._share_seconds = share_seconds
        self._renew_lock()
        renew_after_fork(self._renew_lock)
        self._admitted: dict[str, _Admitted] = {}
        self._outage = 0
        self._shares = MemoryStore(clock=clock)

    def _renew_lock(self) -> None:
        # Reentrant, because the garbage collector may settle something in the middle of a step.
        self._lock = threading.RLock()

    def reserve(
        self, step: Reserve, *, outage: int, seconds_down: float, is_unanswered: bool
    ) -> tuple[Granted, How]:
        """Admit a request, and say how. Each outage has shares of its own.

        What is unanswered, the store may hold all the same.

        Raises:
            StoreDownError: a budget refuses.
        """
        limiting = [each for each in step.levels if each.mode != "observe"]
        for each in limiting:
            if each.when_down == "fail_closed":
                raise StoreDownError(each.budget, "refused_closed", "it refuses then (fail_closed)")
        shared = tuple([_share(each) for each in limiting if each.when_down == "local_share"])
        if shared and seconds_down > self._share_seconds:
            raise StoreDownError(
                shared[0].budget,
                "refused_locally",
                f"its local share is given for {self._share_seconds:.0f} s of an outage",
            )
        with self._lock:
            if outage != self._outage:
                self._outage, self._shares = outage, MemoryStore(clock=self._clock)
            shares = self._shares
        granted = shares.reserve(step._replace(levels=shared, rates=(), seeds={}))
        if not isinstance(granted, Granted):
            raise StoreDownError(
                shared[0].budget, "refused_locally", "its local share has no room for this request"
            )
        hold = Hold(step.id, granted.hold.nano_usd, step.levels, step.rates)
        self._remember(
            _Admitted(
                hold,
                shares,
                granted.hold,
                is_unanswered,
                self._clock() + step.hold_seconds + LATE_SECONDS,
            )
        )
        how: How = "admitted_locally" if shared else "admitted_open"
        return Granted(hold, _standings(hold)), how

    def again(self, step: Reserve) -> Granted | None:
        """Answer for an id that was admitted here; None: it was not.

        Raises:
            ReservationError: it was for another amount, or is finished.
        """
        admitted = self._admitted.get(step.id)
        if admitted is None:
            return None
        admitted.store.reserve(step._replace(levels=admitted.held.levels, rates=(), seeds={}))
        return Granted(admitted.hold, _standings(admitted.hold), is_again=True)

    def settle(self, step: Settle) -> Settled:
        """Count a cost here, whoever granted the hold, so that the same one is known again.

        Raises:
            ReservationError: it was settled here with another amount.
        """
        admitted = self._admitted.get(step.hold.id)
        store, held = self._shares, step.hold._replace(levels=(), rates=())
        if admitted is not None:
            store, held = admitted.store, admitted.held
        settled = store.settle(step._replace(hold=held, seeds={}))
        if isinstance(settled, Settled) and (admitted is not None or settled.kind == "again"):
            return settled
        return Settled("settled")

    def release(self, hold: Hold) -> bool | None:
        """Let go of a hold; None: the store may hold it."""
        with self._lock:
            admitted = self._admitted.pop(hold.id, None)
        if admitted is None:
            return None
        is_released = admitted.store.release(admitted.held)
        return None if admitted.is_unanswered else is_released

    def find(self, hold_id: str) -> Hold | None:
        admitted = self._admitted.get(hold_id)
        return admitted and admitted.hold

    def forget(self, hold_id: str) -> None:
        """Forget an id: from now on the store knows it."""
        if self._admitted:
            with self._lock:
                self._admitted.pop(hold_id, None)

    def has_admitted(self, hold_id: str) -> bool:
        return hold_id in self._admitted

    def _remember(self, admitted: _Admitted) -> None:
        with self._lock:
            self._admitted[admitted.hold.id] = admitted
            while self._admitted:
                oldest = next(iter(self._admitted.values()))
                is_one_too_many = len(self._admitted) > MOST_REMEMBERED
                if not is_one_too_many and oldest.forgotten_at > self._clock():
                    return
                del self._admitted[oldest.hold.id]


def _share(level: Level) -> Level:
    return level._replace(limit_nano_usd=level.limit_nano_usd * level.local_share_percent // 100)


def _standings(hold: Hold) -> tuple[Standing, ...]:
    """Return what is known of the levels: this hold."""
    return tuple([Standing(0, hold.nano_usd) for _ in hold.levels])
