"""Counters in this process: the default, for one process, and the measure of all other stores.

A process that is forked goes on with a copy of its own: several workers that share a limit need a
store that they share.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
    admitted,
    is_short,
)
from spendfuse.guard.store import CALLED_IN_SECONDS, LATE_SECONDS, REMEMBERED_SECONDS
from spendfuse.guard.windows import Windows, slot_of
from spendfuse.money import usd

IDLE_SECONDS = 40 * 86_400.0
"""How long a counter is kept that nobody uses: longer than any period that ends, so that only
those of past periods are forgotten, however the wall clock jumps."""

_State = Literal["held", "settled", "released", "expired"]
_new_tuple = tuple.__new__


class _Counter:
    __slots__ = ("called_in_until", "held", "spent", "used_at")

    def __init__(self, spent: int, now: float) -> None:
        self.spent = spent
        self.held = 0
        self.called_in_until = 0.0
        self.used_at = now


class _Known:
    """What is remembered of an id."""

    __slots__ = (
        "asked", "charged", "counters", "due_at", "final", "held", "hold", "part", "state",
        "until", "windowed",
    )  # fmt: skip

    def __init__(
        self, hold: Hold, counters: list[_Counter], asked: int, until: float, state: _State
    ) -> None:
        self.hold = hold
        self.counters = counters
        self.asked = asked
        self.held = hold.nano_usd
        """What is held now: less than at first, once parts were charged."""
        self.state = state
        self.until = until
        self.due_at = until
        """When it is looked at next: the time of its only entry that counts."""
        self.charged = 0
        self.final = 0
        self.part = 0
        self.windowed = hold.nano_usd
        """What of it the sliding windows count."""


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
        self._counters: dict[str, _Counter] = {}
        self._idle: list[tuple[float, str]] = []
        self._known: dict[str, _Known] = {}
        self._due: list[tuple[float, str]] = []
        self._windows = Windows()
        if hasattr(os, "register_at_fork"):
            # Else a child could be born with a step half taken, and the lock held by nobody.
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
                return _again(step, known, now)
            counters = self._counters_of(levels, seeds, now)
            if isinstance(counters, Unseeded):
                return counters
            grant: int | None = asked
            for level, counter in zip(levels, counters, strict=True):
                if counter.spent + counter.held + asked > level.limit_nano_usd:
                    grant = admitted(asked, least, levels, _standings(counters, now))
                    break
            waits = self._waits(step, now) if rates else ()
            if grant is None or any(waits):
                if calls_in:
                    _call_in(step, counters, now)
                return Refused(_standings(counters, now), waits)
            hold: Hold = _new_tuple(Hold, (hold_id, grant, levels, rates, slot_of(now)))
            for counter in counters:
                counter.held += grant
                counter.used_at = now
            self._remember(_Known(hold, counters, asked, now + hold_seconds, "held"))
            if rates:
                for each in rates:
                    self._windows.of(each.counter, now).add(grant, hold.slot, now)
            return _new_tuple(Granted, (hold, _standings(counters, now), False))

    def settle(self, step: Settle) -> Settled | Unseeded:
        with self._lock:
            now = self._now()
            known = self._known.get(step.hold.id)
            if known is None:
                counters = self._counters_of(step.hold.levels, step.seeds, now)
                if isinstance(counters, Unseeded):
                    return counters
                known = _lost(step.hold, counters, now)
                self._remember(known)
            elif _is_counted(step, known):
                return Settled("again")
            is_late = known.state != "held"
            self._charge(step, known, now)
            return _new_tuple(Settled, ("late" if is_late else "settled", ()))

    def release(self, hold: Hold) -> bool:
        with self._lock:
            now = self._now()
            known = self._known.get(hold.id)
            if known is None or known.state != "held":
                return False
            self._finish(known, "released", now + REMEMBERED_SECONDS, now)
            if known.hold.rates:
                self._correct_windows(known, now)
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
            return [_standings((each,), now)[0] if each else None for each in found]

    def close(self) -> None:
        """Nothing to give back."""

    def _now(self) -> float:
        """Return the time, after all that ends by then has ended."""
        now = self._clock()
        if self._due and self._due[0][0] <= now:
            self._end_what_is_due(now)
            self._forget_idle_counters(now)
        return now

    def _end_what_is_due(self, now: float) -> None:
        due = self._due
        while due and due[0][0] <= now:
            at, hold_id = due[0]
            known = self._known.get(hold_id)
            if known is None or known.due_at != at:
                heapq.heappop(due)
            elif known.until > now:
                self._look_again(known)
            elif known.state == "held":
                self._finish(known, "expired", known.until + LATE_SECONDS, now)
                self._look_again(known)
            else:
                del self._known[hold_id]
                heapq.heappop(due)

    def _look_again(self, known: _Known) -> None:
        """Move the first entry, which is of ``known``, to its new end."""
        known.due_at = known.until
        heapq.heapreplace(self._due, (known.until, known.hold.id))

    def _forget_idle_counters(self, now: float) -> None:
        while self._idle and self._idle[0][0] <= now:
            name = self._idle[0][1]
            counter = self._counters[name]
            keep_until = (now if counter.held else counter.used_at) + IDLE_SECONDS
            if keep_until > now:
                heapq.heapreplace(self._idle, (keep_until, name))
            else:
                heapq.heappop(self._idle)
                del self._counters[name]

    def _counters_of(
        self, levels: Sequence[Level], seeds: Mapping[str, int] | None, now: float
    ) -> list[_Counter] | Unseeded:
        try:
            return [self._counters[level.counter] for level in levels]
        except KeyError:
            missing = [each for each in levels if each.counter not in self._counters]
        if seeds is None:
            return Unseeded(tuple(each.counter for each in missing))
        for each in missing:
            self._counters[each.counter] = _Counter(seeds.get(each.counter, 0), now)
            if each.ends_at:
                heapq.heappush(self._idle, (now + IDLE_SECONDS, each.counter))
        return [self._counters[level.counter] for level in levels]

    def _remember(self, known: _Known) -> None:
        self._known[known.hold.id] = known
        heapq.heappush(self._due, (known.due_at, known.hold.id))

    def _charge(self, step: Settle, known: _Known, now: float) -> None:
        cost, keep = step.nano_usd, step.keep_nano_usd
        kept = 0 if keep is None else min(keep, known.held)
        let_go = known.held - kept
        for counter in known.counters:
            counter.spent += cost
            counter.held -= let_go
            counter.used_at = now
        known.held = kept
        known.charged += cost
        if keep is None:
            known.state, known.final, known.until = "settled", cost, now + REMEMBERED_SECONDS
        else:
            known.part = step.part
            if known.state == "held":
                self._prolong(known, now + step.hold_seconds)
        if known.hold.rates:
            self._correct_windows(known, now)

    def _prolong(self, known: _Known, until: float) -> None:
        known.until = until
        if until < known.due_at:
            known.due_at = until
            heapq.heappush(self._due, (until, known.hold.id))

    def _finish(self, known: _Known, state: _State, until: float, now: float) -> None:
        for counter in known.counters:
            counter.held -= known.held
            counter.used_at = now
        known.held, known.state, known.until = 0, state, until

    def _waits(self, step: Reserve, now: float) -> tuple[float, ...]:
        return tuple(
            self._windows.of(each.counter, now).wait_seconds(
                step.nano_usd, each.nano_usd_per_minute, now
            )
            for each in step.rates
        )

    def _correct_windows(self, known: _Known, now: float) -> None:
        """Count what a request costs as far as known, in the bucket in which it began."""
        counted = known.charged + known.held
        for each in known.hold.rates:
            window = self._windows.of(each.counter, now)
            window.add(counted - known.windowed, known.hold.slot, now)
        known.windowed = counted


def _again(step: Reserve, known: _Known, now: float) -> Granted:
    if known.state != "held":
        raise ReservationError(f"reservation {step.id} is {known.state}; a new one needs a new id")
    if known.asked != step.nano_usd:
        raise ReservationError(
            f"reservation {step.id} was made for ${usd(known.asked)}, and now for "
            f"${usd(step.nano_usd)}; a new one needs a new id"
        )
    if [each.counter for each in known.hold.levels] != [each.counter for each in step.levels]:
        raise ReservationError(
            f"reservation {step.id} was made for other budgets; a new one needs a new id"
        )
    return Granted(known.hold, _standings(known.counters, now), is_again=True)


def _is_counted(step: Settle, known: _Known) -> bool:
    """Return whether the step was taken before."""
    if step.keep_nano_usd is not None and step.part <= known.part:
        return True
    if known.state != "settled":
        return False
    if step.keep_nano_usd is not None:
        raise ReservationError(
            f"reservation {known.hold.id} is settled; no part {step.part} can follow"
        )
    if step.nano_usd != known.final:
        raise ReservationError(
            f"reservation {known.hold.id} was settled with ${usd(known.final)}, and now with "
            f"${usd(step.nano_usd)}; the first one counts"
        )
    return True


def _lost(hold: Hold, counters: list[_Counter], now: float) -> _Known:
    """Return what is known of a hold that the store has no record of: nothing is held."""
    known = _Known(hold, counters, hold.nano_usd, now + LATE_SECONDS, "expired")
    known.held = known.windowed = 0
    return known


def _call_in(step: Reserve, counters: Sequence[_Counter], now: float) -> None:
    for level, counter in zip(step.levels, counters, strict=True):
        standing = Standing(counter.spent, counter.held)
        if level.mode != "observe" and is_short(level, standing, step.nano_usd):
            counter.called_in_until = now + CALLED_IN_SECONDS


def _standings(counters: Sequence[_Counter], now: float) -> tuple[Standing, ...]:
    return tuple(
        [
            _new_tuple(Standing, (each.spent, each.held, now < each.called_in_until))
            for each in counters
        ]
    )
