"""What a process has borrowed for one set of levels: figures and rules, no clock and no network.

However many leases it is made of, the money is one sum, and all that is decided here keeps it:

    what the shared store holds on the leases = room + held + spent

So a request that ends gives its rest back to the room, whichever lease it began on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spendfuse.guard.step import Hold, Level, Settle, Standing, room

_new_tuple = tuple.__new__


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is borrowed, for how long, and how often it is accounted for."""

    sync_seconds: float = 0.5
    """How often what was spent is told to the shared store, and what is idle returned."""
    lease_seconds: float = 10.0
    """After this time without a word the shared store takes its money back."""
    margin_seconds: float = 1.0
    """How much sooner this process stops using it: no two clocks run alike."""
    slice_seconds: float = 1.5
    """For how long a slice should last at the pace at which the set of levels was used."""
    few_requests: int = 4
    """A slice is worth this many requests at least."""
    first_requests: int = 1
    """And the first one after a pause this many; 1: the shared store is asked for each alone."""
    warm_seconds: float = 1.0
    """What counts as a pause."""
    share: int = 8
    """A slice is at most this part of the least room left: near the limit slices shrink."""

    @property
    def usable_seconds(self) -> float:
        return self.lease_seconds - self.margin_seconds

    @property
    def syncs_in_a_slice(self) -> int:
        return max(1, round(self.slice_seconds / self.sync_seconds))


class Lease:
    """One hold in the shared store."""

    __slots__ = ("amount", "hold", "part", "until")

    def __init__(self, hold: Hold, until: float) -> None:
        self.hold = hold
        self.amount = hold.nano_usd
        """What the shared store holds, once all that waits to be sent was taken."""
        self.until = until
        """From then on it is not to be relied on."""
        self.part = 0


class Charge(NamedTuple):
    """What to tell the shared store of one lease."""

    lease: Lease | None
    """None: there is none any more to charge it on."""
    cost: int
    keep: int


@dataclass(slots=True)
class Unsent:
    """A step that is repeated as it is until there is an answer: it counts once."""

    step: Settle
    lease: Lease | None = None
    """The one that is prolonged by it."""
    sent_at: float | None = None
    """The first time: the shared store may have taken it then."""


