"""Delivery on the caller's thread, for targets that take a record in microseconds.

What the target refuses is kept, up to a limit, and tried again with the next records.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, RLock

from spendfuse.errors import InputError
from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import shown
from spendfuse.metering.sinks.sink import SinkHealth

logger = logging.getLogger(__name__)

KEPT_RECORDS = 1000
_RETRIES_PER_EMIT = 10
"""So that no single call pays for the whole backlog."""


class UndeliverableError(InputError):
    """A record that this sink can never deliver; trying again would fail again."""


class DirectSink:
    """A ``Sink`` over one function that delivers a record, or raises.

    Records may be delivered twice when the function fails after it has delivered; every record
    carries its id.
    """

    def __init__(
        self, name: str, deliver: Callable[[Record], None], *, kept_records: int = KEPT_RECORDS
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._kept_records = kept_records
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        # Also in a forked child: what waits is its parent's to deliver, and a lock may be held
        # by a thread that the child doesn't have.
        # Reentrant, because a signal handler may emit while its thread is in here.
        self._counting = RLock()
        self._retrying = Lock()
        self._waiting: deque[Record] = deque()
        self._accepted = self._delivered = self._dropped = self._failures = 0
        self._last_error: str | None = None
        self._is_failing = False

    @property
    def name(self) -> str:
        return self._name

    def emit(self, record: Record) -> None:
        # No lock is held while delivering: a log handler may itself call an LLM.
        with self._counting:
            self._accepted += 1
        if self._waiting:
            self._keep(record)
            self._retry(_RETRIES_PER_EMIT)
        elif not self._try(record):
            self._keep(record)

    def flush(self, timeout_seconds: float) -> bool:
        until = time.monotonic() + timeout_seconds
        while self._waiting and time.monotonic() < until:
            if not self._retry(_RETRIES_PER_EMIT):
                break
        return not self._waiting

    def close(self, timeout_seconds: float) -> None:
        self.flush(timeout_seconds)

    def health(self) -> SinkHealth:
        with self._counting:
            return SinkHealth(
                accepted=self._accepted,
                delivered=self._delivered,
                waiting=self._accepted - self._delivered - self._dropped,
                dropped=self._dropped,
                failures=self._failures,
                last_error=self._last_error,
            )

    def _try(self, record: Record) -> bool:
        """Return whether the record is done with: delivered, or dropped for good."""
        try:
            self._deliver(record)
        except UndeliverableError as error:
            self._drop(str(error))
        except Exception as error:  # noqa: BLE001 (targets are the app's own: anything may come)
            self._note_failure(error)
            return False
        else:
            with self._counting:
                self._delivered += 1
            self._is_failing = False
        return True

    def _retry(self, most: int) -> bool:
        """Deliver what waits, oldest first; return False when the target still fails."""
        if not self._retrying.acquire(blocking=False):
            return False
        try:
            for _ in range(min(most, len(self._waiting))):
                if not self._try(self._waiting[0]):
                    return False
                self._waiting.popleft()
            return True
        finally:
            self._retrying.release()

    def _keep(self, record: Record) -> None:
        if len(self._waiting) >= self._kept_records:
            self._drop(f"more than {self._kept_records} records wait")
        else:
            self._waiting.append(record)

    def _drop(self, reason: str) -> None:
        with self._counting:
            self._dropped += 1
            self._last_error = reason

    def _note_failure(self, error: Exception) -> None:
        with self._counting:
            self._failures += 1
            self._last_error = failure_text(error)
            is_news, self._is_failing = not self._is_failing, True
        if is_news:
            # The app's logging may be what is broken.
            with suppress(Exception):
                logger.warning(
                    "sink %s fails (%s); up to %d records wait in memory",
                    self._name,
                    self._last_error,
                    self._kept_records,
                )


def failure_text(error: Exception) -> str:
    """Return the error's class, and its text where that can hold no customer's data."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return shown(error)
