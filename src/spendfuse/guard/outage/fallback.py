"""What happens to requests while the guard's store is down: what each budget's ``when_down`` says.

Nothing is lost quietly. What was admitted meanwhile is charged to the store when it is back, and
the log and the counts say what was done without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from spendfuse.errors import UnavailableError
from spendfuse.guard.outage.backlog import MOST_WAITING, Backlog, Release
from spendfuse.guard.outage.breaker import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Breaker
from spendfuse.guard.outage.deliveries import Deliveries
from spendfuse.guard.outage.outage_log import OutageLog, StoreHealth
from spendfuse.guard.outage.stand_in import LOCAL_SHARE_SECONDS, StandIn, StoreDownError
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
from spendfuse.guard.store import AtOnce, Store
from spendfuse.metering.sinks.worker import EXIT_SECONDS, STOP, UNTIL_RUNG, Worker

_Answer = TypeVar("_Answer")


class Fallback:
    """A ``Store`` over one that may be down: then settles and releases wait until it is back.

    Rates are not kept while it is down. A request that is refused then is not held; should the
    store have taken it all the same, it is released when it is back.

    Args:
        store: closed together with this.
        clock: seconds that never go back.
        first_pause_seconds: how long the store is not asked after a failure; doubled up to
            ``longest_pause_seconds`` while it does not answer.
        local_share_seconds: how long into an outage local shares are given.
        most_waiting: settles and releases that wait at most; the oldest is dropped.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
        local_share_seconds: float = LOCAL_SHARE_SECONDS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.is_local = store.is_local
        self.takes_rates = store.takes_rates
        self._store = store
        self._leased = store if isinstance(store, AtOnce) else None
        self._clock = clock
        self._pauses = (first_pause_seconds, longest_pause_seconds)
        self._local_share_seconds = local_share_seconds
        self._most_waiting = most_waiting
        self._is_closed = False
        self._begin()
        self._worker = Worker(self, "store")

    def _begin(self) -> None:
        first, longest = self._pauses
        self._breaker = Breaker(
            self._clock, first_pause_seconds=first, longest_pause_seconds=longest
        )
        self._backlog = Backlog(self._most_waiting)
        self._stand_in = StandIn(self._clock, share_seconds=self._local_share_seconds)
        self._log = OutageLog(_name(self._store), self._breaker, self._backlog, self._clock)
        self._deliveries = Deliveries(
            self._store,
            self._breaker,
            self._backlog,
            self._log,
            told=self._stand_in.forget,
            clock=self._clock,
        )

    def health(self) -> StoreHealth:
        """Return what was done without the store."""
        return self._log.health()

    # The steps.

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        known = self._stand_in.again(step)
        if known is not None:
            return known
        if step.id in self._backlog:
            self._deliveries.take_back(step.id)
        if (at_hand := self._at_hand) and (granted := at_hand.reserve_at_once(step)):
            return granted
        attempt = self._breaker.begin()
        if attempt is not None:
            try:
                outcome = self._store.reserve(step)
            except UnavailableError as error:
                self._fail(attempt, error)
            else:
                self._succeed(attempt)
                return outcome
        return self._reserve_alone(step, is_unanswered=attempt is not None)

    def settle(self, step: Settle) -> Settled | Unseeded:
        attempt = None
        if step.hold.id not in self._backlog:
            if (at_hand := self._at_hand) and (known := at_hand.settle_at_once(step)):
                return known
            attempt = self._breaker.begin()
        if attempt is not None:
            try:
                outcome = self._store.settle(step)
            except UnavailableError as error:
                self._fail(attempt, error)
            else:
                self._succeed(attempt)
                if isinstance(outcome, Settled) and self._stand_in.has_admitted(step.hold.id):
                    self._stand_in.settle(step)
                    if step.keep_nano_usd is None:
                        self._stand_in.forget(step.hold.id)
                return outcome
        settled = self._stand_in.settle(step)
        if settled.kind != "again":
            self._wait(step)
        return settled

    def release(self, hold: Hold) -> bool:
        is_released = self._stand_in.release(hold)
        if is_released is not None:
            return is_released
        if hold.id in self._backlog:
            return self._release_later(hold)
        if at_hand := self._at_hand:
            was_held = at_hand.release_at_once(hold)
            if was_held is not None:
                return was_held
        attempt = self._breaker.begin()
        if attempt is not None:
            try:
                is_released = self._store.release(hold)
            except UnavailableError as error:
                self._fail(attempt, error)
            else:
                self._succeed(attempt)
                return is_released
        return self._release_later(hold)

    def find(self, hold_id: str) -> Hold | None:
        known = self._stand_in.find(hold_id)
        if known is None:
            waiting = [each.step for each in self._backlog.of(hold_id)]
            known = next((each.hold for each in waiting if not _is_unanswered(each)), None)
        return known or self._asked(lambda: self._store.find(hold_id))

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        return self._asked(lambda: self._store.look(counters))

    def close(self, timeout_seconds: float = EXIT_SECONDS) -> None:
        """Deliver what waits, within that time, and close the store."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._deliveries.close(timeout_seconds)
            self._worker.join(timeout_seconds)
        finally:
            self._store.close()

    # What the thread asks.

    def turn(self) -> float:
        """Deliver what waits; return in how many seconds to try again."""
        if self._is_closed:
            return STOP
        pause = self._deliveries.deliver()
        return UNTIL_RUNG if pause is None else pause

    def is_holding(self) -> bool:
        return bool(self._backlog)

    def hurry(self) -> None:
        self._worker.ring()

    def begin_anew(self) -> None:
        """Forget what waits: this is a forked child, and its parent delivers it."""
        self._begin()
        self._worker.begin_anew()

    # What a failure leads to.

    @property
    def _at_hand(self) -> AtOnce | None:
        """What is borrowed already, while the store is down: it answers before the store is tried.

        A probe that it answered would tell nothing of the store itself.
        """
        return self._leased if self._breaker.is_down else None

    def _reserve_alone(self, step: Reserve, *, is_unanswered: bool) -> Granted:
        try:
            granted, how = self._stand_in.reserve(
                step,
                outage=self._breaker.outages,
                seconds_down=self._breaker.seconds_down(),
                is_unanswered=is_unanswered,
            )
        except StoreDownError as error:
            self._log.add(error.count)
            if is_unanswered:
                hold = Hold(step.id, step.nano_usd, step.levels, step.rates)
                self._wait(Release(hold, is_unanswered=True))
            raise
        else:
            self._log.add(how)
            return granted
        finally:
            self._log.remind()

    def _release_later(self, hold: Hold) -> bool:
        for each in self._backlog.of(hold.id):
            if isinstance(each.step, Release) or each.step.keep_nano_usd is None:
                return False
        self._wait(Release(hold))
        return True

    def _wait(self, step: Settle | Release) -> None:
        if self._is_closed:
            raise UnavailableError("the guard's store is down, and this guard is closed")
        dropped = self._backlog.add(step)
        if dropped is not None:
            self._log.say_dropped(dropped.hold.id)
        self._worker.ring()

    def _asked(self, ask: Callable[[], _Answer]) -> _Answer:
        attempt = self._breaker.begin()
        if attempt is None:
            raise UnavailableError("the guard's store is down, and is asked again in a moment")
        try:
            answer = ask()
        except UnavailableError as error:
            self._fail(attempt, error)
            raise
        self._succeed(attempt)
        return answer

    def _fail(self, attempt: int, error: UnavailableError) -> None:
        self._log.add("failures")
        if self._breaker.fail(attempt):
            self._log.say_down(error)

    def _succeed(self, attempt: int) -> None:
        if self._breaker.is_down and self._breaker.succeed(attempt):
            self._log.say_up()
            self._worker.ring()


def _name(store: Store) -> str:
    kind = type(store)
    name = kind.__name__ if kind.__repr__ is object.__repr__ else repr(store)
    return f"the guard's store {name}"


def _is_unanswered(step: Settle | Release) -> bool:
    return isinstance(step, Release) and step.is_unanswered