class Purse:
    """The money of one set of levels. Figures change under the store's lock only."""

    __slots__ = (
        "asked", "borrowed_levels", "failures", "held", "is_busy", "is_called_in", "is_sending",
        "leases", "left", "levels", "mark", "others", "room", "seeds", "slice", "spent", "turn",
        "unseeded_since", "unsent", "until", "used", "version", "warm_until",
    )  # fmt: skip

    def __init__(self, levels: tuple[Level, ...]) -> None:
        self.levels = levels
        self.borrowed_levels = tuple(
            # A slice takes what there is; whether a request must fit whole is decided for itself.
            each._replace(mode="fit") if each.mode == "strict" else each
            for each in levels
        )
        self.room = 0
        """Free for requests; below 0 where they cost more than was borrowed."""
        self.held = 0
        """For requests that run."""
        self.spent = 0
        """Not told to the shared store yet."""
        self.until = 0.0
        """The end of the first lease that ends."""
        self.leases: list[Lease] = []
        self.unsent: deque[Unsent] = deque()
        self.seeds: Mapping[str, int] | None = None
        """Without a ledger, missing counters start from 0; else somebody must be asked first."""
        self.unseeded_since: float | None = None

        self.turn = threading.RLock()
        """Who talks to the shared store about this purse."""
        self.is_sending = False
        self.version = 0
        """Changes with what is, or will be, held in the shared store."""
        self.failures = 0

        self.others: tuple[Standing, ...] = tuple(Standing(0, 0) for _ in levels)
        """How the levels stand without what is only known here."""
        self.left: int | None = None
        """The least room in the shared store, when it was heard of last."""
        self.is_called_in = False

        self.asked = 0
        """The latest request since the last sync; 0: there was none."""
        self.mark = 0
        """What the room would be, had it not been used since the last sync."""
        self.used = 0
        self.is_busy = False
        self.slice = 0
        self.warm_until = 0.0

    @property
    def borrowed(self) -> int:
        return sum([each.amount for each in self.leases])

    @property
    def is_empty(self) -> bool:
        return not (self.leases or self.unsent or self.held or self.spent)

    def standings(self) -> tuple[Standing, ...]:
        """Return how the levels stand, as far as it is known here."""
        spent, held = self.spent, self.held
        return tuple([_new_tuple(Standing, (s + spent, h + held, c)) for s, h, c in self.others])

    def hear(self, standings: Sequence[Standing]) -> None:
        """Learn how the levels stand in the shared store; nothing may be on the way to it."""
        borrowed = self.borrowed
        self.others = tuple([Standing(s, h - borrowed, c) for s, h, c in standings])
        refusing = [
            (level, standing)
            for level, standing in zip(self.levels, standings, strict=True)
            if level.mode != "observe"
        ]
        self.left = min((room(*each) for each in refusing), default=None)
        is_overspent = self.left is not None and self.left < 0
        self.is_called_in = is_overspent or any(standing.is_called_in for _, standing in refusing)

    # What is borrowed, and what is lost.

    def add(self, lease: Lease) -> None:
        self.leases.append(lease)
        self._change_room(lease.amount)

    def lapse(self, now: float) -> None:
        """Rely no more on the leases whose time is over."""
        for each in [each for each in self.leases if each.until <= now]:
            self.lose(each)

    def lose(self, lease: Lease) -> None:
        if lease in self.leases:
            self.leases.remove(lease)
            self._change_room(-lease.amount)

    def owe(self, cost: int) -> None:
        """Take back a cost that the shared store did not take."""
        self._tell(-cost)
        self._change_room(-cost)

    def write_off(self) -> None:
        """Forget what was spent and not told."""
        self.owe(-self.spent)

    def see_the_end(self) -> None:
        """Find out when the first lease ends."""
        self.until = min((each.until for each in self.leases), default=0.0)

    def _tell(self, cost: int) -> None:
        """Count a cost as the shared store's, not as one that is known here alone."""
        self.spent -= cost
        self.others = tuple([Standing(s + cost, h, c) for s, h, c in self.others])

    def _change_room(self, nano_usd: int) -> None:
        self.version += 1
        self.room += nano_usd
        self.mark += nano_usd
        self.see_the_end()

    def comes_to_rest(self, wait_seconds: float = -1) -> bool:
        """Wait until nobody speaks of it to the shared store; False if that takes longer.

        Without a time it waits for as long as it takes.
        """
        if not self.turn.acquire(timeout=wait_seconds):
            return False
        self.turn.release()
        return True

    def counts_on(self, counters: Collection[str]) -> bool:
        """Return whether one of the counters is among its levels'."""
        return any(level.counter in counters for level in self.levels)

    # What to tell the shared store.

    def plan(self, keep_room: int, renew_before: float) -> list[Charge]:
        """Return what to send so that all that was spent is charged and no more than needed kept.

        The figures change at once, as if it had been sent. Nothing is let go that is not charged
        in the same step, or the shared store could lend it to others in between; the oldest
        leases end first.
        """
        borrowed = self.borrowed
        # Read once: the garbage collector may end a request meanwhile, on this very thread.
        spent, held, room = self.spent, self.held, self.room
        keep = min(held + max(0, min(room, keep_room)), borrowed)
        let_go = borrowed - keep
        covered = min(spent, let_go)
        above = spent - covered
        charges: list[Charge] = []
        for lease in self.leases:
            part = min(lease.amount, let_go)
            if not part and not above and (lease.until > renew_before or not lease.amount):
                continue
            cost = min(part, covered)
            lease.amount -= part
            charges.append(Charge(lease, cost + above, lease.amount))
            let_go, covered, above = let_go - part, covered - cost, 0
        if above:
            charges.append(Charge(None, above, 0))
        ended = [each.lease for each in charges if not each.keep]
        self.leases = [each for each in self.leases if each not in ended]
        self._tell(spent)
        self.version += 1 if charges else 0
        self.room += keep - held - room
        self.mark = self.room
        self.see_the_end()
        return charges

    # How much to borrow.

    def slice_for(self, nano_usd: int, now: float, pace: Pace) -> int | None:
        """Return how much to borrow for a request; None: ask the shared store for it alone."""
        is_warm = now < self.warm_until
        wanted = max(self.slice, nano_usd * pace.few_requests)
        if not is_warm:
            wanted = nano_usd * pace.first_requests
        self.slice = max(wanted, nano_usd * pace.few_requests)
        self.warm_until = now + pace.warm_seconds
        if not nano_usd:
            # Free of charge: a lease of nothing says that nothing has to be asked for.
            return max(0, -self.room) if is_warm else None
        if self.is_called_in:
            return None
        if self.left is not None:
            wanted = min(wanted, self.left // pace.share)
        return max(wanted, nano_usd - self.room) if wanted >= 2 * nano_usd else None

    def grow(self, amount: int) -> None:
        """Borrow more the next time before a sync: this was not enough."""
        self.slice = 2 * amount

    def room_worth_keeping(self, now: float, pace: Pace) -> int:
        """Return what will be needed soon, judged by the time since the last sync."""
        used, asked = self.mark - self.room, self.asked
        self.asked = 0
        if not asked:
            self.used = 0
            self.is_busy = False
            return 0
        self.used = max(used, self.used // 2)
        few, soon = asked * pace.few_requests, self.used * pace.syncs_in_a_slice
        self.slice, self.is_busy = max(few, soon), soon > few
        self.warm_until = now + pace.warm_seconds
        return self.slice

    def refill(self, pace: Pace) -> int:
        """Return how much to borrow before it is asked for; 0: that can wait."""
        amount = self.slice - self.room
        if self.left is not None:
            amount = min(amount, self.left // pace.share)
        return amount if self.is_busy and amount > self.slice // 2 else 0
