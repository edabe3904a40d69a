"""What a store ought to say, kept by hand: every cost, every hold, and nothing of how stores work.

The books know a store's time only as well as a test can: a hold that may have ended or not is
``unsure``, and the store's answer settles it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from spendfuse.guard.step import Hold, Level, Standing

Moment = tuple[float, float]
"""Just before a step was sent, and just after its answer came."""


@dataclass
class Entry:
    """One reservation."""

    hold: Hold
    asked: int
    held: int
    earliest_end: float
    latest_end: float
    state: Literal["held", "released", "expired", "settled", "lost"] = "held"
    part: int = 0
    """The last part that the store can know of."""
    final: int = 0
    finished_at: float = 0.0

    @property
    def counters(self) -> list[str]:
        return [each.counter for each in self.hold.levels]

    def states(self, moment: Moment) -> set[str]:
        """Return all that it may have been at a moment."""
        if self.state != "held" or moment[1] < self.earliest_end:
            return {self.state}
        return {"expired"} if moment[0] >= self.latest_end else {"held", "expired"}

    def turn(self, state: Literal["released", "expired", "settled"], at: float) -> None:
        self.state, self.held, self.finished_at = state, 0, at


class Books:
    """The ledger, and who holds what."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}
        """By counter; what a store that lost its counters is seeded with."""
        self.there: set[str] = set()
        """The counters that the store should have."""
        self.entries: dict[str, Entry] = {}

    def missing(self, counters: Iterable[str]) -> set[str]:
        return set(counters) - self.there

    def seeds(self) -> dict[str, int]:
        return dict(self.spent)

    def held(self, counter: str, moment: Moment) -> tuple[int, int]:
        """Return the least and the most that may be held on a counter."""
        least = most = 0
        for entry in self.entries.values():
            if counter in entry.counters:
                states = entry.states(moment)
                least += entry.held if states == {"held"} else 0
                most += entry.held if "held" in states else 0
        return least, most

    def grants(
        self, asked: int, least: int, levels: Sequence[Level], moment: Moment
    ) -> tuple[int | None, int | None]:
        """Return what is granted if all that is unsure still holds, and if nothing of it does."""
        held = [self.held(each.counter, moment) for each in levels]
        spent = [self.spent.get(each.counter, 0) for each in levels]
        return (
            grant(
                asked, least, levels, [s + most for s, (_, most) in zip(spent, held, strict=True)]
            ),
            grant(asked, least, levels, [s + low for s, (low, _) in zip(spent, held, strict=True)]),
        )

    def check(self, counter: str, standing: Standing | None, moment: Moment) -> None:
        """Check one counter: nothing is lost, nothing counts twice, nothing is held too long."""
        if counter not in self.there:
            assert standing is None
            return
        least, most = self.held(counter, moment)
        assert standing is not None
        assert standing.spent_nano_usd == self.spent[counter], counter
        assert least <= standing.held_nano_usd <= most, counter

    def charge(self, entry: Entry, nano_usd: int) -> None:
        self.there.update(entry.counters)
        for counter in entry.counters:
            self.spent[counter] = self.spent.get(counter, 0) + nano_usd

    def lose_everything(self) -> None:
        """Note that the store knows nothing any more; running requests know their holds."""
        self.there.clear()
        for hold_id, entry in list(self.entries.items()):
            if entry.state == "settled":
                # Sent again it would count again: the store can't know, and no client does that.
                del self.entries[hold_id]
            else:
                entry.state, entry.held, entry.part = "lost", 0, 0


def grant(asked: int, least: int, levels: Sequence[Level], taken: Sequence[int]) -> int | None:
    """Return what a request may have: nothing of how the store decides is used here."""
    if asked == 0:
        return 0
    left = {mode: [asked] for mode in ("strict", "fit", "observe")}
    for level, gone in zip(levels, taken, strict=True):
        left[level.mode].append(level.limit_nano_usd - gone)
    if min(left["strict"]) < asked:
        return None
    fits = min(left["fit"])
    return asked if fits >= asked else fits if fits >= least and fits > 0 else None
