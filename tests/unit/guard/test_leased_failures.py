"""A process that borrows while the shared store fails, forgets or comes back."""

from __future__ import annotations

import math
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.guard.leases import (
    AT_ONCE,
    BY_HAND,
    HandClock,
    Shared,
    held,
    level,
    look,
    refused,
    settle,
)

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.leasing.lease import Pace
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.step import Granted, Hold, Refused, Reserve, Settle, Standing, Unseeded
from spendfuse.guard.store import UNSEEDED_SECONDS
from spendfuse.guard.stores.memory import MemoryStore

AMOUNTS = st.integers(0, 30)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def shared(clock: HandClock) -> Shared:
    return Shared(clock)


@pytest.fixture
def store(shared: Shared, clock: HandClock) -> LeasedStore:
    return LeasedStore(shared, pace=AT_ONCE, clock=clock)


class TwoProcesses:
    """They share a limit over a network that fails at will; what they were told is kept by hand."""

    def __init__(self, limit: int, failures: Mapping[int, str]) -> None:
        self.clock = HandClock()
        self.shared = Shared(self.clock)
        self.shared.fails = lambda number: failures.get(number, "")
        pace = Pace(sync_seconds=math.inf, first_requests=3, share=2)
        self.stores = [LeasedStore(self.shared, pace=pace, clock=self.clock) for _ in range(2)]
        self.root = level(limit=limit)
        self.running: list[tuple[LeasedStore, Hold]] = []
        self.charged = 0
        self._numbers = count()

    def reserve(self, amount: int, which: int) -> None:
        store = self.stores[which % 2]
        step = Reserve(f"{next(self._numbers)}", amount, amount, (self.root,), seeds={})
        outcome = store.reserve(step)
        if isinstance(outcome, Granted):
            self.running.append((store, outcome.hold))

    def settle(self, amount: int, which: int) -> None:
        if self.running:
            store, hold = self.running.pop(which % len(self.running))
            cost = min(amount, hold.nano_usd)
            self.charged += cost
            for _ in range(50):
                with suppress(UnavailableError):
                    store.settle(Settle(hold, cost, seeds={}))
                    return
            raise AssertionError

    def sync(self, _: int, which: int) -> None:
        self.stores[which % 2].sync()

    def wait(self, *_: int) -> None:
        self.clock.now += 0.25

    def end(self) -> Standing | None:
        """End all requests, and let the time of all leases pass."""
        self.shared.work_again()
        for store, hold in self.running:
            store.release(hold)
        for store in self.stores:
            store.close()
        self.clock.now += 700
        return self.shared.within.look([self.root.counter])[0]


