"""The requests that a process decided itself: which of them run, and which ids are finished.

Figures change under the store's lock only.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

from spendfuse.guard.leasing.lease import Purse
from spendfuse.guard.repeats import check_again, is_counted
from spendfuse.guard.step import Hold, Reserve, Settle, Settled
from spendfuse.guard.store import LATE_SECONDS, REMEMBERED_SECONDS

MOST_KNOWN = 100_000
"""Above this many ids the finished ones are forgotten sooner, the oldest first."""

_NEVER = math.inf

SHARED = "in the shared store"
"""Whatever it is there."""
HELD = "held"
SETTLED = "settled"
RELEASED = "released"
EXPIRED = "expired"


class LocalHold:
    """Money held for a request, out of a purse."""

    __slots__ = ("asked", "due", "final", "held", "hold", "part", "purse", "state", "until")

    def __init__(self, hold: Hold, asked: int, purse: Purse | None, until: float) -> None:
        self.hold = hold
        self.asked = asked
        self.held = hold.nano_usd
        self.purse = purse
        """None: the shared store holds it, and knows what became of it."""
        self.until = until
        self.due = until
        """When it is looked at next; never once it has ended."""
        self.state = HELD
        self.final = 0
        self.part = 0

    @classmethod
    def in_shared_store(cls, step: Reserve, now: float) -> LocalHold:
        """Return the mark of an id that the shared store is asked about."""
        hold = Hold(step.id, step.nano_usd, step.levels)
        local = cls(hold, step.nano_usd, None, now + step.hold_seconds)
        local.state = SHARED
        local.until += LATE_SECONDS
        return local

    def check_again(self, step: Reserve) -> None:
        """Check that a reservation with this id is the same one; errors as ``repeats`` has them."""
        counters = [each.counter for each in self.hold.levels]
        check_again(step, state=self.state, asked=self.asked, counters=counters)

    def is_counted(self, step: Settle) -> bool:
        """Return whether a settle was taken before; errors as ``repeats`` has them."""
        return is_counted(step, is_settled=self.state == SETTLED, part=self.part, final=self.final)


class LocalHolds:
    """All of them by id: none lasts longer than its time, and none is remembered forever."""

    def __init__(self) -> None:
        self.by_id: dict[str, LocalHold] = {}
        self.queues: dict[float, deque[LocalHold]] = {}
        """By their hold time: each queue is in the order in which they end."""
        self._prolonged: list[tuple[float, int, LocalHold]] = []
        # Each in the order in which they are forgotten.
        self._finished: deque[LocalHold] = deque()
        self._in_shared_store: deque[LocalHold] = deque()
        self._expired: deque[LocalHold] = deque()
        self._numbers = itertools.count()

    def add(self, local: LocalHold, hold_seconds: float) -> None:
        """Know a hold from now on."""
        self.by_id[local.hold.id] = local
        queue = self.queues.get(hold_seconds)
        if queue is None:
            queue = self.queues[hold_seconds] = deque()
        queue.append(local)

    def settle(self, local: LocalHold, step: Settle, now: float) -> Settled:
        """Count a cost in the purse. The hold's own, and all that it may turn out to be."""
        purse = local.purse
        if purse is None or local.is_counted(step):
            return Settled("again")
        is_late = local.state != HELD
        keep = step.keep_nano_usd
        kept = 0 if keep is None else min(keep, local.held)
        let_go = local.held - kept
        local.held = kept
        purse.held -= let_go
        purse.spent += step.nano_usd
        purse.room += let_go - step.nano_usd
        if keep is None:
            local.state, local.final = SETTLED, step.nano_usd
            local.until = now + REMEMBERED_SECONDS
        else:
            local.part = step.part
            if not is_late:
                local.until = now + step.hold_seconds
                if local.until < local.due:
                    self._prolong(local)
        return Settled("late" if is_late else "settled")

    def release(self, local: LocalHold, now: float) -> bool:
        """Give a hold back to the purse; False if it ended before."""
        if local.state != HELD:
            return False
        self._end(local, RELEASED, now + REMEMBERED_SECONDS)
        return True

    def finish_in_shared_store(self, hold_id: str, now: float) -> None:
        """Remember an id of the shared store for as long as that remembers a finished one."""
        local = self.by_id.get(hold_id)
        if local is not None and local.state == SHARED:
            local.state, local.until = SETTLED, now + REMEMBERED_SECONDS

    def sweep(self, now: float) -> None:
        """End what is over, and forget what was finished long ago."""
        for seconds, queue in list(self.queues.items()):
            while queue and (queue[0].due <= now or queue[0].due == _NEVER):
                self._over(queue.popleft(), now)
            if not queue:
                # A sweep within this one may have done it: the garbage collector ends requests.
                self.queues.pop(seconds, None)
        while self._prolonged and self._prolonged[0][0] <= now:
            self._over(heapq.heappop(self._prolonged)[-1], now)
        for ended in (self._finished, self._in_shared_store, self._expired):
            while ended and ended[0].until <= now:
                self.forget(ended.popleft())
        if len(self.by_id) > MOST_KNOWN:
            self._forget_sooner()

    def _forget_sooner(self) -> None:
        ended = (self._finished, self._in_shared_store, *self.queues.values(), self._expired)
        for queue in ended:
            while queue and len(self.by_id) > MOST_KNOWN:
                local = queue.popleft()
                if local.state == HELD:
                    self._prolong(local)
                else:
                    self.forget(local)

    def _over(self, local: LocalHold, now: float) -> None:
        if local.due == _NEVER:
            return
        if local.state == HELD and local.until > now:
            self._prolong(local)
            return
        ended = self._in_shared_store if local.state == SHARED else self._finished
        if local.state == HELD:
            self._end(local, EXPIRED, now + LATE_SECONDS)
            ended = self._expired
        local.due = _NEVER
        ended.append(local)

    def forget(self, local: LocalHold) -> None:
        if self.by_id.get(local.hold.id) is local:
            del self.by_id[local.hold.id]

    def _prolong(self, local: LocalHold) -> None:
        """Look at a hold at its end, wherever it stands in its queue."""
        local.due = local.until
        heapq.heappush(self._prolonged, (local.until, next(self._numbers), local))

    def _end(self, local: LocalHold, state: str, until: float) -> None:
        if local.purse is not None:
            local.purse.held -= local.held
            local.purse.room += local.held
        local.held, local.state, local.until = 0, state, until
