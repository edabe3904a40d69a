"""Leased stores on a clock that a test moves, over a shared store that a test can break."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from spendfuse.budget import Mode
from spendfuse.errors import UnavailableError
from spendfuse.guard.leasing.lease import Pace
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.step import Granted, Hold, Level, Refused, Reserve, Settle, Settled, Standing
from spendfuse.guard.stores.memory import MemoryStore

BY_HAND = Pace(sync_seconds=math.inf)
"""Syncs are the test's."""
AT_ONCE = Pace(sync_seconds=math.inf, first_requests=4)
"""The first request borrows already."""


class HandClock:
    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


class Shared:
    """A memory store behind a network that fails when a test says so."""

    is_local = False
    takes_rates = True

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.calls: list[tuple[str, Any]] = []
        self.fails: Callable[[int], str] = lambda _: ""
        """By the call's number: "before" or "after" the step was taken."""
        self.flush()

    def flush(self) -> None:
        self.within = MemoryStore(clock=self._clock)

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        def take(argument: Any) -> Any:
            self.calls.append((name, argument))
            failure = self.fails(len(self.calls) - 1)
            if failure == "before":
                raise UnavailableError("it never arrived")
            answer = getattr(self.within, name)(argument)
            if failure == "after":
                raise UnavailableError("the answer was lost")
            return answer

        return take

    def close(self) -> None:
        self.is_closed = True

    def names(self) -> list[str]:
        """Return what was asked since the last time."""
        names = [name for name, _ in self.calls]
        self.calls.clear()
        return names

    def fail_always(self, when: str) -> None:
        self.fails = lambda _: when

    def fail_at(self, numbers: Iterable[int], when: str) -> None:
        chosen = set(numbers)
        self.fails = lambda number: when if number in chosen else ""

    def work_again(self) -> None:
        self.fails = lambda _: ""

    def standing(self, level: Level) -> Standing:
        (standing,) = self.within.look([level.counter])
        assert standing is not None
        return standing


def level(budget: str = "root", limit: int = 10_000, *, mode: Mode = "strict") -> Level:
    return Level(f"{budget}/2099-12", budget, "", "2099-12", limit, mode)


def reserve(
    store: LeasedStore, hold_id: str, nano: int, *levels: Level, **more: Any
) -> Granted | Refused:
    step = Reserve(hold_id, nano, nano, levels, (), 600.0, {}, calls_in=True)
    outcome = store.reserve(step._replace(**more))
    assert isinstance(outcome, Granted | Refused), outcome
    return outcome


def held(store: LeasedStore, hold_id: str, nano: int, *levels: Level, **more: Any) -> Hold:
    outcome = reserve(store, hold_id, nano, *levels, **more)
    assert isinstance(outcome, Granted), outcome
    return outcome.hold


def refused(store: LeasedStore, hold_id: str, nano: int, *levels: Level, **more: Any) -> Refused:
    outcome = reserve(store, hold_id, nano, *levels, **more)
    assert isinstance(outcome, Refused), outcome
    return outcome


def settle(store: LeasedStore, hold: Hold, nano: int, **more: Any) -> Settled:
    outcome = store.settle(Settle(hold, nano, seeds={})._replace(**more))
    assert isinstance(outcome, Settled), outcome
    return outcome


def look(store: LeasedStore, asked: Level) -> Standing:
    (standing,) = store.look([asked.counter])
    assert standing is not None
    return standing
