"""What a store has still to be told: settles and releases that could not be delivered.

In the order in which they came, bounded, and safe to share between threads.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from spendfuse.guard.step import Hold, Settle

MOST_WAITING = 10_000


@dataclass(slots=True, eq=False)
class Release:
    """Let go of a hold."""

    hold: Hold
    is_unanswered: bool = False
    """Whether nobody knows if it was ever held: its reservation had no answer."""


@dataclass(slots=True, eq=False)
class Waiting:
    """One step that waits."""

    step: Settle | Release
    give_up_at: float | None = None
    """Set once one of its counters was found missing."""

    @property
    def hold(self) -> Hold:
        return self.step.hold


class Backlog:
    """Steps that wait for the store; some are put off, and let others pass.

    Args:
        most: beyond it the oldest is dropped.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        # Reentrant, because the garbage collector may settle something in the middle of a step.
        self._lock = threading.RLock()
        self._due: deque[Waiting] = deque()
        self._put_off: deque[Waiting] = deque()
        self._by_id: dict[str, list[Waiting]] = {}

    def __len__(self) -> int:
        return len(self._due) + len(self._put_off)

    def __contains__(self, hold_id: str) -> bool:
        return hold_id in self._by_id

    @property
    def has_put_off(self) -> bool:
        return bool(self._put_off)

    def add(self, step: Settle | Release) -> Waiting | None:
        """Let a step wait; return the one that was dropped for it."""
        added = Waiting(step)
        with self._lock:
            dropped = (self._put_off or self._due)[0] if len(self) >= self._most else None
            if dropped is not None:
                self.remove(dropped)
            self._due.append(added)
            self._by_id.setdefault(step.hold.id, []).append(added)
        return dropped

    def first(self) -> Waiting | None:
        """Return the oldest that is due; it stays until it is removed or put off."""
        with self._lock:
            while self._due:
                first = self._due[0]
                if self._by_id[first.hold.id][0] is first:
                    return first
                # What came before it of the same hold was put off, and goes first.
                self._put_off.append(self._due.popleft())
            return None

    def of(self, hold_id: str) -> list[Waiting]:
        """Return what waits of one hold, oldest first."""
        with self._lock:
            return list(self._by_id.get(hold_id, ()))

    def put_off(self, waiting: Waiting) -> None:
        """Let others pass until ``resume``."""
        with self._lock:
            if self._due and self._due[0] is waiting:
                self._put_off.append(self._due.popleft())

    def resume(self) -> None:
        """Make due again what was put off."""
        with self._lock:
            self._due.extendleft(reversed(self._put_off))
            self._put_off.clear()

    def remove(self, waiting: Waiting) -> None:
        """Forget a step: it was delivered, or never will be."""
        with self._lock:
            of_its_hold = self._by_id.get(waiting.hold.id, [])
            if waiting not in of_its_hold:
                return
            of_its_hold.remove(waiting)
            if not of_its_hold:
                del self._by_id[waiting.hold.id]
            if self._due and self._due[0] is waiting:
                self._due.popleft()
            elif waiting in self._due:
                self._due.remove(waiting)
            else:
                self._put_off.remove(waiting)
