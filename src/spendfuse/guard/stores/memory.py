"""Counters in this process: the default, for one process, and the measure of all other stores.

A process that is forked goes on with a copy of its own: several workers that share a limit need a
store that they share.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from spendfuse.guard.step import (
    Granted,
    Hold,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
    admitted,
)
from spendfuse.guard.store import LATE_SECONDS, REMEMBERED_SECONDS
from spendfuse.guard.stores.counters import Counter, Counters, call_in, standings
from spendfuse.guard.stores.known import Known, KnownIds
from spendfuse.guard.stores.windows import Windows, slot_of

_SETTLED, _LATE, _AGAIN = Settled("settled"), Settled("late"), Settled("again")
_new = tuple.__new__
"""Makes a named tuple in half the time."""


class MemoryStore:
    """A ``Store`` in this process. Its steps never wait, except for each other.

    Args:
        clock: seconds that never go back; the wall clock may jump, holds must not.
    """

    is_local = True
    takes_rates = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Reentrant: an abandoned stream is settled by the garbage collector, which may run in
        # the middle of a step.
        self._lock = threading.RLock()
        self._counters = Counters()
        self._known = KnownIds()
        self._ends = self._known.due
        self._windows = Windows()
        if hasattr(os, "register_at_fork"):
            # Else a child could be born in the middle of a step, with a lock that nobody opens.
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        hold_id, asked, least, levels, rates, hold_seconds, seeds, calls_in = step
        with self._lock:
            now = self._now()
            known = self._known.get(hold_id)
            if known is not None:
                known.check_again(step)
                return Granted(known.hold, standings(known.counters, now), is_again=True)
            group = self._counters.of(levels, seeds, now)
            if isinstance(group, Unseeded):
                return group
            counters = group.counters
            grant: int | None = asked
            for limit, counter in group.limits:
                if counter.spent + counter.held + asked > limit:
                    grant = admitted(asked, least, levels, standings(counters, now))
                    break
            waits = self._waits(step, now) if rates else ()
            if grant is None or any(waits):
                if calls_in:
                    call_in(step, counters, now)
                return Refused(standings(counters, now), waits)
            hold: Hold = _new(Hold, (hold_id, grant, levels, rates, slot_of(now) if rates else 0))
            self._known.add(Known(hold, counters, asked, now + hold_seconds))
            for each in rates:
                self._windows.of(each.counter, hold.slot).add(grant, hold.slot)
            stand = []
            for counter in counters:
                counter.held += grant
                stand.append(
                    _new(Standing, (counter.spent, counter.held, now < counter.called_in_until))
                )
            granted: Granted = _new(Granted, (hold, tuple(stand), False))
            return granted

    def settle(self, step: Settle) -> Settled | Unseeded:
        hold, cost, keep, part, hold_seconds, seeds = step
        with self._lock:
            now = self._now()
            known = self._known.get(hold.id)
            if known is None:
                group = self._counters.of(hold.levels, seeds, now)
                if isinstance(group, Unseeded):
                    return group
                known = self._lost(hold, group.counters, now)
            elif (known.state == "settled" or keep is not None) and known.is_counted(step):
                return _AGAIN
            was_held = known.state == "held"
            self._charge(known, cost, 0 if keep is None else min(keep, known.held), now)
            if keep is None:
                known.state, known.final = "settled", cost
                known.until = now + REMEMBERED_SECONDS
            else:
                known.part = part
                if was_held:
                    self._known.end_at(known, now + hold_seconds)
            return _SETTLED if was_held else _LATE

    def release(self, hold: Hold) -> bool:
        with self._lock:
            now = self._now()
            known = self._known.get(hold.id)
            if known is None or known.state != "held":
                return False
            self._charge(known, 0, 0, now)
            known.state, known.until = "released", now + REMEMBERED_SECONDS
            return True

    def find(self, hold_id: str) -> Hold | None:
        with self._lock:
            self._now()
            known = self._known.get(hold_id)
            return known.hold if known else None

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        with self._lock:
            now = self._now()
            found = [self._counters.get(each) for each in counters]
            return [standings((each,), now)[0] if each else None for each in found]

    def close(self) -> None:
        """Nothing to give back."""

    def _now(self) -> float:
        """Return the time, after all that ends by then has ended."""
        now = self._clock()
        if self._ends and self._ends[0][0] <= now:
            for known in self._known.expired(now):
                for counter in known.counters:
                    counter.held -= known.held
                    counter.used_at = now
                known.held = 0
            self._counters.forget_idle(now)
        return now

    def _lost(self, hold: Hold, counters: tuple[Counter, ...], now: float) -> Known:
        """Remember a hold of which there is no record: nothing of it is held."""
        known = Known(hold, counters, hold.nano_usd, now + LATE_SECONDS)
        known.state, known.held, known.windowed = "expired", 0, 0
        self._known.add(known)
        return known

    def _charge(self, known: Known, cost: int, keep: int, now: float) -> None:
        let_go = known.held - keep
        for counter in known.counters:
            counter.spent += cost
            counter.held -= let_go
            counter.used_at = now
        known.held = keep
        known.charged += cost
        if known.hold.rates:
            self._correct_windows(known, now)

    def _waits(self, step: Reserve, now: float) -> tuple[float, ...]:
        slot = slot_of(now)
        return tuple(
            self._windows.of(each.counter, slot).wait_seconds(
                step.nano_usd, each.nano_usd_per_minute, now
            )
            for each in step.rates
        )

    def _correct_windows(self, known: Known, now: float) -> None:
        """Count what a request costs as far as known, in the bucket in which it began."""
        counts = known.charged + known.held
        for each in known.hold.rates:
            window = self._windows.of(each.counter, slot_of(now))
            window.add(counts - known.windowed, known.hold.slot)
        known.windowed = counts
