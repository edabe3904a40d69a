"""A process that borrows: when it asks the shared store, what it keeps, and what it returns."""

from __future__ import annotations

import asyncio
import math
from itertools import count

import pytest
from unit.guard.leases import (
    AT_ONCE,
    BY_HAND,
    HandClock,
    Shared,
    held,
    level,
    look,
    refused,
    reserve,
    settle,
)

from spendfuse.errors import SettingsError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.leasing.lease import Pace
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.step import Granted, Hold, RateLevel, Reserve, Settle, Settled, Standing
from spendfuse.guard.store import AtOnce


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def shared(clock: HandClock) -> Shared:
    return Shared(clock)


@pytest.fixture
def store(shared: Shared, clock: HandClock) -> LeasedStore:
    return LeasedStore(shared, pace=BY_HAND, clock=clock)


def warm(store: LeasedStore, *levels, nano: int = 10) -> None:
    """Make the store borrow, by requests one after the other."""
    for number in range(3):
        settle(store, held(store, f"warm {number} {nano}", nano, *levels), nano)


def test_requests_of_a_busy_set_of_levels_need_no_round_trip(store, shared) -> None:
    levels = (level("root"), level("team"))
    warm(store, *levels)
    shared.names()

    for number in range(2):
        settle(store, held(store, f"a{number}", 10, *levels), 10)

    assert shared.names() == []
    assert look(store, levels[0]) == Standing(50, 0)


def test_equal_levels_share_what_is_borrowed_whichever_tuple_they_come_in(store, shared) -> None:
    warm(store, level("root"), level("team"))
    shared.names()

    held(store, "a", 10, level("root"), level("team"))

    assert shared.names() == []


def test_a_first_request_is_asked_for_alone_and_hoards_nothing(store, shared, clock) -> None:
    for number in range(3):
        settle(store, held(store, f"a{number}", 10, level()), 4)
        clock.now += 60

    assert shared.standing(level()) == Standing(12, 0)
    assert shared.names()[:6] == ["reserve", "settle"] * 3


def test_a_request_that_was_asked_for_alone_is_settled_by_another_process(
    store, shared, clock
) -> None:
    held(store, "a", 10, level())
    other = LeasedStore(shared, pace=BY_HAND, clock=clock)

    found = other.find("a")
    assert found is not None
    assert settle(other, found, 7).kind == "settled"
    assert settle(store, found, 7).kind == "again"
    assert shared.standing(level()) == Standing(7, 0)


def test_an_id_of_this_process_is_known_to_no_other(store, shared, clock) -> None:
    warm(store, level())
    held(store, "a", 10, level())

    assert store.find("a") == Hold("a", 10, (level(),))
    assert LeasedStore(shared, clock=clock).find("a") is None


def test_slices_shrink_to_single_requests_near_the_limit(store, shared) -> None:
    near = level(limit=1_000)
    most = 0
    for number in range(100):
        settle(store, held(store, f"a{number}", 10, near), 10)
        standing = shared.standing(near)
        left = 1_000 - 10 * (number + 1)
        most = max(most, standing.spent_nano_usd + standing.held_nano_usd - 10 * (number + 1))
        assert standing.held_nano_usd + standing.spent_nano_usd <= 1_000 - left + left // 4 + 10

    assert 0 < most <= 125
    refused(store, "b", 1, near)
    assert look(store, near) == Standing(1_000, 0, is_called_in=True)


def test_a_slice_takes_what_there_is_where_it_is_more_than_that(shared, clock) -> None:
    root = level("root", 1_000)
    store, other = (LeasedStore(shared, pace=BY_HAND, clock=clock) for _ in range(2))
    for number in range(6):
        held(store, f"a{number}", 10, root)
    held(other, "b", 1_000 - shared.standing(root).held_nano_usd - 25, root)
    numbers = count()
    while store.reserve_at_once(Reserve(f"c{next(numbers)}", 10, 10, (root,))):
        pass
    shared.names()

    held(store, "d", 10, root)

    assert shared.names() == ["reserve"]
    assert shared.standing(root).held_nano_usd == 1_000


