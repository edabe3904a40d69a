"""Takes records on the caller's thread in a microsecond, and delivers them in batches on its own.

Nothing is lost in silence: a batch that fails is kept and tried again, later and later; what
finds no room is dropped, the newest first, and counted.

Taking a record is one append to a deque. Nobody waits for a lock: the thread says through
``_ring_at`` how many records must wait before it wants to be woken.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from spendfuse.errors import InputError, SettingsError, SpendfuseError
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.sink import SinkHealth
from spendfuse.metering.sinks.worker import STOP, UNTIL_RUNG, Worker

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")

_NEVER = sys.maxsize
_AT_ONCE = 1e-9
_MOST_DOUBLINGS = 32
_LAST_TURN_SECONDS = 0.2
_NAP_EVERY = 32
_NAP_SECONDS = 0.0001

QUIET_SECONDS = 60.0
"""How long a sink that comes and goes says nothing more about it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much may wait, how long, and how soon a failure is tried again."""

    max_waiting: int = 50_000
    """Records in memory; about 1 KB each. Above it the newest are dropped and counted."""
    batch: int = 500
    """Records that are delivered together, at most."""
    linger_seconds: float = 1.0
    """How long a record may wait for others to go with it."""
    first_retry_seconds: float = 0.25
    longest_retry_seconds: float = 30.0
    settings_retry_seconds: float = 60.0
    """After a SettingsError, which waits for a person."""


class Background(Generic[Batch]):
    """Hands records over to a thread of its own, which prepares each batch once and delivers it.

    Args:
        name: for logs and the thread.
        prepare: makes what is delivered out of records (encodes them, gives the batch its id).
            Called once a batch, on the thread. What it can't use it reports to ``refuse``.
        deliver: delivers a prepared batch, on the thread. When it raises, it is called again
            with the same object, so it may take out of it what did arrive. An InputError means
            that the batch will never be taken: it is dropped and counted. A SettingsError is
            tried again slowly; anything else after a growing pause.
        after_fork: called in a forked child, which must not use its parent's connections and
            files, nor wait for its parent's locks.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[[list[Record]], Batch],
        deliver: Callable[[Batch], None],
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        randomness: Callable[[], float] = random.random,
        after_fork: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._prepare = prepare
        self._deliver = deliver
        self._pace = pace or Pace()
        self._clock = clock
        self._randomness = randomness
        self._after_fork = after_fork
        self.linger_seconds = self._pace.linger_seconds
        self._closed = False
        self._open()
        self._worker = Worker(self, name)

    def _open(self) -> None:
        self._buffer: deque[Record] = deque()
        self._room = 0 if self._closed else self._pace.max_waiting
        # The waiting records at which emit rings: 0 is the very next.
        self._ring_at = 0
        # Guards the counts; emit takes it only to count what it drops.
        self._changed = threading.Condition()
        # Taken from the buffer; of these, settled one way or the other; of these, delivered.
        self._taken = self._settled = self._delivered = 0
        self._overflowed = 0
        self._hurry_until = 0
        # The batch at hand, if any: its records, and what was prepared of them.
        self._records: list[Record] = []
        self._batch: list[Batch] = []
        self._refused = 0
        self._linger_ends: float | None = None
        self._retry_at = self._quiet_until = 0.0
        self._streak = self._failures = 0
        self._last_error: str | None = None

    def emit(self, record: Record) -> None:
        """Take a record; from any thread, at once. Drops and counts it when there is no room."""
        waiting = len(self._buffer)
        if waiting >= self._room:
            self._overflow()
            return
        self._buffer.append(record)
        if waiting >= self._ring_at:
            self._ring()

    def refuse(self, count: int, reason: str) -> None:
        """Count records of the batch at hand that can't be delivered, and say why.

        Called by ``prepare`` or ``deliver``.
        """
        if self._refused == 0:
            logger.error("%s: %d records are dropped: %s", self.name, count, reason)
        self._refused += count
        self._last_error = reason

    def flush(self, timeout_seconds: float) -> bool:
        """Deliver all that was taken before; return whether that was done in time.

        What had to be dropped counts as done: health tells of it.
        """
        deadline = time.monotonic() + timeout_seconds
        target = self.hurry()
        if self._settled < target and not self._worker.ring():
            self._work_here(target, deadline)
        with self._changed:
            return self._changed.wait_for(
                lambda: self._settled >= target, max(0.0, deadline - time.monotonic())
            )

    def hurry(self) -> int:
        """Begin to deliver what is waiting; return how many will be settled when it is done."""
        with self._changed:
            target = self._taken + len(self._buffer)
            self._hurry_until = max(self._hurry_until, target)
            self._retry_at = 0.0
        if self._settled < target:
            self._worker.ring()
        return target

    def close(self, timeout_seconds: float) -> None:
        """Flush, end the thread, and drop and count what could not be delivered in time."""
        deadline = time.monotonic() + timeout_seconds
        self._room = 0
        if self._closed:
            return
        self.flush(timeout_seconds)
        self._closed = True
        if self._worker.is_running():
            self._worker.join(max(_LAST_TURN_SECONDS, deadline - time.monotonic()))
        else:
            self.turn()

    def health(self) -> SinkHealth:
        """Return what became of the records; those that were dropped count as accepted too."""
        with self._changed:
            waiting = self._taken + len(self._buffer) - self._settled
            return SinkHealth(
                accepted=self._settled + waiting + self._overflowed,
                delivered=self._delivered,
                waiting=waiting,
                dropped=self._settled - self._delivered + self._overflowed,
                failures=self._failures,
                last_error=self._last_error,
            )

    def is_holding(self) -> bool:
        return bool(self._buffer or self._records)

    def begin_anew(self) -> None:
        """Forget the parent's records and counts: this is its forked child."""
        self._open()
        self._worker.begin_anew()
        if self._after_fork is not None:
            self._after_fork()

    def turn(self) -> float:
        """Take a batch when one is due, and try to deliver it: the thread's work."""
        self._ring_at = _NEVER
        if self._closed:
            self._drop_all()
            return STOP
        now = self._clock()
        if not self._records:
            pause = self._pause_before_a_batch(now)
            if pause > 0:
                return pause
            self._take()
        elif now < self._retry_at:
            return self._retry_at - now
        self._attempt()
        return 0.0

    def _pause_before_a_batch(self, now: float) -> float:
        """Return 0 when a batch is due; else how long to wait, having said when to ring."""
        waiting, full = len(self._buffer), self._pace.batch
        if waiting >= full or (waiting and self._taken < self._hurry_until):
            return 0.0
        if not waiting:
            self._linger_ends = None
        elif self._linger_ends is None:
            self._linger_ends = now + self.linger_seconds
        elif now >= self._linger_ends:
            return 0.0
        self._ring_at = full - 1 if waiting else 0
        # Who appended before the line above rang for nobody: look again.
        if len(self._buffer) > self._ring_at:
            return _AT_ONCE
        return UNTIL_RUNG if self._linger_ends is None else self._linger_ends - now

    def _take(self) -> None:
        popleft = self._buffer.popleft
        with self._changed:
            count = min(len(self._buffer), self._pace.batch)
            self._records = [popleft() for _ in range(count)]
            self._taken += count
        self._linger_ends = None

    def _attempt(self) -> None:
        try:
            if not self._batch:
                self._batch = [self._prepare(self._records)]
            self._deliver(self._batch[0])
        except Exception as error:  # noqa: BLE001 (the edge: a sink never breaks the app)
            self._failed(error)
        else:
            if self._streak:
                logger.info("%s: delivers again", self.name)
            self._streak = 0
            self._settle(delivered=len(self._records) - self._refused)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._streak += 1
        self._last_error = shown(error)
        is_hopeless = isinstance(error, InputError) or not self._batch
        if is_hopeless or (self._streak == 1 and self._clock() >= self._quiet_until):
            self._quiet_until = self._clock() + QUIET_SECONDS
            what = "dropped" if is_hopeless else "kept and tried again"
            logger.warning(
                "%s: %d records are %s: %s", self.name, len(self._records), what, shown(error)
            )
        if is_hopeless:
            self._settle(delivered=0)
        else:
            pause = pause_after(error, self._streak, self._pace, self._randomness)
            self._retry_at = self._clock() + pause

    def _settle(self, *, delivered: int) -> None:
        with self._changed:
            self._settled += len(self._records)
            self._delivered += delivered
            self._records, self._batch, self._refused = [], [], 0
            self._changed.notify_all()

    def _drop_all(self) -> None:
        with self._changed:
            count = len(self._buffer) + len(self._records)
            self._taken += len(self._buffer)
            self._settled += count
            self._buffer.clear()
            self._records, self._batch = [], []
            self._changed.notify_all()
        if count:
            logger.error("%s: closed; %d records could not be delivered in time", self.name, count)

    def _work_here(self, target: int, deadline: float) -> None:
        """Take the thread's turns: at the interpreter's end no thread can be started."""
        while self._settled < target and time.monotonic() < deadline:
            pause = self.turn()
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))

    def _ring(self) -> None:
        self._ring_at = _NEVER
        self._worker.ring()

    def _overflow(self) -> None:
        with self._changed:
            self._overflowed += 1
            is_first = self._overflowed == 1
        if is_first:
            logger.error(
                "%s: %s; this record is dropped, and from now on they are counted only",
                self.name,
                "it is closed" if self._closed else f"{self._room} records wait already",
            )


def pause_after(
    error: Exception, streak: int, pace: Pace, randomness: Callable[[], float]
) -> float:
    """Return how many seconds to wait after so many failures in a row."""
    if isinstance(error, SettingsError):
        return pace.settings_retry_seconds
    doubled: float = pace.first_retry_seconds * 2 ** min(streak - 1, _MOST_DOUBLINGS)
    # Between half and whole, so that a fleet does not come back in step.
    return min(pace.longest_retry_seconds, doubled) * (1 + randomness()) / 2


def shown(error: Exception) -> str:
    """Return an error for people: our own texts are safe, others' may hold anything."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, SpendfuseError) else name


def gently(records: Sequence[Record]) -> Iterator[Record]:
    """Yield the records with short naps between, in which the app's threads get the interpreter.

    Encoding holds it otherwise for milliseconds, which a request would wait for.
    """
    for position, record in enumerate(records, start=1):
        yield record
        if not position % _NAP_EVERY:
            time.sleep(_NAP_SECONDS)
