"""What the memory store remembers of each id, and for how long."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Literal

from spendfuse.guard.repeats import check_again, is_counted
from spendfuse.guard.step import Hold, Reserve, Settle
from spendfuse.guard.store import LATE_SECONDS
from spendfuse.guard.stores.counters import Counter

State = Literal["held", "settled", "released", "expired"]


class Known:
    """One id, its hold, and what became of it."""

    __slots__ = (
        "asked",
        "charged",
        "counters",
        "due_at",
        "final",
        "held",
        "hold",
        "part",
        "state",
        "until",
        "windowed",
    )

    def __init__(self, hold: Hold, counters: tuple[Counter, ...], asked: int, until: float) -> None:
        self.hold = hold
        self.counters = counters
        self.asked = asked
        self.held = hold.nano_usd
        """What is held now: less than at first once parts were charged."""
        self.state: State = "held"
        self.until = until
        self.due_at = until
        """When it is looked at next; an entry for another time is out of date."""
        self.charged = 0
        """All parts and the final settle."""
        self.final = 0
        self.part = 0
        """The number of the last part that counted."""
        self.windowed = hold.nano_usd
        """What of it the sliding windows count."""

    def check_again(self, step: Reserve) -> None:
        """Check that a reservation with this id is the same one; errors as ``repeats`` has them."""
        counters = [each.counter for each in self.hold.levels]
        check_again(step, state=self.state, asked=self.asked, counters=counters)

    def is_counted(self, step: Settle) -> bool:
        """Return whether a settle was taken before; errors as ``repeats`` has them."""
        return is_counted(
            step, is_settled=self.state == "settled", part=self.part, final=self.final
        )


class KnownIds(dict[str, Known]):
    """All ids that are known. Not thread-safe; every id has its end, so it stays bounded."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[tuple[float, str]] = []
        """A heap of when to look at whom. A settled id keeps the entry of its hold, so a step
        that settles adds none."""

    def add(self, known: Known) -> None:
        self[known.hold.id] = known
        heapq.heappush(self.due, (known.due_at, known.hold.id))

    def end_at(self, known: Known, until: float) -> None:
        """Change when it ends; only an earlier end needs an entry of its own."""
        known.until = until
        if until < known.due_at:
            known.due_at = until
            heapq.heappush(self.due, (until, known.hold.id))

    def expired(self, now: float) -> Iterator[Known]:
        """Yield the holds that have ended by themselves; forget the ids whose time is over."""
        due = self.due
        while due and due[0][0] <= now:
            at, hold_id = heapq.heappop(due)
            known = self.get(hold_id)
            if known is None or known.due_at != at:
                continue
            if known.until <= now and known.state == "held":
                known.state, known.until = "expired", known.until + LATE_SECONDS
                yield known
            if known.until <= now:
                del self[hold_id]
            else:
                known.due_at = known.until
                heapq.heappush(due, (known.until, hold_id))