def test_slices_grow_as_long_as_they_do_not_last(store, shared) -> None:
    for number in range(10_000):
        settle(store, held(store, f"a{number}", 1, level(limit=10**9)), 1)

    assert len(shared.names()) < 16


def test_nothing_is_refused_for_want_of_money_that_lies_idle_here(store, clock, shared) -> None:
    root = level("root", 100)
    eager = LeasedStore(shared, pace=Pace(sync_seconds=AT_ONCE.sync_seconds, share=1), clock=clock)
    warm(eager, root, level("team"), nano=1)
    settle(eager, held(eager, "a", 1, root), 1)
    left = 100 - look(eager, root).spent_nano_usd
    assert shared.standing(root).held_nano_usd > 0

    held(eager, "b", left, root)

    refused(eager, "c", 1, root)


def test_nothing_is_lowered_for_want_of_money_that_lies_idle_here(clock, shared) -> None:
    fit = level("fit", 100, mode="fit")
    eager = LeasedStore(shared, pace=Pace(sync_seconds=AT_ONCE.sync_seconds, share=1), clock=clock)
    warm(eager, fit, level("team"), nano=1)
    assert shared.standing(fit).held_nano_usd > 0

    assert held(eager, "b", 200, fit, least_nano_usd=1).nano_usd == 97


def test_an_idle_lease_is_returned_whole_by_the_next_sync(store, shared) -> None:
    warm(store, level())
    store.sync()

    store.sync()

    assert shared.standing(level()) == Standing(30, 0)
    shared.names()
    store.sync()
    assert shared.names() == []
    assert not store.is_holding()


def test_what_running_requests_hold_is_kept_and_prolonged(store, shared, clock) -> None:
    warm(store, level())
    hold = held(store, "a", 10, level())
    for _ in range(100):
        clock.now += 3
        store.sync()

    assert shared.standing(level()) == Standing(30, 10)
    assert settle(store, hold, 6).kind == "settled"
    store.sync()
    assert shared.standing(level()) == Standing(36, 0)


def test_nothing_is_sent_while_nothing_changes(store, shared, clock) -> None:
    warm(store, level())
    held(store, "a", 10, level())
    store.sync()
    store.sync()
    shared.names()

    for _ in range(8):
        clock.now += 0.5
        store.sync()

    assert shared.names() == []


def test_a_busy_process_keeps_what_it_needs_soon_and_borrows_before_it_is_asked(
    shared, clock
) -> None:
    # The syncs are the test's, but it is told that there are three in a slice's time.
    pace = Pace(sync_seconds=1_000, slice_seconds=3_000)
    store, wide = LeasedStore(shared, pace=pace, clock=clock), level(limit=10**9)
    for turn in range(4):
        for number in range(1_000):
            settle(store, held(store, f"{turn} {number}", 1, wide), 1)
        if turn:
            assert [name for name in shared.names() if name != "look"] == []
        clock.now += 0.5
        store.sync()
        shared.names()

    assert 1_000 < shared.standing(wide).held_nano_usd <= 4_000
    store.close()


def test_who_is_refused_calls_in_what_others_have_idle(shared, clock) -> None:
    root = level("root", 1_000)
    busy, late = (LeasedStore(shared, pace=BY_HAND, clock=clock) for _ in range(2))
    warm(busy, root)
    hold = held(busy, "a", 10, root)
    left = 1_000 - 40
    refused(late, "b", left, root)

    busy.sync()

    assert look(busy, root) == Standing(30, 10, is_called_in=True)
    held(late, "b", left, root)
    settle(busy, hold, 10)


