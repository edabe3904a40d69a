"""Which troubles are new: a log that says each kind of them once, and never falls silent."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from spendfuse.metering.forks import renew_after_fork

MAX_KINDS = 100
PAUSE_SECONDS = 60.0
"""Between two new kinds, once there were very many: somebody may be making them up."""
_NUMBER = re.compile(r"\d+")


class SaidOnce:
    """Remembers what was said.

    Args:
        ignoring_numbers: texts that differ in their numbers alone are of one kind.
        clock: seconds.
    """

    def __init__(
        self, *, ignoring_numbers: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ignoring_numbers = ignoring_numbers
        self._clock = clock
        self._kinds: set[str] = set()
        self._last = -PAUSE_SECONDS
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def is_new(self, text: str) -> bool:
        """Return whether to say it now; then it is said."""
        kind = _NUMBER.sub("#", text) if self._ignoring_numbers else text
        with self._lock:
            if kind in self._kinds:
                return False
            if len(self._kinds) >= MAX_KINDS:
                now = self._clock()
                if now - self._last < PAUSE_SECONDS:
                    return False
                self._last = now
                return True
            self._kinds.add(kind)
            return True

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
