"""All purses of a process. Not thread-safe: figures change under the store's lock only."""

from __future__ import annotations

import math
from collections.abc import Collection

from spendfuse.guard.leasing.lease import Lease, Purse
from spendfuse.guard.step import Hold, Level, Standing

MOST_PURSES = 10_000
"""Sets of levels that are known at most, not counting those that have money."""
_WITHOUT_LIMIT = 10**30


class Purses:
    """Finds the purse of a request's levels, and knows which of them have money.

    Equal levels share a purse. Others don't, so a limit that was changed is another purse, with
    nothing in it.
    """

    def __init__(self) -> None:
        self.aliases: dict[int, tuple[tuple[Level, ...], Purse]] = {}
        """By the identity of levels, which stay alive here, so that no others can have it."""
        self.active: dict[Purse, None] = {}
        """Those with money in them, or with something to tell the shared store."""
        self._by_levels: dict[tuple[Level, ...], Purse] = {}

    def of(self, levels: tuple[Level, ...]) -> Purse:
        purse = self._by_levels.get(levels)
        if purse is None:
            if len(self._by_levels) >= MOST_PURSES + len(self.active):
                self.aliases.clear()
                self._by_levels = {each.levels: each for each in self.active}
            purse = self._by_levels[levels] = Purse(levels)
            if not levels:
                # What no budget limits needs nobody's leave.
                purse.add(Lease(Hold("", _WITHOUT_LIMIT, ()), math.inf))
        if len(self.aliases) >= MOST_PURSES:
            self.aliases.clear()
        self.aliases[id(levels)] = (levels, purse)
        return purse

    def activate(self, purse: Purse) -> None:
        """Have a purse looked after, unless nothing is ever to be told of it."""
        if purse.levels:
            self.active[purse] = None

    def idle(self, counters: Collection[str]) -> list[Purse]:
        """Return the purses that have room on one of the counters."""
        return [each for each in list(self.active) if each.room > 0 and each.counts_on(counters)]

    def counted(self, counters: Collection[str]) -> dict[Purse, int]:
        """Return the purses that count on one of the counters, and which version each is of."""
        return {each: each.version for each in list(self.active) if each.counts_on(counters)}

    def as_seen_here(self, counter: str, standing: Standing) -> Standing:
        """Return a counter's standing with what was spent and not told yet, and without room."""
        spent, held, is_called_in = standing
        for each in list(self.active):
            if each.counts_on((counter,)):
                spent += each.spent
                held += each.held - each.borrowed
        return Standing(spent, held, is_called_in)