def test_who_was_called_in_asks_for_each_request_alone_for_a_while(shared, clock) -> None:
    root = level("root", 10_000)
    busy, late = (LeasedStore(shared, pace=BY_HAND, clock=clock) for _ in range(2))
    warm(busy, root)
    refused(late, "b", 9_995, root)
    held(busy, "a", 10, root)
    busy.sync()
    shared.names()

    for number in range(3):
        held(busy, f"c{number}", 10, root)

    assert shared.names() == ["reserve"] * 3
    clock.now += 3
    held(busy, "d", 10, root)
    held(busy, "e", 10, root)
    assert shared.standing(root).held_nano_usd > 60


def test_a_killed_process_leaves_nothing_held(store, shared, clock) -> None:
    warm(store, level())
    held(store, "a", 10, level())
    del store

    clock.now += AT_ONCE.lease_seconds

    assert shared.standing(level()).held_nano_usd == 0


def test_a_lease_is_not_used_when_it_may_have_ended(store, shared, clock) -> None:
    small = level(limit=1_000)
    warm(store, small)
    clock.now += AT_ONCE.lease_seconds - AT_ONCE.margin_seconds
    shared.names()

    held(store, "a", 10, small)
    assert "reserve" in shared.names()

    held(store, "b", 10, small)
    assert store.reserve_at_once(Reserve("c", 10, 10, (small,))) is not None


def test_a_cost_that_no_lease_is_left_for_is_charged_by_itself(store, shared, clock) -> None:
    warm(store, level())
    hold = held(store, "a", 10, level())
    clock.now += 60
    held(store, "b", 10, level())

    settle(store, hold, 8)
    store.sync()

    assert shared.standing(level()) == Standing(38, 10)


def test_holds_of_ended_leases_are_covered_again(shared, clock) -> None:
    small = level(limit=1_000)
    store = LeasedStore(shared, pace=Pace(sync_seconds=BY_HAND.sync_seconds, share=1), clock=clock)
    warm(store, small)
    for number in range(10):
        held(store, f"a{number}", 10, small)
    clock.now += 60

    held(store, "b", 10, small)
    held(store, "c", 10, small)
    store.sync()

    assert shared.standing(small).held_nano_usd >= 120
    refused(LeasedStore(shared, clock=clock), "d", 1_000 - 30 - 119, small)


def test_a_request_that_outlives_its_lease_is_charged(store, shared, clock) -> None:
    warm(store, level())
    hold = held(store, "a", 10, level())
    clock.now += 60

    assert settle(store, hold, 8).kind == "settled"
    store.sync()

    assert shared.standing(level()) == Standing(38, 0)


def test_a_cost_above_what_is_left_here_is_told_at_once(store, shared, clock) -> None:
    root = level("root", 10_000)
    warm(store, root)
    hold = held(store, "a", 10, root)

    settle(store, hold, 9_000)

    assert shared.standing(root).spent_nano_usd == 9_030
    refused(LeasedStore(shared, clock=clock), "b", 971, root)


def test_what_was_overspent_is_made_up_for_by_all_that_is_idle_here(shared, clock) -> None:
    root = level("root", 100)
    store = LeasedStore(shared, pace=AT_ONCE, clock=clock)
    held(store, "a", 1, root)
    free = held(store, "b", 0, root, level("team"))

    settle(store, free, 100)

    assert shared.standing(root) == Standing(100, 1)
    refused(store, "c", 1, root)


def test_a_part_above_what_it_lets_go_is_told_at_once_too(store, shared, clock) -> None:
    root = level("root", 1_000)
    warm(store, root)
    hold = held(store, "a", 20, root)
    room = shared.standing(root).held_nano_usd - look(store, root).held_nano_usd

    settle(store, hold, room + 1, keep_nano_usd=20, part=1)

    assert shared.standing(root) == Standing(30 + room + 1, 20)


def test_what_a_part_overspends_is_made_up_for_too(shared, clock) -> None:
    root = level("root", 100)
    store = LeasedStore(shared, pace=BY_HAND, clock=clock)
    asked_alone = held(store, "a", 50, root, level("team"))
    store._purses.of((root,)).warm_until = math.inf
    held(store, "b", 1, root)
    assert shared.standing(root).held_nano_usd > 51

    settle(store, asked_alone, 50, keep_nano_usd=50, part=1)

    assert shared.standing(root) == Standing(50, 51)


