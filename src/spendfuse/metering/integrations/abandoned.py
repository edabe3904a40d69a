"""Streams that nobody finishes: dropped by the app, or open when the process ends.

The garbage collector may come at any moment, in a thread that holds any lock, the sinks' own
included. So what it finds is only put in a queue, and a thread takes it from there.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import weakref
from contextlib import suppress
from functools import cache
from typing import Protocol

EXIT_SECONDS = 2.0
"""How long the end of the process waits for the thread."""
_TRIES = 10


class Unfinished(Protocol):
    def settle(self) -> None:
        """Report what is known. Raises nothing; a second time does nothing."""
        ...


class Abandoned:
    """Settles what is dropped, on a daemon thread that begins with the first stream."""

    def __init__(self) -> None:
        self._begin()
        # A forked child has neither the thread nor a right to its parent's streams.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)
        atexit.register(self.settle_all)

    def _begin(self) -> None:
        self._dropped: queue.SimpleQueue[Unfinished | threading.Event] = queue.SimpleQueue()
        self._open: weakref.WeakSet[Unfinished] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def watch(self, unfinished: Unfinished) -> None:
        """Settle it when the process ends, unless ``forget`` comes first."""
        self._open.add(unfinished)
        if self._thread is None:
            self._start()

    def forget(self, unfinished: Unfinished) -> None:
        self._open.discard(unfinished)

    def drop(self, unfinished: Unfinished) -> None:
        """Have it settled soon. For finalizers: takes no lock, and keeps it alive until then."""
        self._dropped.put(unfinished)

    def wait(self, timeout_seconds: float) -> bool:
        """Return whether all that was dropped before is settled."""
        if self._thread is None:
            return self._dropped.empty()
        reached = threading.Event()
        self._dropped.put(reached)
        return reached.wait(timeout_seconds)

    def settle_all(self) -> None:
        """Settle what was dropped, and what is still open."""
        self.wait(EXIT_SECONDS)
        for unfinished in self._still_open():
            unfinished.settle()

    def _still_open(self) -> list[Unfinished]:
        for _ in range(_TRIES):
            with suppress(RuntimeError):  # another thread has begun a stream meanwhile
                return list(self._open)
        return []

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, args=(self._dropped,), name="spendfuse-streams", daemon=True
                )
                # None can be had when the process ends, or has too many: the next may begin one.
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    @staticmethod
    def _run(dropped: queue.SimpleQueue[Unfinished | threading.Event]) -> None:
        while True:
            found = dropped.get()
            if isinstance(found, threading.Event):
                found.set()
            else:
                found.settle()
            del found  # else the last one stays alive until the next


@cache
def abandoned() -> Abandoned:
    """Return the process' one."""
    return Abandoned()
