"""Guards for tests: a clock that stands, a meter that keeps its records, a store far away."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import cache

from metering_sinks import KeptRecords

from spendfuse.budget import Budget
from spendfuse.errors import UnavailableError
from spendfuse.guard import Guard, MemoryStore
from spendfuse.metering import CostTracker, PriceBook
from spendfuse.metering.usage import Usage

USD = 10**9
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    """A wall clock that goes where it is told."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def goes(self, **by: float) -> None:
        self.at += timedelta(**by)


@cache
def book() -> PriceBook:
    return PriceBook.standard()


@cache
def tracker() -> CostTracker:
    return CostTracker(sinks=[KeptRecords()], prices=book())


# gpt-4o: $2.50 in and $10.00 out for a million tokens.
def call(*, tokens: int = 1000, model: str = "gpt-4o", **values: object) -> None:
    """Make a call that the meter records: 1000 tokens in and out cost $0.0125."""
    usage = Usage(input_tokens=tokens, output_tokens=tokens)
    tracker().track(model, usage, **values)


def unpriced_call() -> None:
    tracker().track_response({"model": "gpt-4o", "usage": {"prompt_tokens": "many"}})


def limit(usd: float = 1, name: str = "all", **more) -> Budget:
    return Budget(name, round(usd * USD), more.pop("period", "month"), **more)


def spent(guard: Guard, name: str = "all", **attributes) -> float:
    return _figures(guard, name, attributes).spent_nano_usd / USD


def held(guard: Guard, name: str = "all", **attributes) -> float:
    return _figures(guard, name, attributes).held_nano_usd / USD


def _figures(guard, name, attributes):
    return next(each for each in guard.check(**attributes) if each.budget == name)


class FarStore(MemoryStore):
    """A store behind a network: it may be slow, and down."""

    is_local = False

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.answers = threading.Event()
        """Cleared, it takes every step, and does not answer until it is set."""
        self.answers.set()
        self.threads: set[str] = set()

    def reserve(self, step):
        return self._far(super().reserve, step)

    def settle(self, step):
        return self._far(super().settle, step)

    def release(self, hold):
        return self._far(super().release, hold)

    def find(self, hold_id):
        return self._far(super().find, hold_id)

    def look(self, counters):
        if self.is_down:
            raise UnavailableError("10.0.0.7:6379 refused the connection")
        return super().look(counters)

    def _far(self, step, value):
        self.threads.add(threading.current_thread().name)
        if self.is_down:
            raise UnavailableError("10.0.0.7:6379 refused the connection")
        result = step(value)
        self.answers.wait(5)
        return result
