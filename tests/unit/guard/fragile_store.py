"""A store in memory that a test can take down, and bring back with or without what it knew."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from spendfuse.errors import UnavailableError
from spendfuse.guard.step import Hold, Reserve, Settle, Standing
from spendfuse.guard.stores.memory import MemoryStore


class Fragile:
    """Does as memory does while it is up."""

    is_local = True
    takes_rates = True

    def __init__(self) -> None:
        self.is_down = False
        self.loses_answers = False
        """Whether it takes a step, and is down only then."""
        self.calls: list[str] = []
        self.is_closed = False
        self.empty()

    def empty(self) -> None:
        """Lose everything."""
        self.within = MemoryStore()

    def reserve(self, step: Reserve) -> Any:
        return self._taken(f"reserve {step.id}", lambda: self.within.reserve(step))

    def settle(self, step: Settle) -> Any:
        return self._taken(f"settle {step.hold.id}", lambda: self.within.settle(step))

    def release(self, hold: Hold) -> Any:
        return self._taken(f"release {hold.id}", lambda: self.within.release(hold))

    def find(self, hold_id: str) -> Any:
        return self._taken(f"find {hold_id}", lambda: self.within.find(hold_id))

    def look(self, counters: Sequence[str]) -> Any:
        return self._taken("look", lambda: self.within.look(counters))

    def close(self) -> None:
        self.is_closed = True

    def standing(self, counter: str) -> Standing | None:
        """Look, whether it is down or not."""
        return self.within.look([counter])[0]

    def _taken(self, call: str, take: Callable[[], Any]) -> Any:
        self.calls.append(call)
        if self.is_down:
            raise UnavailableError("it is down")
        answer = take()
        if self.loses_answers:
            raise UnavailableError("its answer was lost")
        return answer


class HandClock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for a thread's work."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
