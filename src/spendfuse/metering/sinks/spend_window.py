"""What was spent in the last sixty minutes, in one ring of minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from threading import RLock

MINUTES = 60


class SpendWindow:
    """The spending of the last hour: this minute's, and that of the 59 before it."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all: a forked child spent nothing yet."""
        self._changing = RLock()
        self._minutes: deque[tuple[int, int]] = deque()
        self._nano_usd = 0

    def add(self, nano_usd: int) -> None:
        minute = self._minute()
        with self._changing:
            self._forget_before(minute)
            if self._minutes and self._minutes[-1][0] >= minute:
                # A clock that was set back goes on in its latest minute.
                latest, spent = self._minutes[-1]
                self._minutes[-1] = (latest, spent + nano_usd)
            else:
                self._minutes.append((minute, nano_usd))
            self._nano_usd += nano_usd

    def nano_usd(self) -> int:
        minute = self._minute()
        with self._changing:
            self._forget_before(minute)
            return self._nano_usd

    def _forget_before(self, minute: int) -> None:
        while self._minutes and self._minutes[0][0] <= minute - MINUTES:
            self._nano_usd -= self._minutes.popleft()[1]

    def _minute(self) -> int:
        return int(self._now().timestamp()) // 60
