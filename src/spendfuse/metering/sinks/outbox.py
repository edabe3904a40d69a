"""The packs that were taken and are not sent yet, and what is safe of them.

A pack is safe when the queue has it or it is on disk. While the queue takes packs nothing
touches the disk; a flush that ran out of time, or a queue that fails, has them written down.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from spendfuse.errors import UnavailableError
from spendfuse.metering.sinks.background import shown
from spendfuse.metering.sinks.packing import MAX_PACK_BYTES, Pack
from spendfuse.metering.sinks.spill import Claim, Contents, SpillFolder

logger = logging.getLogger(__name__)

MAX_PACKS = 32
"""In memory: 8 MB at most."""


@dataclass(slots=True, eq=False)
class Parcel:
    """A pack on its way, and where else it is."""

    pack: Pack
    number: int = 0
    """In the order in which packs were taken; 0 for those from disk."""
    path: Path | None = None
    """Its file, once it was written down."""
    claim: Claim | None = None
    """Our hold on that file, when it was taken from disk."""
    is_done: bool = False


class Outbox:
    """Packs in memory and in the spill folder; filled, emptied and flushed by several threads."""

    def __init__(
        self, name: str, *, spill: SpillFolder | None, now: Callable[[], datetime]
    ) -> None:
        self._name = name
        self._spill = spill
        self._now = now
        self._open()

    def _open(self) -> None:
        # Guards the parcels and the counts; never held while something waits.
        self._changed = threading.Condition()
        # Held while parcels are written down, so that each is written once.
        self._writing = threading.RLock()
        self._waiting: deque[Parcel] = deque()
        self._sending: list[Parcel] = []
        self._claims: Iterator[Claim] = iter(())
        self._refused_files: set[str] = set()
        self._disk_works = True
        self.taken = self.delivered = self.dropped = 0
        self.last_error: str | None = None

    def begin_anew(self) -> None:
        """Forget the parent's packs and counts: this is its forked child."""
        self._open()
        if self._spill is not None:
            self._spill.begin_anew()

    @property
    def has_disk(self) -> bool:
        return self._spill is not None

    def is_holding(self) -> bool:
        """Whether a pack is in memory."""
        return bool(self._waiting or self._sending)

    def is_on_disk(self) -> bool:
        """Whether a pack is in the folder, whoever put it there."""
        return self._on_disk().packs > 0

    def records(self) -> int:
        """Return how many records wait in memory and in the folder."""
        with self._changed:
            in_memory = sum(
                each.pack.count
                # A set, because a parcel that is put back is in both for a moment.
                for each in {*self._waiting, *self._sending}
                if each.path is None and not each.is_done
            )
        return in_memory + self._on_disk().records

    def _on_disk(self) -> Contents:
        if self._spill is None:
            return Contents()
        contents = self._spill.contents()
        if (trouble := self._spill.trouble) is not None:
            self._cannot_write(trouble)
        return contents

    def put(self, pack: Pack, *, to_disk: bool) -> None:
        """Take a pack: to disk, where that is wished and possible; else where there is room.

        Raises:
            UnavailableError: there is no room; it was not taken.
        """
        parcel = Parcel(pack)
        if to_disk and self._write_down(parcel):
            return
        if not self._keep_in_memory(parcel) and not self._write_down(parcel):
            raise UnavailableError(
                f"{MAX_PACKS} packs wait in memory, and none can be written to disk"
            )

    def _keep_in_memory(self, parcel: Parcel) -> bool:
        with self._changed:
            if len(self._waiting) >= MAX_PACKS:
                return False
            self.taken += 1
            parcel.number = self.taken
            self._waiting.append(parcel)
            return True

    def next(self, most: int, max_bytes: int) -> list[Parcel]:
        """Return the parcels to send together; settle each of them, and then ``end``.

        Those in memory go first: fresh spend is what budgets wait for.
        """
        with self._changed:
            while self._waiting and len(self._sending) < most:
                size = sum(each.pack.size for each in self._sending)
                if self._sending and size + self._waiting[0].pack.size > max_bytes:
                    break
                self._sending.append(self._waiting.popleft())
        return self._sending or self._from_disk(most, max_bytes)

    def _from_disk(self, most: int, max_bytes: int) -> list[Parcel]:
        if self._spill is None:
            return []
        parcels = self._claimed(most, max_bytes)
        if not parcels:
            # The last listing is used up: look once more.
            self._claims = self._spill.claims(skip=self._refused_files.__contains__)
            parcels = self._claimed(most, max_bytes)
        return parcels

    def _claimed(self, most: int, max_bytes: int) -> list[Parcel]:
        parcels: list[Parcel] = []
        room = max_bytes
        while len(parcels) < most and (room >= MAX_PACK_BYTES or not parcels):
            claim = next(self._claims, None)
            if claim is None:
                break
            parcels.append(Parcel(claim.pack, path=claim.path, claim=claim))
            room -= claim.pack.size
        return parcels

    def sent(self, parcel: Parcel) -> None:
        """Let go of a parcel that the queue has."""
        with self._changed:
            parcel.is_done = True
            self.delivered += parcel.pack.count
        if self._spill is None:
            return
        if parcel.claim is not None:
            self._spill.release(parcel.claim, sent=True)
        elif parcel.path is not None:
            self._spill.remove(parcel.path, parcel.pack)

    def refused(self, parcel: Parcel) -> bool:
        """Leave a parcel that the queue never takes on disk, for the next process to try.

        Returns whether it is there; else it is dropped and counted.
        """
        is_kept = self._write_down(parcel)
        if is_kept and parcel.path is not None:
            self._refused_files.add(parcel.path.name)
        self._release(parcel)
        with self._changed:
            parcel.is_done = True
            self.dropped += 0 if is_kept else parcel.pack.count
        return is_kept

    def keep(self, parcel: Parcel) -> None:
        """Put back a parcel that could not be sent now: on disk, or where it was."""
        if parcel.claim is not None:
            self._release(parcel)
        elif not self._write_down(parcel):
            with self._changed:
                self._waiting.appendleft(parcel)

    def end(self) -> None:
        """Say that all parcels of ``next`` are settled."""
        with self._changed:
            self._sending = []
            self._changed.notify_all()

    def _release(self, parcel: Parcel) -> None:
        if parcel.claim is not None and self._spill is not None:
            self._spill.release(parcel.claim, sent=False)

    def to_disk(self) -> None:
        """Move to disk what waits for a queue that fails."""
        with self._changed:
            parcels = list(self._waiting)
        for parcel in parcels:
            if not self._write_down(parcel):
                return
            with self._changed:
                self._waiting.remove(parcel)
                self._changed.notify_all()

    def make_safe(self, number: int) -> None:
        """Write down what was taken up to ``number``, be it on its way to the queue already."""
        with self._changed:
            parcels = [*self._sending, *self._waiting]
        for parcel in parcels:
            if parcel.number <= number and not self._write_down(parcel):
                return

    def _write_down(self, parcel: Parcel) -> bool:
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
            self._disk_works = True
            with self._changed:
                parcel.path = path
                is_late = parcel.is_done
            if is_late:  # the queue took it while it was written
                self._spill.remove(path, parcel.pack)
            return True

    def _cannot_write(self, error: Exception) -> None:
        self.last_error = shown(error)
        if self._disk_works:
            self._disk_works = False
            logger.error("%s: packs can't be written to disk: %s", self._name, shown(error))

    def is_safe(self, number: int) -> bool:
        """Whether all that was taken up to ``number`` is sent or on disk."""
        with self._changed:
            return all(
                each.path is not None or each.is_done or each.number > number
                for each in (*self._sending, *self._waiting)
            )

    def wait(self, number: int, deadline: float) -> bool:
        """Wait until all that was taken up to ``number`` is safe; return whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.is_safe(number), max(0.0, deadline - time.monotonic())
            )

    def drop_the_rest(self) -> int:
        """Drop and count what waits in memory alone; return how many records that were."""
        with self._changed:
            lost = sum(each.pack.count for each in self._waiting if each.path is None)
            self._waiting.clear()
            self.dropped += lost
            self._changed.notify_all()
        return lost
