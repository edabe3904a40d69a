"""A value from elsewhere that is never older than it may be, while requests hardly wait for it.

It is read again in the background while it is used. A read that fails changes nothing: the last
value holds, the failure is counted and said, and the next try comes a moment later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from spendfuse.errors import SpendfuseError
from spendfuse.metering.forks import renew_after_fork

logger = logging.getLogger(__name__)
_Value = TypeVar("_Value")
_SAY_AGAIN_SECONDS = 60.0


class Refreshed(Generic[_Value]):
    """Call it for the value.

    A value older than half of ``max_age_seconds`` is read again in the background; one older than
    all of it, as after a pause, is read before the call returns. So what was read successfully is
    at most ``max_age_seconds`` old whenever it is given out. ``read`` has timeouts of its own.

    Args:
        name: what it is, for the log.
        read: reads it; a SpendfuseError means that it can't be read for now.
        first: what holds until the first successful read.
        max_age_seconds: how old it may be.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], _Value],
        first: _Value,
        *,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._read = read
        self._value = first
        self._max_age = max_age_seconds
        self._clock = clock
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._said_at: float | None = None
        self.failures = 0
        """Reads that failed, since it was made."""
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._reading = threading.Lock()

    def __call__(self) -> _Value:
        now = self._clock()
        if self._read_at is not None and now - self._read_at < self._max_age / 2:
            return self._value
        if self.would_wait():
            with self._reading:
                # Whoever waited for another's read has what that one read, or knows that it failed.
                if self.would_wait():
                    self._refresh()
        elif self._may_try(now) and self._reading.acquire(blocking=False):
            self._start(now)
        return self._value

    def would_wait(self) -> bool:
        """Return whether a call would read now: then it does not belong on an event loop."""
        now = self._clock()
        too_old = self._read_at is None or now - self._read_at >= self._max_age
        return too_old and not self._has_failed()

    def refresh(self) -> None:
        """Read it now.

        Raises:
            SpendfuseError: it can't be read; the last value holds.
        """
        with self._reading:
            began = self._clock()
            self._take(self._read(), began)

    def _has_failed(self) -> bool:
        """Return whether the last try failed: then nobody waits for the next one."""
        if self._tried_at is None:
            return False
        return self._read_at is None or self._tried_at > self._read_at

    def _may_try(self, now: float) -> bool:
        return self._tried_at is None or now - self._tried_at >= self._max_age / 2

    def _start(self, now: float) -> None:
        """Read in the background; the lock is held and given back there."""
        self._tried_at = now if self._has_failed() else self._tried_at

        def read() -> None:
            try:
                self._refresh()
            finally:
                self._reading.release()

        try:
            threading.Thread(target=read, name=f"spendfuse {self._name}", daemon=True).start()
        except RuntimeError:
            # No more threads, or the interpreter ends: the value that there is will do.
            self._reading.release()

    def _refresh(self) -> None:
        # A value is as old as its question: the answer may have travelled for a while.
        began = self._clock()
        try:
            value = self._read()
        except SpendfuseError as error:
            self._fail(error)
        except Exception as error:  # a reader of the app's own, in the app's own request
            logger.debug("the error behind it", exc_info=True)
            self._fail(error)
        else:
            self._take(value, began)

    def _take(self, value: _Value, began: float) -> None:
        if self._said_at is not None:
            logger.warning("%s can be read again", self._name)
            self._said_at = None
        # A value that has not changed stays the same object: what was derived from it still holds.
        if value != self._value:
            self._value = value
        self._read_at = self._tried_at = began

    def _fail(self, error: Exception) -> None:
        now = self._tried_at = self._clock()
        self.failures += 1
        if self._said_at is None or now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            logger.warning(
                "%s can't be read, the last one holds (%d failures so far): %s",
                self._name,
                self.failures,
                error,
            )
