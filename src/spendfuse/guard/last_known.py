"""A value that is asked for in every request; where it can't be read, the last one holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from spendfuse.errors import SpendfuseError

logger = logging.getLogger(__name__)
_Value = TypeVar("_Value")
_SAY_AGAIN_SECONDS = 60.0


class LastKnown(Generic[_Value]):
    """Call it for the value.

    Args:
        name: what it is, for the log.
        read: returns it quickly, or raises a SpendfuseError: then the last value holds.
        first: what holds until the first successful read; without it, that must not fail.
    """

    def __init__(self, name: str, read: Callable[[], _Value], first: _Value | None = None) -> None:
        self._name = name
        self._read = read
        self.value = read() if first is None else first
        """What was last read."""
        self._failures = 0
        self._say_at = 0.0

    def __call__(self) -> _Value:
        try:
            self.value = self._read()
        except SpendfuseError as error:
            self.fail(error)
        return self.value

    @property
    def failures(self) -> int:
        """Reads that failed, here or where it is read."""
        known: Any = getattr(self._read, "failures", 0)
        return self._failures + int(known)

    def would_wait(self) -> bool:
        """Return whether a call would wait for a network: ``Refreshed`` knows."""
        asked = getattr(self._read, "would_wait", None)
        return bool(asked()) if asked is not None else False

    def fail(self, error: SpendfuseError) -> None:
        """Count a failure, and say it now and then."""
        self._failures += 1
        now = time.monotonic()
        if now >= self._say_at:
            self._say_at = now + _SAY_AGAIN_SECONDS
            logger.warning("%s can't be read, the last one holds: %s", self._name, error)
