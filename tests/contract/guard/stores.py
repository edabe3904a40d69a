"""The stores that the contract is held against, each with the means to test it.

To add one: write a context manager that yields a ``Rig``, and add its line to ``STORES``. A store
that can't do something names the tests it fails, and the error they fail with, in ``gaps``: they
are then expected to fail in just that way.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import valkey_servers
from guard_table import WallClock, a_store, empty, guard_table

from spendfuse.errors import SettingsError
from spendfuse.guard.leasing.lease import Pace
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.outage.fallback import Fallback
from spendfuse.guard.step import Standing
from spendfuse.guard.store import Store
from spendfuse.guard.stores.dynamodb import CLOCK_MARGIN_SECONDS
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.guard.stores.valkey import ValkeyStore
from spendfuse.guard.stores.valkey_packing import MOST_NANO_USD

_numbers = itertools.count()
LONGEST_WAIT_SECONDS = 2.5
"""What a test may really wait for; a test that needs more is skipped where time is real."""


@dataclass
class Rig:
    """One store under test."""

    store: Store
    let_pass: Callable[[float], None] = time.sleep
    """Makes seconds pass for the store's clock; really, where it is a server's."""
    is_time_real: bool = True
    slack_seconds: float = 0.05
    """How much longer than its ``hold_seconds`` a hold may last."""
    flush: Callable[[], None] | None = None
    """Loses all counters and holds, as a server does that restarts empty."""
    another: Callable[[], Store] | None = None
    """Opens the same counters once more, as another process does; None: there is only one."""
    settle_up: Callable[[], None] = field(default=lambda: None)
    """Makes what was taken on credit or told later arrive: afterwards ``look`` is exact."""
    counts_to: int | None = None
    """The highest limit that it counts exactly, in nano-dollars; above it: SettingsError."""

    @property
    def brief_seconds(self) -> float:
        """A hold time that a test can wait for."""
        return 0.3 if self.is_time_real else 60.0

    def wait(self, seconds: float) -> None:
        """Let seconds pass, and the slack, so that what lasts them has ended."""
        seconds += self.slack_seconds
        if self.is_time_real and seconds > LONGEST_WAIT_SECONDS:
            pytest.skip(f"its clock is real, and {seconds} s are too long to wait")
        self.let_pass(seconds)

    def look(self, *counters: str) -> list[Standing | None]:
        self.settle_up()
        return self.store.look(counters)

    def spent(self, counter: str) -> int:
        return self._standing(counter).spent_nano_usd

    def held(self, counter: str) -> int:
        return self._standing(counter).held_nano_usd

    def _standing(self, counter: str) -> Standing:
        (standing,) = self.look(counter)
        assert standing is not None, f"there is no counter {counter!r}"
        return standing


@dataclass(frozen=True)
class Gap:
    """Something that a store does not do, and what it says then."""

    reason: str
    raises: type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True)
class StoreUnderTest:
    name: str
    opened: Callable[[], AbstractContextManager[Rig]]
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    """By a test's name, or a test file's without ``.py``."""
    examples: int = 25
    """How many random histories the state machine tries."""
    steps: int = 25
    """And how long each of them is."""


class HandClock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now

    def let_pass(self, seconds: float) -> None:
        self.now += seconds


class Replaceable:
    """A store that can lose everything; its users keep what they hold in their hands."""

    def __init__(self, opened: Callable[[], Store]) -> None:
        self._opened = opened
        self._store = opened()

    def flush(self) -> None:
        self._store.close()
        self._store = self._opened()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@contextmanager
def memory() -> Iterator[Rig]:
    clock = HandClock()
    store = Replaceable(lambda: MemoryStore(clock=clock))
    yield Rig(store, clock.let_pass, is_time_real=False, slack_seconds=0.0, flush=store.flush)
    store.close()


@contextmanager
def dynamodb() -> Iterator[Rig]:
    clock = WallClock()
    with guard_table() as client:
        yield Rig(
            a_store(client, clock),
            clock.let_pass,
            is_time_real=False,
            slack_seconds=CLOCK_MARGIN_SECONDS,
            flush=lambda: empty(client),
            another=lambda: a_store(client, clock),
        )


@contextmanager
def valkey() -> Iterator[Rig]:
    server, deployment = valkey_servers.shared(), f"contract-{next(_numbers)}"
    store = ValkeyStore(server.url, deployment=deployment, timeout_seconds=5.0)

    def flush() -> None:
        with server.client() as client:
            client.flushall()
            client.script_flush()

    yield Rig(
        store,
        flush=flush,
        another=lambda: ValkeyStore(server.url, deployment=deployment, timeout_seconds=5.0),
        counts_to=MOST_NANO_USD,
    )
    store.close()


@contextmanager
def leased_valkey() -> Iterator[Rig]:
    server, deployment = valkey_servers.shared(), f"contract-{next(_numbers)}"

    def a_store() -> LeasedStore:
        shared = ValkeyStore(server.url, deployment=deployment, timeout_seconds=5.0)
        return LeasedStore(shared, pace=Pace(sync_seconds=0.05))

    store, others = a_store(), list[LeasedStore]()

    def another() -> LeasedStore:
        others.append(a_store())
        return others[-1]

    def settle_up() -> None:
        for each in (store, *others):
            each.sync()

    yield Rig(store, another=another, settle_up=settle_up, counts_to=MOST_NANO_USD)
    for each in (store, *others):
        each.close()


@contextmanager
def fallback() -> Iterator[Rig]:
    clock = HandClock()
    within = Replaceable(lambda: MemoryStore(clock=clock))
    store = Fallback(within, clock=clock)
    yield Rig(store, clock.let_pass, is_time_real=False, slack_seconds=0.0, flush=within.flush)
    store.close()


NO_RATES = {"test_rates": Gap("it keeps no sliding windows", SettingsError)}


@contextmanager
def leased(pace: Pace) -> Iterator[Rig]:
    clock = HandClock()
    store = LeasedStore(MemoryStore(clock=clock), pace=pace, clock=clock)

    def let_pass(seconds: float) -> None:
        # Its thread would have come round in all these seconds.
        while seconds > 0:
            step = min(seconds, pace.lease_seconds / 4)
            clock.let_pass(step)
            store.sync()
            seconds -= step

    # What the shared store loses, a process that borrowed from it still knows: tests/unit/guard has
    # that case.
    yield Rig(store, let_pass, is_time_real=False, slack_seconds=0.0)
    store.close()


STORES: Sequence[StoreUnderTest] = (
    StoreUnderTest("memory", memory, examples=150, steps=50),
    StoreUnderTest("dynamodb", dynamodb, gaps=NO_RATES, examples=10, steps=20),
    StoreUnderTest("valkey", valkey),
    StoreUnderTest("fallback", fallback),
    StoreUnderTest(
        "leased",
        partial(leased, Pace(sync_seconds=math.inf)),
        gaps=NO_RATES,
        examples=40,
        steps=50,
    ),
    StoreUnderTest(
        "leased-eagerly",
        # Whatever there is, from the first request on: the shared store is asked least often.
        partial(leased, Pace(sync_seconds=math.inf, first_requests=4, share=1)),
        gaps=NO_RATES,
        examples=40,
        steps=50,
    ),
    StoreUnderTest("leased-valkey", leased_valkey, gaps=NO_RATES, examples=10),
)
