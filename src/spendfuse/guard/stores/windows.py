"""Dollars within any 60 seconds: a window that slides in steps of five seconds.

Twelve buckets of five seconds and the running one count together. So the window is never shorter
than a minute, and up to five seconds longer: no 60 seconds ever hold more than the limit. Pure:
the time is an argument.
"""

from __future__ import annotations

BUCKET_SECONDS = 5
BUCKETS = 13
"""How many count together, the running one among them."""
FITS = 0.0
NEVER_FITS = -1.0


def slot_of(now: float) -> int:
    """Return the number of the bucket that is running at ``now``."""
    return int(now // BUCKET_SECONDS)


class Window:
    """What one counter took in its last buckets."""

    __slots__ = ("_amounts", "_newest", "_total")

    def __init__(self, newest: int) -> None:
        self._amounts = [0] * BUCKETS
        self._newest = newest
        self._total = 0

    def slide(self, newest: int) -> None:
        """Forget what no longer counts once the bucket ``newest`` runs."""
        for slot in range(max(self._newest, newest - BUCKETS) + 1, newest + 1):
            self._total -= self._amounts[slot % BUCKETS]
            self._amounts[slot % BUCKETS] = 0
            self._newest = slot

    def wait_seconds(self, nano_usd: int, limit_nano_usd: int, now: float) -> float:
        """Return in how many seconds an amount fits; 0: it does; -1: it never will.

        Nothing, which costs nothing, always fits. The answer holds if nothing else is added.
        """
        excess = self._total + nano_usd - limit_nano_usd
        if nano_usd == 0 or excess <= 0:
            return FITS
        if nano_usd > limit_nano_usd:
            return NEVER_FITS
        slot = self._newest - BUCKETS
        while excess > 0:
            slot += 1
            excess -= self._amounts[slot % BUCKETS]
        return (slot + BUCKETS) * BUCKET_SECONDS - now

    def add(self, nano_usd: int, slot: int) -> None:
        """Add to a bucket, or take from it; one that has left the window counts no more."""
        if self._newest - BUCKETS < slot <= self._newest:
            self._amounts[slot % BUCKETS] += nano_usd
            self._total += nano_usd


class Windows:
    """The windows of all counters. One that nobody asks for is forgotten once it is empty."""

    def __init__(self) -> None:
        self._recent: dict[str, Window] = {}
        self._older: dict[str, Window] = {}
        self._turns_at = 0

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def of(self, counter: str, slot: int) -> Window:
        """Return a counter's window as it is while bucket ``slot`` runs; new ones are empty."""
        if slot >= self._turns_at:
            # What nobody asked for since the last turn has only buckets that count no more.
            self._older, self._recent = self._recent, {}
            self._turns_at = slot + BUCKETS
        window = self._recent.get(counter)
        if window is None:
            window = self._older.pop(counter, None) or Window(slot)
            window = self._recent.setdefault(counter, window)
        window.slide(slot)
        return window
