"""Sends packs to a queue from a thread of its own, and writes down what the queue does not take.

A pack is safe when the queue has it or it is on disk. While the queue takes packs nothing
touches the disk; when it fails, whole packs go to the spill folder until it takes them again.
Without a folder a bounded number is kept in memory, and then nothing more is taken.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from spendfuse.clock import utc_now
from spendfuse.errors import InputError, SettingsError, UnavailableError
from spendfuse.metering.sinks.background import Pace, pause_after, shown
from spendfuse.metering.sinks.packing import MAX_PACK_BYTES, Pack
from spendfuse.metering.sinks.spill import Claim, SpillFolder
from spendfuse.metering.sinks.worker import STOP, UNTIL_RUNG, Worker

logger = logging.getLogger(__name__)

MAX_PACKS_IN_MEMORY = 32
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


@dataclass(slots=True, eq=False)
class _Parcel:
    """A pack on its way, and where else it is."""

    pack: Pack
    number: int = 0
    """In the order in which packs were taken; 0 for those from disk."""
    path: Path | None = None
    """Its file, once it was written down."""
    claim: Claim | None = None
    is_done: bool = False


class PackSender:
    """Owns the packs that it took until they are sent or on disk.

    Args:
        name: for logs and the thread.
        connect: makes the queue's client, on the thread and once a process: a forked child
            must not talk over its parent's connections.
        spill: the folder for what can't be sent; None keeps it in memory.
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
        self._spill = spill
        self._pace = pace
        self._now = now
        self._clock = clock
        self._randomness = randomness
        self._closed = False
        self._open()
        self._worker = Worker(self, f"{name} sender")

    def _open(self) -> None:
        self._queue: PackQueue | None = None
        # Guards the parcels and the counts; never held while something waits.
        self._changed = threading.Condition()
        # Held while parcels are written down, so that each is written once.
        self._writing = threading.RLock()
        self._outbox: deque[_Parcel] = deque()
        self._sending: list[_Parcel] = []
        self._taken = 0
        self._streak = 0
        self._retry_at = 0.0
        self._claims: Iterator[Claim] = iter(())
        self._refused_files: set[str] = set()
        self._spill_works = True
        self.delivered = self.dropped = self.failures = 0
        self.last_error: str | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the queue did not take what it was sent last."""
        return self._streak > 0

    def take(self, packs: list[Pack]) -> None:
        """Take packs out of the list, to be sent; while the queue fails they go to disk at once.

        Raises:
            UnavailableError: there is no room; what is left in the list was not taken.
        """
        while packs:
            self._take_one(packs[0])
            del packs[0]

    def _take_one(self, pack: Pack) -> None:
        parcel = _Parcel(pack)
        is_taken = (
            (self.is_failing and self._write_down(parcel))
            or self._put_in_outbox(parcel)
            or self._write_down(parcel)
        )
        if not is_taken:
            raise UnavailableError(
                f"{MAX_PACKS_IN_MEMORY} packs wait in memory, and none can be written to disk"
            )
        self._worker.ring()

    def _put_in_outbox(self, parcel: _Parcel) -> bool:
        with self._changed:
            if len(self._outbox) >= MAX_PACKS_IN_MEMORY:
                return False
            self._taken += 1
            parcel.number = self._taken
            self._outbox.append(parcel)
            return True

    def flush(self, timeout_seconds: float) -> bool:
        """Send what was taken before, or write it down; return whether all of it is safe."""
        deadline = time.monotonic() + timeout_seconds
        target = self.hurry()
        if self._is_safe(target):
            return True
        runs = self._worker.ring()
        if self._spill is None:
            return self._wait(target, deadline) if runs else self._work_here(target, deadline)
        if runs and self._wait(target, deadline - (1 - _PATIENCE) * timeout_seconds):
            return True
        self._write_down_all(target)
        return self._wait(target, deadline)

    def hurry(self) -> int:
        """Try again at once; return how many packs were taken so far."""
        with self._changed:
            self._retry_at = 0.0
            target = self._taken
        if self._outbox:
            self._worker.ring()
        return target

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

    def waiting(self) -> int:
        """Return the records in memory and in the spill folder."""
        with self._changed:
            parcels = [*self._outbox, *self._sending]
            in_memory = sum(each.pack.count for each in parcels if each.path is None)
        return in_memory + (self._spill.contents().records if self._spill else 0)

    def begin_anew(self) -> None:
        """Forget the parent's packs, counts and connections: this is its forked child."""
        self._open()
        if self._spill is not None:
            self._spill.begin_anew()
        self._worker.begin_anew()

    def is_holding(self) -> bool:
        return bool(self._outbox or self._sending)

    def turn(self) -> float:
        """Send what waits in memory, then what waits on disk: the thread's work."""
        if self._closed:
            self._drop_the_rest()
            return STOP
        pause = self._retry_at - self._clock()
        if pause > 0:
            return pause
        parcels = self._next()
        if parcels:
            self._send(parcels)
            return 0.0
        if self._spill is not None and self._spill.contents().packs:
            return _LOOK_AGAIN_SECONDS
        return UNTIL_RUNG

    def _next(self) -> list[_Parcel]:
        # After a failure one pack goes ahead and sees.
        most = 1 if self._streak else MAX_PACKS_A_REQUEST
        with self._changed:
            size = 0
            while self._outbox and len(self._sending) < most:
                size += self._outbox[0].pack.size
                if self._sending and size > MAX_REQUEST_BYTES:
                    break
                self._sending.append(self._outbox.popleft())
        return self._sending or self._from_disk(most)

    def _from_disk(self, most: int) -> list[_Parcel]:
        if self._spill is None:
            return []
        parcels = self._claimed(most)
        if not parcels:
            # The last listing is used up: look once more.
            self._claims = self._spill.claims(skip=self._refused_files.__contains__)
            parcels = self._claimed(most)
        return parcels

    def _claimed(self, most: int) -> list[_Parcel]:
        parcels: list[_Parcel] = []
        room = MAX_REQUEST_BYTES
        while len(parcels) < most and room >= MAX_PACK_BYTES:
            claim = next(self._claims, None)
            if claim is None:
                break
            parcels.append(_Parcel(claim.pack, path=claim.path, claim=claim))
            room -= claim.pack.size
        return parcels

    def _send(self, parcels: list[_Parcel]) -> None:
        try:
            if self._queue is None:
                self._queue = self._connect()
            results = self._queue.send([each.pack.body(self._now()) for each in parcels])
        except Exception as error:  # noqa: BLE001 (the edge: a sink never breaks the app)
            results = [error] * len(parcels)
        problems = [error for error in results if error is not None]
        passing = [error for error in problems if not isinstance(error, InputError)]
        if passing:
            self._failed(passing[0])
        elif self._streak:
            logger.info("%s: the queue takes packs again", self._name)
            self._streak = 0
        # Backwards, so that what goes back into the outbox keeps its order.
        for parcel, result in reversed(list(zip(parcels, results, strict=True))):
            self._settle(parcel, result)
        with self._changed:
            self._sending = []
            self._changed.notify_all()
        if passing:
            self._empty_outbox()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._streak += 1
        self.last_error = shown(error)
        self._retry_at = self._clock() + pause_after(
            error, self._streak, self._pace, self._randomness
        )
        if self._streak == 1:
            level = logging.ERROR if isinstance(error, SettingsError) else logging.WARNING
            where = "on disk" if self._spill else "in memory, as far as there is room"
            logger.log(level, "%s: packs are kept %s: %s", self._name, where, shown(error))

    def _settle(self, parcel: _Parcel, error: Exception | None) -> None:
        if error is None:
            self._sent(parcel)
        elif isinstance(error, InputError):
            self._refused(parcel, error)
        else:
            self._keep(parcel)

    def _sent(self, parcel: _Parcel) -> None:
        with self._changed:
            parcel.is_done = True
            self.delivered += parcel.pack.count
        if self._spill is None:
            return
        if parcel.claim is not None:
            self._spill.release(parcel.claim, sent=True)
        elif parcel.path is not None:
            self._spill.remove(parcel.path, parcel.pack)

    def _refused(self, parcel: _Parcel, error: InputError) -> None:
        """Leave a pack that the queue will never take on disk, for the next process to try."""
        self.failures += 1
        self.last_error = shown(error)
        logger.error("%s: pack %s is refused: %s", self._name, parcel.pack.id, error)
        is_on_disk = self._write_down(parcel)
        if is_on_disk and parcel.path is not None:
            self._refused_files.add(parcel.path.name)
        if parcel.claim is not None and self._spill is not None:
            self._spill.release(parcel.claim, sent=False)
        with self._changed:
            parcel.is_done = True
            self.dropped += 0 if is_on_disk else parcel.pack.count

    def _keep(self, parcel: _Parcel) -> None:
        if parcel.claim is not None and self._spill is not None:
            self._spill.release(parcel.claim, sent=False)
        elif not self._write_down(parcel):
            with self._changed:
                self._outbox.appendleft(parcel)

    def _empty_outbox(self) -> None:
        """Put on disk what waits for a queue that fails."""
        with self._changed:
            parcels = list(self._outbox)
        for parcel in parcels:
            if not self._write_down(parcel):
                return
            with self._changed:
                self._outbox.remove(parcel)
                self._changed.notify_all()

    def _write_down(self, parcel: _Parcel) -> bool:
        """Put a parcel on disk, unless it is there; return whether it is safe."""
        if self._spill is None:
            return False
        with self._writing:
            if parcel.path is not None or parcel.is_done:
                return True
            try:
                path = self._spill.put(parcel.pack, parcel.pack.body(self._now()))
            except (OSError, UnavailableError) as error:
                self._cannot_write(error)
                return False
            self._spill_works = True
            with self._changed:
                parcel.path = path
                is_late = parcel.is_done
            if is_late:  # the queue took it while it was written
                self._spill.remove(path, parcel.pack)
            return True

    def _cannot_write(self, error: Exception) -> None:
        self.last_error = shown(error)
        if self._spill_works:
            self._spill_works = False
            logger.error("%s: packs can't be written to disk: %s", self._name, shown(error))

    def _write_down_all(self, target: int) -> None:
        with self._changed:
            parcels = [*self._sending, *self._outbox]
        for parcel in parcels:
            if parcel.number <= target and not self._write_down(parcel):
                return

    def _is_safe(self, target: int) -> bool:
        with self._changed:
            return all(
                each.path is not None or each.is_done or each.number > target
                for each in (*self._sending, *self._outbox)
            )

    def _wait(self, target: int, deadline: float) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: self._is_safe(target), max(0.0, deadline - time.monotonic())
            )

    def _work_here(self, target: int, deadline: float) -> bool:
        """Take the thread's turns: at the interpreter's end no thread can be started."""
        while not self._is_safe(target) and time.monotonic() < deadline:
            time.sleep(max(0.0, min(self.turn(), deadline - time.monotonic())))
        return self._is_safe(target)

    def _drop_the_rest(self) -> None:
        with self._changed:
            lost = sum(each.pack.count for each in self._outbox if each.path is None)
            self._outbox.clear()
            self.dropped += lost
            self._changed.notify_all()
        if lost:
            logger.error("%s: closed; %d records could not be sent in time", self._name, lost)
