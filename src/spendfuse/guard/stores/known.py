"""What the memory store remembers of each id, and for how long."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Literal

from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import Hold, Reserve, Settle
from spendfuse.guard.store import LATE_SECONDS
from spendfuse.guard.stores.counters import Counter
from spendfuse.money import usd

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
        """Check that a reservation with this id is the same one.

        Raises:
            ReservationError: it is another, or is finished.
        """
        wrong = ""
        if self.state != "held":
            wrong = f"is {self.state}"
        elif self.asked != step.nano_usd:
            wrong = f"was made for ${usd(self.asked)}, and now for ${usd(step.nano_usd)}"
        elif [each.counter for each in self.hold.levels] != [each.counter for each in step.levels]:
            wrong = "was made for other budgets"
        if wrong:
            raise ReservationError(f"reservation {step.id} {wrong}; a new one needs a new id")

    def is_counted(self, step: Settle) -> bool:
        """Return whether a settle was taken before.

        Raises:
            ReservationError: another one was, after which this one can't be.
        """
        if step.keep_nano_usd is not None:
            if step.part <= self.part:
                return True
            if self.state == "settled":
                raise ReservationError(
                    f"reservation {step.hold.id} is settled; no part {step.part} can follow"
                )
        elif self.state == "settled":
            if self.final != step.nano_usd:
                raise ReservationError(
                    f"reservation {step.hold.id} was settled with ${usd(self.final)}, and now "
                    f"with ${usd(step.nano_usd)}; the first one counts"
                )
            return True
        return False


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
