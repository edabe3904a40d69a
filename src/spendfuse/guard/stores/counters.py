"""The counters of the memory store."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spendfuse.guard.step import Level, Reserve, Standing, Unseeded, is_short
from spendfuse.guard.store import CALLED_IN_SECONDS

IDLE_SECONDS = 40 * 86_400.0
"""How long a counter is kept that nobody uses: longer than any period that ends, so that only
those of past periods are forgotten, however the wall clock jumps."""
DAY_IDLE_SECONDS = 3 * 86_400.0
"""The same of a day's counter: with a budget a day for each user there are many of them."""
_DAY = "2026-11-22"
MAX_GROUPS = 10_000
"""Sets of levels whose counters are kept at hand."""
_new = tuple.__new__


class Counter:
    """One budget's counter, in nano-dollars."""

    __slots__ = ("called_in_until", "held", "spent", "used_at")

    def __init__(self, spent: int, now: float) -> None:
        self.spent = spent
        self.held = 0
        self.called_in_until = now
        self.used_at = now
        """When it was made, or a hold on it last ended; while it holds money it is in use."""


class Group(NamedTuple):
    """The counters of one request's levels."""

    levels: tuple[Level, ...]
    limits: tuple[tuple[int, Counter], ...]
    counters: tuple[Counter, ...]


class Counters(dict[str, Counter]):
    """All counters by name. Not thread-safe; those of past periods are forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._idle: list[tuple[float, str, float]] = []
        """A heap of when to look at whom, and after how long it is idle."""
        self._groups: dict[int, Group] = {}

    def of(
        self, levels: tuple[Level, ...], seeds: Mapping[str, int] | None, now: float
    ) -> Group | Unseeded:
        """Return the levels' counters; missing ones begin with their seeds.

        The tree gives equal requests the very same levels, so what was found is kept by identity:
        a group keeps its levels alive, so no others can have theirs.
        """
        group = self._groups.get(id(levels))
        if group is not None:
            return group
        missing = [each for each in levels if each.counter not in self]
        if missing and seeds is None:
            return Unseeded(tuple(each.counter for each in missing))
        for each in missing:
            # Not overwritten: the garbage collector may have taken a step of its own meanwhile.
            self.setdefault(each.counter, Counter((seeds or {}).get(each.counter, 0), now))
            if each.ends_at:
                seconds = _idle_seconds(each)
                heapq.heappush(self._idle, (now + seconds, each.counter, seconds))
        found = tuple(self[each.counter] for each in levels)
        limits = tuple(zip([each.limit_nano_usd for each in levels], found, strict=True))
        if len(self._groups) >= MAX_GROUPS:
            self._groups.clear()
        group = self._groups[id(levels)] = Group(levels, limits, found)
        return group

    def forget_idle(self, now: float) -> None:
        """Forget what nobody used for long; what still holds money stays."""
        while self._idle and self._idle[0][0] <= now:
            _, name, seconds = heapq.heappop(self._idle)
            counter = self.get(name)
            if counter is None:
                continue
            keep_until = (now if counter.held else counter.used_at) + seconds
            if keep_until > now:
                heapq.heappush(self._idle, (keep_until, name, seconds))
            else:
                del self[name]
                self._groups.clear()


def _idle_seconds(level: Level) -> float:
    return DAY_IDLE_SECONDS if len(level.period) == len(_DAY) else IDLE_SECONDS


def standings(counters: Sequence[Counter], now: float) -> tuple[Standing, ...]:
    """Return how counters stand, in order."""
    return tuple(
        [_new(Standing, (each.spent, each.held, now < each.called_in_until)) for each in counters]
    )


def call_in(step: Reserve, counters: Sequence[Counter], now: float) -> None:
    """Mark the counters that have no room for a refused step."""
    for level, counter in zip(step.levels, counters, strict=True):
        standing = Standing(counter.spent, counter.held)
        if level.mode != "observe" and is_short(level, standing, step.nano_usd):
            counter.called_in_until = now + CALLED_IN_SECONDS
