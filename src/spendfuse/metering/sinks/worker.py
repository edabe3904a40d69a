"""The thread behind a sink: started at the first ring, gone from a forked child, ended at exit.

The thread holds its owner only while the owner has work, and the hooks for fork and exit never
do: a sink that nobody keeps any more delivers what it has, and is gone.

A process that ends by ``os._exit`` or a signal runs no hook; what was not flushed is lost with
it. Children of ``multiprocessing`` skip ``atexit`` too, and are ended by its own finalizers.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import math
import os
import sys
import threading
import time
import weakref
from typing import Final, Protocol

logger = logging.getLogger(__name__)

UNTIL_RUNG: Final = math.inf
"""What a turn returns when there is nothing to do."""
STOP: Final = -1.0
"""What a turn returns when it was the last."""
EXIT_SECONDS = 5.0
"""How long all sinks together may hold up the end of the process."""
_PAUSE_AFTER_A_BUG_SECONDS = 1.0


class Owner(Protocol):
    """Whose work a thread does."""

    def turn(self) -> float:
        """Do what is due; return in how many seconds there may be more to do."""
        ...

    def is_holding(self) -> bool:
        """Whether something waits in memory; else the owner may be forgotten meanwhile."""
        ...

    def hurry(self) -> object:
        """Do all that is waiting now, without lingering. Returns at once."""
        ...

    def close(self, timeout_seconds: float) -> None: ...

    def begin_anew(self) -> None:
        """Forget what the parent holds: this process is its forked child.

        Locks must be made anew: a thread of the parent may have held the old ones.
        """
        ...


class _Bell:
    """Wakes the thread. A bare lock, because ringing it is cheap and safe in signal handlers."""

    __slots__ = ("_lock", "visitor")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.visitor: Owner | None = None
        """Who rang: kept until the thread has looked, so that nobody is forgotten on the way."""

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._lock.release()

    def wait(self, seconds: float) -> None:
        if seconds == UNTIL_RUNG:
            self._lock.acquire()
        elif seconds > 0:
            self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))


class Worker:
    """A daemon thread that takes turns for its owner."""

    def __init__(self, owner: Owner, name: str) -> None:
        self._owner = weakref.ref(owner)
        self._name = name
        self.begin_anew()
        _watch(owner)

    def begin_anew(self) -> None:
        """Have no thread: at the beginning, and in a forked child."""
        self._thread: threading.Thread | None = None
        self._bell = _Bell()
        # Reentrant, because a signal handler may emit while its thread is in here.
        self._starting = threading.RLock()

    def ring(self) -> bool:
        """Wake the thread, or start it; return False where none can be started any more."""
        bell = self._bell
        bell.visitor = self._owner()
        bell.ring()
        return self.is_running() or self._start()

    def is_running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def join(self, timeout_seconds: float) -> None:
        """Wait for a thread whose owner has stopped it."""
        self._bell.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def _start(self) -> bool:
        with self._starting:
            if self.is_running():
                return True
            _end_with_multiprocessing()
            thread = threading.Thread(
                target=_run,
                args=(self._owner, self._bell),
                name=f"spendfuse {self._name}",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or there are too many threads
                return False
            self._thread = thread
            return True


def _run(owner_ref: weakref.ref[Owner], bell: _Bell) -> None:
    # This reference's callback ends the wait below when the owner is gone.
    watched: weakref.ref[Owner] | None = None
    while True:
        owner = bell.visitor or owner_ref()
        bell.visitor = None
        if owner is None:
            return
        if watched is None:
            watched = weakref.ref(owner, lambda _: bell.ring())
        pause = _turn(owner)
        if pause == STOP:
            return
        if not owner.is_holding():
            del owner
        bell.wait(pause)


def _turn(owner: Owner) -> float:
    try:
        return owner.turn()
    except Exception:
        # The thread's edge: without it one bug would end the deliveries for good.
        logger.exception("a sink's turn failed; it goes on in a second")
        return _PAUSE_AFTER_A_BUG_SECONDS


# Owners in the order in which they were made, so that one that feeds another ends first.
_living: dict[int, weakref.ref[Owner]] = {}
_numbers = itertools.count()
_hooked: list[str] = []


def _watch(owner: Owner) -> None:
    number = next(_numbers)
    _living[number] = weakref.ref(owner, lambda _: _living.pop(number, None))
    if not _hooked:
        _hooked.append("fork and exit")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_begin_anew)
        atexit.register(close_all)


def _owners() -> list[Owner]:
    return [owner for ref in list(_living.values()) if (owner := ref()) is not None]


def _begin_anew() -> None:
    for owner in _owners():
        owner.begin_anew()


def close_all() -> None:
    """Close every sink of this process: all hurry at once, and share one deadline."""
    owners = _owners()
    deadline = time.monotonic() + EXIT_SECONDS
    for owner in owners:
        owner.hurry()
    for owner in owners:
        try:
            owner.close(max(0.0, deadline - time.monotonic()))
        except Exception:
            logger.exception("a sink could not be closed")


def _end_with_multiprocessing() -> None:
    """Have sinks closed at the end of a child of multiprocessing, which skips atexit."""
    processes = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if processes is None or util is None or processes.parent_process() is None:
        return
    name = f"multiprocessing {os.getpid()}"
    if name not in _hooked:
        _hooked.append(name)
        # Below 0: after the child's own children were joined.
        util.Finalize(None, close_all, exitpriority=-100)
