"""Brings what waits to the store when it is back, from a thread that is there only for that."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.outage.backlog import Backlog, Release, Waiting
from spendfuse.guard.outage.breaker import Breaker
from spendfuse.guard.outage.outage_log import OutageLog
from spendfuse.guard.step import Settle, Unseeded
from spendfuse.guard.store import UNSEEDED_SECONDS, Store

logger = logging.getLogger(__name__)

_LAST_PAUSE_SECONDS = 0.25
"""Between attempts while the process waits for its end."""
_RESUME_SECONDS = 0.5
"""How often it is looked whether a lost counter is back."""


class Deliveries:
    """Delivers a backlog, in order, each step once.

    Args:
        told: called with the id of a hold of which the store was told all.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        store: Store,
        breaker: Breaker,
        backlog: Backlog,
        log: OutageLog,
        *,
        told: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._breaker = breaker
        self._backlog = backlog
        self._log = log
        self._told = told
        self._clock = clock
        self._turn = threading.RLock()
        self._is_closing = False
        self._resumed_at = 0.0

    def deliver(self, *, until: float = math.inf) -> float | None:
        """Deliver what can be delivered; return in how many seconds to try again, if at all."""
        if self._backlog.has_put_off and self._clock() - self._resumed_at >= _RESUME_SECONDS:
            self._resumed_at = self._clock()
            self._backlog.resume()
        while time.monotonic() < until:
            with self._turn:
                waiting = self._backlog.first()
                if waiting is None:
                    return _RESUME_SECONDS if self._backlog.has_put_off else None
                attempt = self._breaker.begin()
                if attempt is None or not self._deliver(waiting, attempt):
                    self._log.remind()
                    return self._breaker.seconds_until_asked()
        return 0.0

    def take_back(self, hold_id: str) -> None:
        """Don't release what may have been held without an answer: its id is asked for again."""
        # One that is on its way now must arrive before whatever comes next.
        with self._turn:
            for each in self._backlog.of(hold_id):
                if isinstance(each.step, Release) and each.step.is_unanswered:
                    self._backlog.remove(each)

    def close(self, seconds: float) -> None:
        """Try for so long, then say what is lost."""
        deadline = time.monotonic() + seconds
        self._is_closing = True
        self._backlog.resume()
        while self.deliver(until=deadline) is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(_LAST_PAUSE_SECONDS, left))
            self._breaker.ask_now()
        self._log.say_lost(len(self._backlog))

    def _deliver(self, waiting: Waiting, attempt: int) -> bool:
        """Deliver one step; return whether the store answered."""
        try:
            outcome = self._send(waiting.step)
        except UnavailableError as error:
            self._log.add("failures")
            if self._breaker.fail(attempt):
                self._log.say_down(error)
            return False
        except Exception as error:
            # The thread's edge: one step that can't be taken must not stop all others.
            self._log.add("rejected")
            is_answer = isinstance(error, ReservationError)
            logger.warning("%s", error, exc_info=None if is_answer else error)
            if is_answer:
                self._succeed(attempt)
        else:
            self._succeed(attempt)
            if isinstance(outcome, Unseeded):
                self._wait_for_counters(waiting, outcome)
                return True
            self._log.add("delivered")
        self._finish(waiting)
        return True

    def _succeed(self, attempt: int) -> None:
        if self._breaker.succeed(attempt):
            self._log.say_up()

    def _send(self, step: Settle | Release) -> object:
        if isinstance(step, Release):
            return self._store.release(step.hold)
        return self._store.settle(step)

    def _wait_for_counters(self, waiting: Waiting, missing: Unseeded) -> None:
        now = self._clock()
        if waiting.give_up_at is None:
            waiting.give_up_at = now + UNSEEDED_SECONDS
        if isinstance(waiting.step, Release) or (now < waiting.give_up_at and not self._is_closing):
            self._backlog.put_off(waiting)
            return
        hold = waiting.step.hold
        kept = tuple([each for each in hold.levels if each.counter not in missing.counters])
        waiting.step = waiting.step._replace(hold=hold._replace(levels=kept))
        self._log.add("left_to_ledger")

    def _finish(self, waiting: Waiting) -> None:
        self._backlog.remove(waiting)
        if waiting.hold.id not in self._backlog:
            self._told(waiting.hold.id)
