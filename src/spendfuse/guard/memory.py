"""Counters in this process: the default, for one process, and the measure of all other stores."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from spendfuse.guard.errors import ReservationError
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
from spendfuse.guard.store import REMEMBERED_SECONDS

_CALLED_IN_SECONDS = 2.0


@dataclass(slots=True)
class _Counter:
    spent: int
    held: int = 0
    called_in_until: float = 0.0

    def standing(self, now: float) -> Standing:
        return Standing(self.spent, self.held, now < self.called_in_until)


@dataclass(slots=True)
class _Known:
    """What is remembered of an id."""

    hold: Hold
    asked: int
    state: Literal["held", "settled", "released", "expired"]
    until: float
    charged: int = 0
    part: int = field(default=0)


class MemoryStore:
    """A ``Store`` in this process.

    Args:
        clock: seconds that never go back; the wall clock may jump, holds must not.
    """

    is_local = True
    takes_rates = False

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counters: dict[str, _Counter] = {}
        self._known: dict[str, _Known] = {}
        self._ends: list[tuple[float, str]] = []

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        now = self._clock()
        with self._lock:
            self._expire(now)
            known = self._known.get(step.id)
            if known is not None:
                return self._again(step, known, now)
            counters = self._counters_of([each.counter for each in step.levels], step.seeds)
            if isinstance(counters, Unseeded):
                return counters
            standings = tuple(each.standing(now) for each in counters)
            grant = admitted(step.nano_usd, step.least_nano_usd, step.levels, standings)
            if grant is None:
                return Refused(standings)
            for counter in counters:
                counter.held += grant
            hold = Hold(step.id, grant, step.levels, step.rates)
            self._known[step.id] = _Known(hold, step.nano_usd, "held", now + step.hold_seconds)
            heapq.heappush(self._ends, (now + step.hold_seconds, step.id))
            return Granted(hold, tuple(each.standing(now) for each in counters))

    def settle(self, step: Settle) -> Settled | Unseeded:
        now = self._clock()
        with self._lock:
            self._expire(now)
            counters = self._counters_of([each.counter for each in step.hold.levels], step.seeds)
            if isinstance(counters, Unseeded):
                return counters
            known = self._known.get(step.hold.id)
            if known is not None and known.state == "settled":
                if known.charged != step.nano_usd:
                    raise ReservationError(
                        f"reservation {step.hold.id} was settled with {known.charged} "
                        f"nano-dollars, and now with {step.nano_usd}; the first one counts"
                    )
                return Settled("again")
            held = known.hold.nano_usd if known is not None and known.state == "held" else 0
            for counter in counters:
                counter.spent += step.nano_usd
                counter.held -= held
            until = now + REMEMBERED_SECONDS
            self._known[step.hold.id] = _Known(step.hold, 0, "settled", until, step.nano_usd)
            heapq.heappush(self._ends, (until, step.hold.id))
            is_late = known is None or known.state != "held"
            return Settled("late" if is_late else "settled")

    def release(self, hold: Hold) -> bool:
        now = self._clock()
        with self._lock:
            self._expire(now)
            known = self._known.get(hold.id)
            if known is None or known.state != "held":
                return False
            self._let_go(known)
            known.state = "released"
            return True

    def find(self, hold_id: str) -> Hold | None:
        with self._lock:
            known = self._known.get(hold_id)
            return known.hold if known else None

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        now = self._clock()
        with self._lock:
            self._expire(now)
            found = [self._counters.get(each) for each in counters]
            return [each.standing(now) if each else None for each in found]

    def close(self) -> None:
        """Nothing to give back."""

    def _again(self, step: Reserve, known: _Known, now: float) -> Granted:
        if known.state != "held" or known.asked != step.nano_usd:
            raise ReservationError(f"reservation {step.id} is {known.state} already")
        counters = [self._counters[each.counter] for each in known.hold.levels]
        return Granted(known.hold, tuple(each.standing(now) for each in counters), is_again=True)

    def _counters_of(
        self, names: Sequence[str], seeds: Mapping[str, int] | None
    ) -> list[_Counter] | Unseeded:
        missing = [each for each in names if each not in self._counters]
        if missing and seeds is None:
            return Unseeded(tuple(missing))
        for each in missing:
            self._counters[each] = _Counter((seeds or {}).get(each, 0))
        return [self._counters[each] for each in names]

    def _expire(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, hold_id = heapq.heappop(self._ends)
            known = self._known.get(hold_id)
            if known is None or known.until > now:
                continue
            if known.state == "held":
                self._let_go(known)
                known.state = "expired"
            else:
                del self._known[hold_id]

    def _let_go(self, known: _Known) -> None:
        for level in known.hold.levels:
            self._counters[level.counter].held -= known.hold.nano_usd