def test_what_is_not_overspent_stays_at_hand(shared, clock) -> None:
    store = LeasedStore(shared, pace=AT_ONCE, clock=clock)
    root, team, other = level("root"), level("team", 100), level("other")
    for each in (team, other):
        held(store, f"a {each.budget}", 1, root, each)
    free = held(store, "b", 0, root, team)
    before = look(store, root)

    settle(store, free, 100)

    assert shared.standing(team) == Standing(100, 1)
    assert shared.standing(other) == Standing(0, 4)
    assert look(store, root) == Standing(before.spent_nano_usd + 100, before.held_nano_usd)


def test_where_others_overspent_nothing_is_kept_for_later(shared, clock) -> None:
    root = level("root", 1_000)
    busy, other = (LeasedStore(shared, pace=BY_HAND, clock=clock) for _ in range(2))
    warm(busy, root)
    held(busy, "a", 10, root)
    settle(other, held(other, "b", 1, root), 980)
    assert shared.standing(root).held_nano_usd > 10

    busy.sync()

    assert shared.standing(root) == Standing(1_010, 10)


def test_a_cost_above_the_estimate_comes_out_of_the_room_first(store, shared) -> None:
    warm(store, level())
    hold = held(store, "a", 10, level())
    shared.names()

    settle(store, hold, 11)

    assert shared.names() == []
    assert look(store, level()) == Standing(41, 0)


def test_a_lowered_limit_refuses_at_once_whatever_is_left_of_a_lease(store, shared) -> None:
    warm(store, level(limit=10_000))
    assert shared.standing(level()).held_nano_usd > 0

    refused(store, "a", 1, level(limit=30))
    held(store, "b", 5, level(limit=35))
    refused(store, "c", 1, level(limit=35))

    assert shared.standing(level()) == Standing(30, 5, is_called_in=True)


def test_free_requests_need_no_round_trip_either_once_they_are_many(store, shared) -> None:
    used_up = level(limit=0)
    for number in range(2):
        settle(store, held(store, f"warm {number}", 0, used_up), 0)
    shared.names()

    for number in range(10):
        settle(store, held(store, f"a{number}", 0, used_up), 0)

    assert shared.names() == []
    refused(store, "b", 1, used_up)


def test_requests_of_no_budget_ask_nobody(store, shared) -> None:
    settle(store, held(store, "a", 10), 12)
    store.sync()

    assert shared.names() == []


def test_observed_levels_refuse_nothing_and_are_counted(store, shared) -> None:
    seen = level("seen", 25, mode="observe")
    for number in range(20):
        settle(store, held(store, f"a{number}", 10, seen), 10)
    outcome = reserve(store, "b", 10, seen)
    store.sync()
    store.sync()

    assert isinstance(outcome, Granted)
    assert outcome.standings == (Standing(200, 10),)
    assert shared.standing(seen) == Standing(200, 10)


def test_a_hold_that_has_ended_is_late_however_long_nobody_looked(store, clock) -> None:
    warm(store, level())
    hold = held(store, "a", 5, level(), hold_seconds=5.0)
    clock.now += 6

    assert settle(store, hold, 5).kind == "late"


def test_a_hold_ends_when_its_last_part_said_and_keeps_no_other_from_it(store, clock) -> None:
    warm(store, level(limit=10**6))
    first, brief = (held(store, each, 5, level(limit=10**6)) for each in ("a", "b"))
    settle(store, brief, 1, keep_nano_usd=4, part=1, hold_seconds=5.0)
    clock.now += 6
    assert store._local.release(brief) is False
    settle(store, first, 5)
    third = held(store, "c", 5, level(limit=10**6))
    clock.now += 600

    assert settle(store, third, 5).kind == "late"


