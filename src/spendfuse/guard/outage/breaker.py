"""When to ask a store that may be down: not at all for a moment, then one request tries.

So an outage costs a request no wait, but for the one that finds out. Safe to share between
threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
SAME_OUTAGE_SECONDS = 60.0
"""A store that fails again so soon was never well: it is the same outage that goes on."""


class Breaker:
    """Knows whether the store answers.

    Args:
        clock: seconds that never go back.
        first_pause_seconds: how long it is not asked after a failure; doubled after each attempt
            that fails too, up to ``longest_pause_seconds``.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self._clock = clock
        self._first_pause = first_pause_seconds
        self._longest_pause = longest_pause_seconds
        # Reentrant, because the garbage collector may settle something in the middle of a step.
        self._lock = threading.RLock()
        self._pause = first_pause_seconds
        self._ask_at = 0.0
        self._up_at: float | None = None
        self._era = 0
        self.is_down = False
        self.outages = 0
        self.began_at = 0.0
        """When the running outage began, or the last one."""

    def begin(self) -> int | None:
        """Return an attempt's number if the store may be asked now; None: not now."""
        if not self.is_down:
            return self._era
        with self._lock:
            now = self._clock()
            if not self.is_down:
                return self._era
            if now < self._ask_at:
                return None
            # Whoever asks next asks after this attempt, however it ends.
            self._ask_at = now + self._pause
            return self._era

    def fail(self, attempt: int) -> bool:
        """Say that an attempt failed; return whether that is news."""
        with self._lock:
            if attempt != self._era:
                # It began before the store's state changed, and says nothing about now.
                return False
            now = self._clock()
            is_news = not self.is_down
            if is_news:
                self._go_down(now)
            else:
                self._pause = min(self._pause * 2, self._longest_pause)
            self._ask_at = now + self._pause
            return is_news

    def succeed(self, attempt: int) -> bool:
        """Say that an attempt succeeded; return whether that is news."""
        if not self.is_down:
            return False
        with self._lock:
            if attempt != self._era:
                return False
            self.is_down = False
            self._up_at = self._clock()
            self._era += 1
            return True

    def ask_now(self) -> None:
        """Let the next attempt be made at once."""
        self._ask_at = 0.0

    def seconds_until_asked(self) -> float:
        """Return in how many seconds the store may be asked."""
        return max(0.0, self._ask_at - self._clock()) if self.is_down else 0.0

    def seconds_down(self) -> float:
        """Return how long the running outage has lasted."""
        return self._clock() - self.began_at

    def _go_down(self, now: float) -> None:
        self.is_down = True
        self._era += 1
        self._pause = self._first_pause
        if self._up_at is None or now - self._up_at >= SAME_OUTAGE_SECONDS:
            self.outages += 1
            self.began_at = now
