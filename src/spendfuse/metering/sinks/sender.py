"""Sends packs to a queue from a thread of its own, later and later while the queue fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from spendfuse.clock import utc_now
from spendfuse.errors import InputError, SettingsError
from spendfuse.metering.sinks.background import QUIET_SECONDS, Pace, pause_after, shown
from spendfuse.metering.sinks.outbox import Outbox, Parcel
from spendfuse.metering.sinks.packing import Pack
from spendfuse.metering.sinks.spill import SpillFolder
from spendfuse.metering.sinks.worker import STOP, UNTIL_RUNG, Worker

logger = logging.getLogger(__name__)

MAX_PACKS_A_REQUEST = 10
MAX_REQUEST_BYTES = 2**20
"""Both SQS's limits for SendMessageBatch; four of our largest packs fit."""
_LOOK_AGAIN_SECONDS = 30.0
"""When others are sending what is on disk, how soon to see whether they did."""
_PATIENCE = 0.75
"""The part of a flush's time that the queue gets, before what is left is written down."""
_LAST_TURN_SECONDS = 0.2


class PackQueue(Protocol):
    """Where packs are sent."""

    def send(self, bodies: Sequence[str]) -> Sequence[Exception | None]:
        """Send messages; return for each None, or why it was not stored.

        An InputError says that the queue will never take it, a SettingsError that a person must
        mend something. What is raised says the same of all of them; a message may be stored
        nevertheless, because an answer can be lost.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class PackSender:
    """Owns the packs that it took until they are sent or on disk.

    Args:
        name: for logs and the thread.
        connect: makes the queue's client, on the thread and once a process: a forked child
            must not talk over its parent's connections.
        spill: the folder for what can't be sent; None keeps 32 packs in memory.
        pace: how soon to try again.
        now: stands in each message as the time of sending.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], PackQueue],
        *,
        spill: SpillFolder | None,
        pace: Pace,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._connect = connect
        self._pace = pace
        self._now = now
        self._clock = clock
        self._randomness = randomness
        self._outbox = Outbox(name, spill=spill, now=now)
        self._closed = False
        self._open()
        self._worker = Worker(self, f"{name} sender")

    def _open(self) -> None:
        self._queue: PackQueue | None = None
        self._streak = 0
        self._retry_at = self._quiet_until = 0.0
        self.failures = 0
        self._last_error: str | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the queue did not take what it was sent last."""
        return self._streak > 0

    @property
    def delivered(self) -> int:
        return self._outbox.delivered

    @property
    def dropped(self) -> int:
        return self._outbox.dropped

    @property
    def last_error(self) -> str | None:
        return self._outbox.last_error or self._last_error

    def waiting(self) -> int:
        """Return the records in memory and in the spill folder."""
        return self._outbox.records()

    def take(self, packs: list[Pack]) -> None:
        """Take packs out of the list, to be sent; while the queue fails they go to disk at once.

        Raises:
            UnavailableError: there is no room; what is left in the list was not taken.
        """
        while packs:
            self._outbox.put(packs[0], to_disk=self.is_failing)
            del packs[0]
            self._worker.ring()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what was taken before, or write it down; return whether all of it is safe."""
        deadline = time.monotonic() + timeout_seconds
        target = self.hurry()
        if self._outbox.is_safe(target):
            return True
        runs = self._worker.ring()
        if not self._outbox.has_disk:
            return (
                self._outbox.wait(target, deadline) if runs else self._work_here(target, deadline)
            )
        if runs and self._outbox.wait(target, deadline - (1 - _PATIENCE) * timeout_seconds):
            return True
        self._outbox.make_safe(target)
        return self._outbox.wait(target, deadline)

    def hurry(self) -> int:
        """Try again at once; return how many packs were taken so far."""
        self._retry_at = 0.0
        if self._outbox.is_holding() or self.is_failing:
            self._worker.ring()
        return self._outbox.taken

    def close(self, timeout_seconds: float) -> None:
        """Flush and end the thread; what is safe nowhere is dropped and counted."""
        deadline = time.monotonic() + timeout_seconds
        if self._closed:
            return
        self.flush(timeout_seconds)
        self._closed = True
        if self._worker.is_running():
            self._worker.join(max(_LAST_TURN_SECONDS, deadline - time.monotonic()))
        else:
            self.turn()

    def begin_anew(self) -> None:
        """Forget the parent's packs, counts and connections: this is its forked child."""
        self._open()
        self._outbox.begin_anew()
        self._worker.begin_anew()

    def is_holding(self) -> bool:
        return self._outbox.is_holding()

    def turn(self) -> float:
        """Send what waits in memory, then what waits on disk: the thread's work."""
        if self._closed:
            self._end()
            return STOP
        pause = self._retry_at - self._clock()
        if pause > 0:
            return pause
        # After a failure one pack goes ahead and sees.
        most = 1 if self.is_failing else MAX_PACKS_A_REQUEST
        parcels = self._outbox.next(most, MAX_REQUEST_BYTES)
        if parcels:
            self._send(parcels)
            return 0.0
        return _LOOK_AGAIN_SECONDS if self._outbox.is_on_disk() else UNTIL_RUNG

    def _send(self, parcels: list[Parcel]) -> None:
        try:
            if self._queue is None:
                self._queue = self._connect()
            results = self._queue.send([each.pack.body(self._now()) for each in parcels])
        except Exception as error:  # noqa: BLE001 (the edge: a sink never breaks the app)
            results = [error] * len(parcels)
        passing = [
            each for each in results if each is not None and not isinstance(each, InputError)
        ]
        self._judge(passing)
        # Backwards, so that what goes back into the outbox keeps its order.
        for parcel, result in reversed(list(zip(parcels, results, strict=True))):
            self._settle(parcel, result)
        self._outbox.end()
        if passing:
            self._outbox.to_disk()

    def _judge(self, problems: Sequence[Exception]) -> None:
        """Set how the queue is doing, and when to try again."""
        if problems:
            self._failed(problems[0])
        elif self.is_failing:
            self._streak = 0
            logger.info("%s: the queue takes packs again", self._name)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._streak += 1
        self._last_error = shown(error)
        pause = pause_after(error, self._streak, self._pace, self._randomness)
        self._retry_at = self._clock() + pause
        if self._streak == 1 and self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + QUIET_SECONDS
            level = logging.ERROR if isinstance(error, SettingsError) else logging.WARNING
            where = "on disk" if self._outbox.has_disk else "in memory, as far as there is room"
            logger.log(level, "%s: packs are kept %s: %s", self._name, where, shown(error))

    def _settle(self, parcel: Parcel, problem: Exception | None) -> None:
        if problem is None:
            self._outbox.sent(parcel)
        elif isinstance(problem, InputError):
            self._refused(parcel, problem)
        else:
            self._outbox.keep(parcel)

    def _refused(self, parcel: Parcel, problem: InputError) -> None:
        self.failures += 1
        self._last_error = shown(problem)
        is_kept = self._outbox.refused(parcel)
        what = "stays on disk until the next start" if is_kept else "is dropped"
        logger.error("%s: pack %s %s: %s", self._name, parcel.pack.id, what, shown(problem))

    def _work_here(self, target: int, deadline: float) -> bool:
        """Take the thread's turns: at the interpreter's end no thread can be started."""
        while not self._outbox.is_safe(target) and time.monotonic() < deadline:
            time.sleep(max(0.0, min(self.turn(), deadline - time.monotonic())))
        return self._outbox.is_safe(target)

    def _end(self) -> None:
        lost = self._outbox.drop_the_rest()
        if lost:
            logger.error("%s: closed; %d records could not be sent in time", self._name, lost)
        if self._queue is not None:
            self._queue.close()