@settings(max_examples=300)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["reserve", "settle", "sync", "wait"]), AMOUNTS, AMOUNTS),
        max_size=40,
    ),
    failures=st.dictionaries(st.integers(0, 40), st.sampled_from(["before", "after"])),
    limit=st.integers(0, 600),
)
def test_whichever_calls_fail_every_cost_counts_once_and_the_limit_holds(
    steps, failures, limit
) -> None:
    two = TwoProcesses(limit, failures)

    for kind, amount, which in steps:
        with suppress(UnavailableError):
            getattr(two, kind)(amount, which)
        assert two.charged + sum(hold.nano_usd for _, hold in two.running) <= limit
    assert two.end() in (None, Standing(two.charged, 0))


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_borrowed_lasts_while_the_shared_store_is_away(store, shared, when) -> None:
    held(store, "a", 10, level())
    shared.fail_always(when)

    for number in range(3):
        settle(store, held(store, f"b{number}", 10, level()), 7)

    with pytest.raises(UnavailableError):
        held(store, "c", 100, level())
    shared.work_again()
    store.sync()
    assert look(store, level()) == Standing(21, 10)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sync_that_fails_is_made_up_for_once(store, shared, when) -> None:
    settle(store, held(store, "a", 10, level()), 10)
    shared.fail_always(when)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            store.sync()
    settle(store, held(store, "b", 1, level()), 1)
    shared.work_again()

    store.sync()
    store.sync()

    assert shared.standing(level()) == Standing(11, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_borrowing_that_was_not_answered_is_returned(store, shared, when) -> None:
    held(store, "first", 10, level())
    shared.fail_always(when)
    with pytest.raises(UnavailableError):
        held(store, "a", 100, level())
    shared.work_again()

    held(store, "b", 100, level())
    store.sync()
    store.sync()

    assert shared.standing(level()) == Standing(0, 110)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_that_was_not_answered_is_the_shared_stores_when_it_comes_again(
    shared, clock, when
) -> None:
    store = LeasedStore(shared, pace=BY_HAND, clock=clock)
    shared.fail_always(when)
    with pytest.raises(UnavailableError):
        held(store, "a", 10, level())
    shared.work_again()
    for number in range(3):
        settle(store, held(store, f"b{number}", 10, level()), 10)

    hold = held(store, "a", 10, level())

    assert shared.within.find("a") == hold
    settle(store, hold, 4)
    store.sync()
    store.sync()
    assert shared.standing(level()) == Standing(34, 0)


def test_no_lease_is_used_longer_than_the_shared_store_may_keep_it(store, shared, clock) -> None:
    def at_once(hold_id: str) -> Granted | None:
        return store.reserve_at_once(Reserve(hold_id, 0, 0, (level(),), seeds={}))

    held(store, "a", 10, level())
    settle(store, held(store, "b", 1, level()), 1)
    shared.fail_always("after")
    for _ in range(4):
        clock.now += 2
        with pytest.raises(UnavailableError):
            # It is taken the first of these times, and prolonged only then.
            store.sync()
    shared.work_again()
    store._lender.send(store._purses.of((level(),)))

    assert at_once("c") is not None
    clock.now += 2.5
    assert at_once("d") is not None
    clock.now += 1
    assert at_once("e") is None


def test_threads_that_wait_for_one_failure_do_not_wait_for_one_each(shared, clock) -> None:
    store = LeasedStore(shared, pace=AT_ONCE, clock=clock)
    inside, go_on, failed = threading.Event(), threading.Event(), []

    def fails(_: int) -> str:
        inside.set()
        assert go_on.wait(10)
        return "before"

    def request(number: int) -> None:
        with pytest.raises(UnavailableError):
            held(store, f"a{number}", 10, level())
        failed.append(number)

    shared.fails = fails
    threads = [threading.Thread(target=request, args=(each,)) for each in range(5)]
    threads[0].start()
    assert inside.wait(10)
    for each in threads[1:]:
        each.start()
    # Until they wait for their turn.
    go_on.wait(0.3)
    go_on.set()
    for each in threads:
        each.join(10)

    assert len(failed) == 5
    assert shared.names() == ["reserve"]


def test_an_id_that_comes_again_while_it_is_asked_about_is_held_once(shared, clock) -> None:
    store = LeasedStore(shared, pace=BY_HAND, clock=clock)
    within = []

    def fails(number: int) -> str:
        if number == 0:
            within.append(held(store, "a", 10, level()))
        return ""

    shared.fails = fails

    assert held(store, "a", 10, level()) == within[0]
    assert shared.standing(level()) == Standing(0, 10)


def test_a_settle_in_the_middle_of_a_settle_is_charged_once(store, shared) -> None:
    """As the garbage collector makes one, when it meets an abandoned stream."""
    hold, abandoned = (held(store, each, 10, level()) for each in "ab")
    settle(store, hold, 7)
    shared.names()

    def fails(number: int) -> str:
        if number == 0:
            settle(store, abandoned, 5_000)
        return ""

    shared.fails = fails
    store.sync()
    store.sync()

    assert shared.standing(level()) == Standing(5_007, 0)
    assert look(store, level()) == Standing(5_007, 0)


def test_after_a_flush_the_cost_waits_for_a_seed_and_is_not_lost(store, shared, clock) -> None:
    # A ledger is asked for missing counters, so this process can't make them up.
    step = Reserve("a", 10, 10, (level(),))
    assert isinstance(store.reserve(step), Unseeded)
    held(store, "a", 10, level(), seeds={level().counter: 500})
    hold = held(store, "b", 10, level(), seeds=None)
    settle(store, hold, 8, seeds=None)
    shared.flush()
    store.sync()
    assert shared.within.look([level().counter]) == [None]

    assert isinstance(store.reserve(step._replace(id="c", nano_usd=50)), Unseeded)
    held(store, "c", 50, level(), seeds={level().counter: 500})
    standing = shared.standing(level())
    store.sync()

    assert standing.spent_nano_usd + standing.held_nano_usd >= 508 + 60
    assert shared.standing(level()).spent_nano_usd == 508
    assert look(store, level()).held_nano_usd == 60


def test_a_cost_whose_counter_stays_away_is_left_to_the_ledger(store, shared, clock) -> None:
    held(store, "a", 10, level(), seeds={level().counter: 500})
    settle(store, held(store, "b", 10, level(), seeds=None), 8, seeds=None)
    shared.flush()
    store.sync()
    clock.now += UNSEEDED_SECONDS + 1
    store.sync()

    held(store, "c", 50, level(), seeds={level().counter: 508})
    store.sync()

    assert shared.standing(level()).spent_nano_usd == 508


def test_without_a_ledger_a_flush_loses_nothing_that_was_not_told(store, shared) -> None:
    held(store, "a", 10, level())
    settle(store, held(store, "b", 10, level()), 8)
    shared.flush()

    store.sync()

    assert shared.standing(level()).spent_nano_usd == 8


def test_room_that_was_lost_in_a_flush_is_not_used_after_a_sync(store, shared) -> None:
    held(store, "a", 10, level())
    settle(store, held(store, "b", 10, level()), 10)
    shared.flush()
    store.sync()
    shared.names()

    held(store, "c", 10, level())

    assert "reserve" in shared.names()


def test_processes_that_share_a_limit_never_pass_it_and_can_use_all_of_it() -> None:
    shared, limit = MemoryStore(), 2_000_000
    root = level("root", limit)
    sizes = (7, 701, 70_001)
    stores = [
        LeasedStore(shared, pace=Pace(sync_seconds=0.002, lease_seconds=2.0)) for _ in range(4)
    ]
    most: list[int] = []

    def client(store: LeasedStore, number: int) -> int:
        charged = 0
        for each in range(10**9):
            asked = sizes[(each + number) % 3]
            step = Reserve(
                f"{number}-{each}", asked, asked, (root, level(f"t{number % 2}")), (), 600
            )
            outcome = store.reserve(step._replace(seeds={}, calls_in=True))
            if isinstance(outcome, Refused):
                return charged
            (standing,) = shared.look([root.counter])
            most.append(standing.spent_nano_usd + standing.held_nano_usd)
            cost = asked - each % 5
            store.settle(Settle(outcome.hold, cost, seeds={}))
            charged += cost
        raise AssertionError

    totals = _in_threads(lambda number: client(stores[number % 4], number), 12)
    for each in stores:
        each.sync()
        each.sync()
    rest = limit - sum(totals)
    hold = held(stores[0], "rest", rest, root)
    settle(stores[0], hold, rest)
    refused(stores[1], "more", 1, root)

    assert max(most) <= limit
    for each in stores:
        each.close()
    assert shared.look([root.counter])[0][:2] == (limit, 0)


def test_a_forked_child_has_nothing_of_what_its_parent_borrowed(clock, shared) -> None:
    store = LeasedStore(shared, pace=AT_ONCE, clock=clock)
    hold = held(store, "a", 10, level())
    store._lock.acquire()  # as another thread may at that moment
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        shared.calls.clear()
        step = Reserve("b", 1, 1, (level(),), seeds={})
        sender.send((store.reserve_at_once(step) is None, store.find("a"), store.is_holding()))
        store.close()
        sender.send(shared.names())

    process = context.Process(target=child)
    process.start()
    assert receiver.poll(20)
    assert receiver.recv() == (True, None, False)
    assert receiver.poll(20)
    assert "settle" not in receiver.recv()
    process.join(20)
    store._lock.release()
    assert settle(store, hold, 4).kind == "settled"
    store.close()


def test_the_end_of_a_process_returns_what_it_borrowed_and_is_not_held_up() -> None:
    program = """
import threading
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.guard.step import Level, Reserve, Settle

class Shared(MemoryStore):
    def close(self):
        print(self.look(["root"])[0][:2], threading.active_count())

store = LeasedStore(Shared())
levels = (Level("root", "root", "", "total", 10**9),)
for number in range(50):
    granted = store.reserve(Reserve(f"a{number}", 10, 10, levels, seeds={}))
    store.settle(Settle(granted.hold, 7, seeds={}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert ended.stdout == "(350, 0) 1\n"
    assert ended.stderr == ""


def test_a_store_that_nobody_keeps_returns_what_it_borrowed(shared) -> None:
    store = LeasedStore(shared, pace=Pace(sync_seconds=0.01, first_requests=4))
    settle(store, held(store, "a", 10, level()), 7)
    del store

    for _ in range(1_000):
        if shared.standing(level()) == Standing(7, 0):
            break
        threading.Event().wait(0.01)
    assert shared.standing(level()) == Standing(7, 0)


def test_trouble_is_logged_once_and_so_is_its_end(shared, caplog) -> None:
    caplog.set_level("INFO")
    store = LeasedStore(shared, pace=BY_HAND)
    shared.fail_always("before")
    for _ in range(3):
        store._try(lambda: shared.look([]))
    shared.work_again()
    for _ in range(3):
        store._try(lambda: shared.look([]))

    assert [each.message for each in caplog.records] == [
        "leases can't be settled; they are tried again: it never arrived",
        "leases are settled again",
    ]


def test_nobody_waits_for_a_debt_while_the_shared_store_is_away(store, shared) -> None:
    hold = held(store, "a", 10, level())
    other = held(store, "b", 1, level())
    shared.fail_always("before")
    settle(store, hold, 5_000)
    shared.names()

    settle(store, other, 5_000)

    assert shared.names() == []
    shared.work_again()
    store.sync()
    assert shared.standing(level()).spent_nano_usd == 10_000


def test_an_id_that_the_shared_store_knows_otherwise_stays_its_own(shared, clock) -> None:
    store = LeasedStore(shared, pace=BY_HAND, clock=clock)
    settle(store, held(store, "a", 10, level()), 10)

    for _ in range(2):
        with pytest.raises(ReservationError):
            held(store, "a", 10, level())

    assert shared.standing(level()) == Standing(10, 0)


def _in_threads(work, count: int) -> list[int]:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda each=each: results.append(work(each)))
        for each in range(count)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(results) == count
    return results
