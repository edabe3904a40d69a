"""What holds for the memory store alone: it stays small, and it survives a fork and itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc

import pytest

from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    RateLevel,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
)
from spendfuse.guard.store import LATE_SECONDS, REMEMBERED_SECONDS
from spendfuse.guard.stores.counters import DAY_IDLE_SECONDS, IDLE_SECONDS, MAX_GROUPS
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.guard.stores.windows import slot_of

DAY = 86_400.0
IN_2100 = 4_102_444_800


class HandClock:
    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def level(counter: str = "root/2099-12", limit: int = 100, ends_at: int = IN_2100) -> Level:
    return Level(counter, counter.split("/", maxsplit=1)[0], "", "2099-12", limit, ends_at=ends_at)


def reserve(store: MemoryStore, hold_id: str, nano_usd: int, *levels: Level, seconds=600.0) -> Hold:
    outcome = store.reserve(Reserve(hold_id, nano_usd, nano_usd, levels, (), seconds, {}))
    assert isinstance(outcome, Granted)
    return outcome.hold


def settle(store: MemoryStore, hold: Hold, nano_usd: int) -> str:
    outcome = store.settle(Settle(hold, nano_usd, seeds={}))
    assert isinstance(outcome, Settled)
    return outcome.kind


def sizes(store: MemoryStore) -> tuple[int, int, int]:
    return len(store._known), len(store._known.due), len(store._counters)


def test_every_way_a_hold_can_end_is_forgotten_in_time(store, clock) -> None:
    root = level()
    settle(store, reserve(store, "settled", 1, root), 1)
    store.release(reserve(store, "released", 1, root))
    reserve(store, "expired", 1, root)
    settle(store, Hold("lost", 1, (root,)), 1)
    kept = reserve(store, "kept", 9, root, seconds=5_000)
    store.settle(Settle(kept, 1, 8, 1, 60.0))
    assert sizes(store)[:2] == (5, 6)

    clock.now += 599
    store.look([])
    assert [store.find(each) is not None for each in ("settled", "released", "lost")] == [True] * 3
    clock.now += 1
    store.look([])
    assert [store.find(each) for each in ("settled", "released")] == [None, None]
    assert sizes(store)[:2] == (3, 4)
    clock.now += 4_400
    store.look([])
    assert sizes(store)[:2] == (3, 3)
    clock.now += LATE_SECONDS
    store.look([])

    assert sizes(store)[:2] == (0, 0)
    assert store.look([root.counter]) == [Standing(3, 0)]


def test_a_settled_id_of_a_long_hold_is_forgotten_with_it_at_the_latest(store, clock) -> None:
    settle(store, reserve(store, "a", 1, level(), seconds=7_200), 1)

    clock.now += 7_200
    store.look([])

    assert sizes(store)[:2] == (0, 0)


def test_a_settle_just_before_the_hold_ends_is_remembered_for_its_full_time(store, clock) -> None:
    hold = reserve(store, "a", 1, level())
    clock.now += 599
    settle(store, hold, 1)
    clock.now += REMEMBERED_SECONDS - 1

    assert settle(store, hold, 1) == "again"
    clock.now += 1
    assert store.find("a") is None


def test_a_late_hold_is_remembered_for_a_day_and_then_a_finished_one(store, clock) -> None:
    hold = reserve(store, "a", 1, level())
    clock.now += 600 + LATE_SECONDS - 1
    assert settle(store, hold, 1) == "late"
    clock.now += REMEMBERED_SECONDS - 1
    assert settle(store, hold, 1) == "again"

    clock.now += 1

    assert store.find("a") is None


def test_a_store_that_slept_for_days_ends_and_forgets_all_at_once(store, clock) -> None:
    for each in range(50):
        reserve(store, f"h{each}", 1, level())

    clock.now += 600 + LATE_SECONDS

    assert store.look([level().counter]) == [Standing(0, 0)]
    assert sizes(store)[:2] == (0, 0)


def test_traffic_of_many_days_takes_no_more_memory_than_that_of_one(store, clock) -> None:
    def a_day(number: int) -> None:
        day = level(f"day/{number}", limit=1_000)
        for each in range(300):
            clock.now += DAY / 300
            hold = reserve(store, f"{number}-{each}", 1, day, seconds=600.0 + each)
            if each % 3:
                settle(store, hold, 1)

    most = 0
    for number in range(120):
        a_day(number)
        most = max(most, sizes(store)[0])

    known, entries, counters = sizes(store)
    assert most < 120
    assert entries <= known + 5
    assert counters <= 42
    assert len(store._counters._idle) == counters


def test_a_past_periods_counter_is_forgotten_and_a_totals_never(store, clock) -> None:
    november, ever = level("root/2099-11"), level("ever/total", ends_at=0)
    settle(store, reserve(store, "a", 10, november, ever), 10)
    clock.now += IDLE_SECONDS - 1
    reserve(store, "b", 1, level("other/2099-12"))
    assert store.look([november.counter]) == [Standing(10, 0)]

    clock.now += 700

    assert store.look([november.counter, ever.counter]) == [None, Standing(10, 0)]
    assert isinstance(store.reserve(Reserve("c", 1, 1, (november, ever))), Unseeded)


def test_a_user_s_counter_of_a_past_day_is_soon_forgotten(store, clock) -> None:
    day = Level("u/2099-12-01/a", "u", "a", "2099-12-01", 100, ends_at=IN_2100)
    for period in ("2099-W49", "2099-12", "total"):
        longer = Level(f"u/{period}/a", "u", "a", period, 100, ends_at=IN_2100)
        settle(store, reserve(store, f"of {period}", 10, longer), 10)
    settle(store, reserve(store, "a", 10, day), 10)
    clock.now += DAY_IDLE_SECONDS - 1
    store.look([])
    assert store.look([day.counter]) == [Standing(10, 0)]

    clock.now += 1
    reserve(store, "b", 1, level("other/2099-12"), seconds=1.0)
    clock.now += 1

    assert store.look([day.counter]) == [None]
    assert sizes(store)[2] == 4


def test_a_counter_in_use_is_not_forgotten(store, clock) -> None:
    for each in range(5):
        settle(store, reserve(store, f"h{each}", 10, level()), 10)
        clock.now += IDLE_SECONDS * 0.6

    assert store.look([level().counter]) == [Standing(50, 0)]


def test_a_counter_that_holds_money_is_not_forgotten(store, clock) -> None:
    hold = reserve(store, "a", 10, level(), seconds=3 * IDLE_SECONDS)
    for each in range(5):
        clock.now += IDLE_SECONDS / 2
        reserve(store, f"h{each}", 1, level("other/2099-12"))

    assert store.look([level().counter]) == [Standing(0, 10)]
    clock.now += IDLE_SECONDS / 2 + 1
    assert store.look([level().counter]) == [Standing(0, 0)]
    assert settle(store, hold, 7) == "late"
    assert store.look([level().counter]) == [Standing(7, 0)]


def test_levels_that_are_made_anew_for_every_request_take_no_memory(store) -> None:
    for each in range(MAX_GROUPS + 100):
        store.reserve(Reserve(f"h{each}", 0, 0, (level(),), (), 600.0, {}))

    assert len(store._counters._groups) <= MAX_GROUPS


def test_a_forgotten_counter_is_not_found_by_the_levels_that_knew_it(store, clock) -> None:
    levels = (level(),)
    store.reserve(Reserve("a", 10, 10, levels, (), 1.0, {}))
    clock.now += 601 + IDLE_SECONDS
    store.look([])
    clock.now += 601 + IDLE_SECONDS
    store.look([])
    reserve(store, "b", 1, level("other/2099-12"), seconds=1.0)
    clock.now += 2
    assert store.look([level().counter]) == [None]

    assert store.reserve(Reserve("c", 10, 10, levels)) == Unseeded((level().counter,))


def test_ten_thousand_live_holds_take_a_few_megabytes(store) -> None:
    levels = (level(limit=10**9), level("team/2099-12", limit=10**9))
    tracemalloc.start()
    for each in range(10_000):
        store.reserve(Reserve(f"hold-{each:032}", 1, 1, levels, (), 600.0, {}))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken < 10_000_000


def test_users_without_a_request_take_no_window(store, clock) -> None:
    for each in range(500):
        clock.now += 1
        rate = RateLevel(f"user/rate/{each}", "user", str(each), 100)
        store.reserve(Reserve(f"h{each}", 1, 1, (), (rate,), 600.0, {}))

    assert len(store._windows) <= 2 * 65 + 5


def test_a_stream_that_is_collected_within_a_step_does_not_wait_for_itself(store) -> None:
    class Collected(dict):
        """Seeds at whose first use the garbage collector settles an abandoned stream."""

        def get(self, counter: str, default: int = 0) -> int:
            settle(store, abandoned, 30)
            return default

    abandoned = reserve(store, "a", 60, level())
    outcome: list[object] = []
    step = Reserve("b", 70, 70, (level("team/2099-12"), level()), (), 600.0, Collected(x=0))

    thread = threading.Thread(target=lambda: outcome.append(store.reserve(step)), daemon=True)
    thread.start()
    thread.join(20)

    assert isinstance(outcome[0], Granted)
    assert store.look([level().counter]) == [Standing(30, 70)]


def test_a_counter_that_begins_within_a_step_is_begun_once(store, clock) -> None:
    class Collected(dict):
        def get(self, counter: str, default: int = 0) -> int:
            reserve(store, "nested", 5, level())
            return 7

    store.reserve(Reserve("a", 60, 60, (level(),), (), 600.0, Collected(x=0)))
    assert store.look([level().counter]) == [Standing(0, 65)]

    for _ in range(3):
        clock.now += IDLE_SECONDS
        reserve(store, f"at-{clock.now}", 1, level("other/2099-12"), seconds=1.0)
        clock.now += 1
        store.look([])

    assert store.look([level().counter]) == [None]


def test_the_cost_of_a_lost_hold_counts_in_its_window_in_full(store, clock) -> None:
    rate = RateLevel("user/rate", "user", "", 100)
    settle(store, Hold("lost", 60, (), (rate,), slot_of(clock.now)), 25)

    assert isinstance(store.reserve(Reserve("a", 76, 76, (), (rate,))), Refused)
    assert isinstance(store.reserve(Reserve("b", 75, 75, (), (rate,))), Granted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_goes_on_with_a_copy_that_is_whole() -> None:
    """In a process of its own: a fork beside the threads of other tests is asking for trouble."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FORKING = """
import os, signal, sys, threading
sys.setswitchinterval(1e-6)
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.guard.step import Level, Reserve, Settle

levels = tuple(Level(f"b{n}/2099-12", f"b{n}", "", "2099-12", 10**9) for n in range(4))
names = [each.counter for each in levels]
store = MemoryStore()
stop = threading.Event()

def client(number):
    each = 0
    while not stop.is_set():
        each += 1
        step = Reserve(f"{number}-{each}", 1, 1, levels, (), 600.0, {})
        store.settle(Settle(store.reserve(step).hold, 1, seeds={}))

threads = [threading.Thread(target=client, args=(n,)) for n in range(2)]
[each.start() for each in threads]
failed = 0
for attempt in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a lock that nobody opens ends here
        before = store.look(names)
        step = Reserve("child", 1, 1, levels, (), 600.0, {})
        store.settle(Settle(store.reserve(step).hold, 1, seeds={}))
        after = store.look(names)
        whole = len(set(before)) <= 1 and len(set(after)) == 1
        os._exit(0 if whole else 1)
    failed += os.waitpid(child, 0)[1] != 0
stop.set()
[each.join() for each in threads]
if store.find("child") is not None:
    print("the parent knows what its child reserved")
sys.exit(failed)
"""