def test_an_id_is_forgotten_ten_minutes_after_its_end_and_not_before(store, clock) -> None:
    held(store, "kept", 10, level())
    warm(store, level())
    hold = held(store, "a", 10, level())
    settle(store, hold, 6)
    clock.now += 599
    store.sync()
    assert settle(store, hold, 6).kind == "again"
    with pytest.raises(ReservationError):
        settle(store, hold, 7)

    clock.now += 2
    store.sync()

    assert store.find("a") is None


def test_an_id_that_the_shared_store_was_asked_about_is_its_own_as_long_as_it_knows_it(
    store, shared, clock
) -> None:
    settled, released, ended = (held(store, each, 10, level(each)) for each in ("a", "b", "c"))
    settle(store, settled, 4)
    assert store.release(released)
    clock.now += 1_300
    store.sync()
    assert [each for each in "abc" if each in store._holds.by_id] == ["c"]
    for number in range(3):
        held(store, f"{number}", 10, level("c"))

    with pytest.raises(ReservationError):
        held(store, "c", 10, level("c"))

    assert settle(store, ended, 4).kind == "late"


def test_what_is_remembered_stays_bounded(store, monkeypatch) -> None:
    monkeypatch.setattr("spendfuse.guard.leasing.local_holds.MOST_KNOWN", 100)
    monkeypatch.setattr("spendfuse.guard.leasing.purses.MOST_PURSES", 10)
    kept = held(store, "kept", 1, level(limit=10**9))
    for number in range(1_000):
        settle(store, held(store, f"a{number}", 1, level(limit=10**9)), 1)
        held(store, f"b{number}", 0, level(f"user {number}"))
    store.sync()

    assert len(store._holds.by_id) <= 110
    assert len(store._purses._by_levels) <= 12
    assert len(store._purses.aliases) <= 10
    assert settle(store, kept, 1).kind == "settled"


def test_steps_at_once_never_ask_the_shared_store(store, shared) -> None:
    step = Reserve("a", 10, 10, (level(),), seeds={})
    assert isinstance(store, AtOnce)
    assert store.reserve_at_once(step) is None
    warm(store, level())
    shared.names()

    granted = store.reserve_at_once(step)
    assert granted is not None
    assert store.settle_at_once(Settle(granted.hold, 6, seeds={})) == Settled("settled")
    assert store.release_at_once(granted.hold) is False
    assert store.settle_at_once(Settle(Hold("else", 10, (level(),)), 6)) is None
    assert store.release_at_once(Hold("else", 10, (level(),))) is None
    assert shared.names() == []


def test_a_debt_that_was_made_at_once_is_told_by_the_thread(shared) -> None:
    async def made(store: LeasedStore) -> None:
        granted = store.reserve_at_once(Reserve("a", 10, 10, (level(),), seeds={}))
        assert granted is not None
        store.settle_at_once(Settle(granted.hold, 5_000, seeds={}))
        for _ in range(2_000):
            if shared.standing(level()).spent_nano_usd == 5_030:
                return
            await asyncio.sleep(0.005)

    store = LeasedStore(shared, pace=BY_HAND)
    warm(store, level())
    asyncio.run(made(store))

    assert shared.standing(level()).spent_nano_usd == 5_030
    store.close()


def test_a_step_with_rates_is_a_setting(store) -> None:
    rate = RateLevel("fast/rate", "fast", "", 100)
    with pytest.raises(SettingsError, match="'fast'"):
        store.reserve(Reserve("a", 10, 10, (level(),), (rate,), seeds={}))


def test_closing_returns_what_is_free_and_charges_what_was_spent(store, shared, clock) -> None:
    warm(store, level())
    hold = held(store, "a", 10, level())

    store.close()
    store.close()

    assert shared.is_closed
    assert shared.standing(level()) == Standing(30, 10)
    settle(store, hold, 7)
    assert shared.standing(level()) == Standing(37, 0)
    settle(store, held(store, "b", 10, level()), 10)
    assert shared.standing(level()) == Standing(47, 0)
