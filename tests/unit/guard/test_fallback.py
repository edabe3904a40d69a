from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from unit.guard.fragile_store import Fragile, HandClock, wait_until
from unit.guard.valkey_steps import a_level, a_rate, held, reserve, settle

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.outage.fallback import Fallback
from spendfuse.guard.outage.outage_log import StoreHealth
from spendfuse.guard.outage.stand_in import StoreDownError
from spendfuse.guard.step import (
    Granted,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
)

CLOSED = a_level("closed", when_down="fail_closed")
OPEN = a_level("open", when_down="fail_open")
SHARED = a_level("shared", when_down="local_share", local_share_percent=30)


@pytest.fixture
def store() -> Fragile:
    return Fragile()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def fallback(store, clock) -> Iterator[Fallback]:
    fallback = Fallback(store, clock=clock)
    yield fallback
    store.is_down = store.loses_answers = False
    fallback.close(5.0)


def come_back(store: Fragile, clock: HandClock, fallback: Fallback) -> None:
    """Bring the store back, and wait until it was told everything."""
    store.is_down = store.loses_answers = False
    clock.now += 5.0
    fallback.hurry()
    wait_until(lambda: not fallback.health().waiting)


def test_while_the_store_is_up_it_decides(store, fallback) -> None:
    hold = held(fallback, "a", 60, CLOSED, rates=(a_rate(),))
    other = held(fallback, "b", 10, CLOSED)

    assert isinstance(reserve(fallback, "c", 31, CLOSED), Refused)
    assert reserve(fallback, "d", 1, OPEN, seeds=None) == Unseeded((OPEN.counter,))
    assert settle(fallback, hold, 50).kind == "settled"
    assert settle(fallback, hold, 50).kind == "again"
    assert fallback.release(other)
    assert fallback.find("a") == hold
    assert fallback.look([CLOSED.counter]) == [Standing(50, 0)]
    assert fallback.health() == StoreHealth()
    assert (fallback.is_local, fallback.takes_rates) == (store.is_local, store.takes_rates)


def test_a_closed_budget_refuses_by_name(store, fallback) -> None:
    store.is_down = True

    for each in ("a", "b"):
        with pytest.raises(StoreDownError, match="budget closed") as raised:
            reserve(fallback, each, 1, OPEN, CLOSED)
        assert raised.value.budget == "closed"
    assert fallback.health().refused_closed == 2


def test_a_request_of_open_budgets_is_admitted_and_charged_when_the_store_is_back(
    store, fallback, clock
) -> None:
    store.is_down = True
    hold = held(fallback, "a", 500, OPEN)
    assert settle(fallback, hold, 400).kind == "settled"
    assert fallback.health().waiting == 1

    come_back(store, clock, fallback)

    assert store.standing(OPEN.counter) == Standing(400, 0)
    health = fallback.health()
    assert (health.admitted_open, health.delivered, health.is_down) == (1, 1, False)


def test_what_is_settled_after_the_outage_is_charged_at_once(store, fallback, clock) -> None:
    store.is_down = True
    hold = held(fallback, "a", 500, OPEN)
    come_back(store, clock, fallback)
    held(fallback, "probe", 0, OPEN)

    assert settle(fallback, hold, 400).kind == "late"
    assert settle(fallback, hold, 400).kind == "again"
    assert store.standing(OPEN.counter) == Standing(400, 0)


def test_an_observing_budget_refuses_nobody_when_the_store_is_down_either(store, fallback) -> None:
    store.is_down = True

    held(fallback, "a", 500, a_level("seen", mode="observe", when_down="fail_closed"))
    held(fallback, "b", 500)
    assert fallback.health().admitted_open == 2


def test_a_local_share_is_kept_by_holds_and_costs(store, fallback) -> None:
    store.is_down = True
    hold = held(fallback, "a", 20, SHARED, OPEN)
    with pytest.raises(StoreDownError, match="shared"):
        reserve(fallback, "b", 11, SHARED)
    settle(fallback, hold, 25)

    held(fallback, "c", 5, SHARED)
    with pytest.raises(StoreDownError, match="shared"):
        reserve(fallback, "d", 1, SHARED, OPEN)
    held(fallback, "e", 1, OPEN)
    health = fallback.health()
    assert (health.admitted_locally, health.refused_locally, health.admitted_open) == (2, 2, 1)


def test_shares_are_decided_together(store, fallback) -> None:
    other = a_level("other", when_down="local_share", local_share_percent=10)
    store.is_down = True

    with pytest.raises(StoreDownError):
        reserve(fallback, "a", 11, SHARED, other)
    assert held(fallback, "b", 30, SHARED).nano_usd == 30


def test_a_fitting_budget_lowers_a_request_to_its_share(store, fallback) -> None:
    fit = a_level("fit", mode="fit", when_down="local_share", local_share_percent=30)
    store.is_down = True

    outcome = fallback.reserve(Reserve("a", 50, 10, (fit,), seeds={}))

    assert isinstance(outcome, Granted)
    assert outcome.hold.nano_usd == 30
    assert outcome.hold.levels == (fit,)


def test_a_released_share_is_free_again(store, fallback) -> None:
    store.is_down = True
    held(fallback, "probe", 0, OPEN)
    hold = held(fallback, "a", 30, SHARED)

    assert fallback.release(hold)
    held(fallback, "b", 30, SHARED)


def test_a_share_is_given_for_ten_minutes_of_an_outage(store, fallback, clock) -> None:
    store.is_down = True
    held(fallback, "a", 1, SHARED)
    clock.now += 600.0
    held(fallback, "b", 1, SHARED)
    clock.now += 1.0

    with pytest.raises(StoreDownError, match="600 s"):
        reserve(fallback, "c", 1, SHARED)
    held(fallback, "d", 1, OPEN)


def test_an_outage_begins_anew_after_a_minute_of_health(store, fallback, clock) -> None:
    store.is_down = True
    held(fallback, "a", 30, SHARED)
    come_back(store, clock, fallback)
    held(fallback, "b", 1, SHARED)
    clock.now += 59.0
    store.is_down = True
    with pytest.raises(StoreDownError):
        reserve(fallback, "c", 1, SHARED)
    assert fallback.health().outages == 1

    come_back(store, clock, fallback)
    held(fallback, "d", 1, SHARED)
    clock.now += 61.0
    store.is_down = True

    held(fallback, "e", 30, SHARED)
    assert fallback.health().outages == 2


def test_a_store_that_failed_is_left_alone_for_a_while_that_grows(store, fallback, clock) -> None:
    store.is_down = True
    waits = []
    for number in range(6):
        held(fallback, f"a{number}", 1, OPEN)
        asked, began = len(store.calls), clock.now
        while len(store.calls) == asked:
            clock.now += 0.125
            held(fallback, f"b{clock.now}", 1, OPEN)
        waits.append(clock.now - began)

    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_one_of_many_requests_tries_whether_the_store_is_back(store, fallback, clock) -> None:
    store.is_down = True
    held(fallback, "a", 1, OPEN)
    clock.now += 1.0
    asked = len(store.calls)
    barrier = threading.Barrier(16)

    def ask(name: int) -> None:
        barrier.wait()
        held(fallback, f"b{name}", 1, OPEN)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(store.calls) == asked + 1


def test_a_refused_request_that_the_store_took_all_the_same_leaks_nothing(
    store, fallback, clock
) -> None:
    held(fallback, "first", 0, CLOSED)
    store.loses_answers = True
    with pytest.raises(StoreDownError):
        reserve(fallback, "a", 60, CLOSED)
    assert store.standing(CLOSED.counter) == Standing(0, 60)
    assert fallback.health().waiting == 1

    come_back(store, clock, fallback)

    assert store.standing(CLOSED.counter) == Standing(0, 0)


def test_a_refused_request_that_is_asked_again_keeps_what_the_store_took(
    store, fallback, clock
) -> None:
    store.loses_answers = True
    with pytest.raises(StoreDownError):
        reserve(fallback, "a", 60, CLOSED)
    store.loses_answers = False
    clock.now += 0.5
    with pytest.raises(StoreDownError):
        reserve(fallback, "a", 60, CLOSED)
    assert fallback.health().waiting == 0
    clock.now += 0.5

    outcome = reserve(fallback, "a", 60, CLOSED)

    assert isinstance(outcome, Granted)
    assert outcome.is_again
    assert store.standing(CLOSED.counter) == Standing(0, 60)


@pytest.mark.parametrize("end", ["settled", "released"])
def test_an_admitted_request_that_the_store_took_too_ends_there(
    store, fallback, clock, end
) -> None:
    store.loses_answers = True
    hold = held(fallback, "a", 60, OPEN)
    if end == "settled":
        settle(fallback, hold, 40)
    else:
        assert fallback.release(hold)

    come_back(store, clock, fallback)

    assert store.standing(OPEN.counter) == Standing(40 if end == "settled" else 0, 0)


def test_a_release_of_what_the_store_never_knew_does_not_bother_it(store, fallback, clock) -> None:
    store.is_down = True
    held(fallback, "probe", 1, OPEN)
    hold = held(fallback, "a", 60, OPEN)

    assert fallback.release(hold)
    assert fallback.health().waiting == 0
    assert not any("release" in each for each in store.calls)


def test_what_was_held_before_the_outage_is_settled_and_released_after_it(
    store, fallback, clock
) -> None:
    settled, released = held(fallback, "a", 30, CLOSED), held(fallback, "b", 30, CLOSED)
    store.is_down = True

    assert settle(fallback, settled, 20).kind == "settled"
    assert fallback.release(released)
    assert not fallback.release(released)
    assert not fallback.release(settled)
    assert fallback.find("a") == settled

    come_back(store, clock, fallback)
    assert store.standing(CLOSED.counter) == Standing(20, 0)
    assert fallback.health().delivered == 2


def test_a_cost_that_waits_counts_once_and_another_one_is_a_mistake(store, fallback, clock) -> None:
    held_before = held(fallback, "a", 30, CLOSED)
    store.is_down = True
    for hold in (held_before, held(fallback, "b", 30, OPEN)):
        settle(fallback, hold, 20)

        assert settle(fallback, hold, 20).kind == "again"
        with pytest.raises(ReservationError):
            settle(fallback, hold, 21)
    assert fallback.health().waiting == 2

    come_back(store, clock, fallback)
    assert store.standing(CLOSED.counter) == Standing(20, 0)
    assert store.standing(OPEN.counter) == Standing(20, 0)


def test_a_cost_that_the_store_took_without_an_answer_counts_once(store, fallback, clock) -> None:
    hold = held(fallback, "a", 30, CLOSED)
    store.loses_answers = True
    assert settle(fallback, hold, 20) == Settled("settled")

    come_back(store, clock, fallback)

    assert store.standing(CLOSED.counter) == Standing(20, 0)


def test_steps_of_one_hold_keep_their_order(store, fallback, clock) -> None:
    hold = held(fallback, "a", 60, CLOSED)
    store.is_down = True
    settle(fallback, hold, 10, keep_nano_usd=50, part=1)
    store.is_down = False
    settle(fallback, hold, 20, keep_nano_usd=30, part=2)
    assert settle(fallback, hold, 20, keep_nano_usd=30, part=2).kind == "again"
    settle(fallback, hold, 5)
    assert [each for each in store.calls if each == "settle a"] == ["settle a"]

    come_back(store, clock, fallback)

    assert store.standing(CLOSED.counter) == Standing(35, 0)


def test_a_step_waits_behind_an_earlier_one_of_its_hold_although_the_store_is_back(
    store, fallback, clock
) -> None:
    hold = held(fallback, "a", 60, CLOSED)
    store.is_down = True
    fallback.settle(Settle(hold, 10, 50, 1))
    store.empty()
    store.is_down = False
    clock.now += 5.0
    fallback.hurry()
    wait_until(lambda: store.calls.count("settle a") == 2)
    store.within.reserve(_reserve("b", CLOSED, seeds={}))

    assert fallback.settle(Settle(hold, 20, 30, 2)).kind == "settled"
    clock.now += 1.0
    fallback.hurry()
    wait_until(lambda: not fallback.health().waiting)
    assert store.standing(CLOSED.counter) == Standing(30, 0)


def test_a_release_waits_behind_a_part_of_its_hold_although_the_store_is_back(
    store, fallback, clock
) -> None:
    hold = held(fallback, "a", 60, CLOSED)
    store.is_down = True
    fallback.settle(Settle(hold, 10, 50, 1))
    store.is_down = False
    clock.now += 5.0
    store.within.reserve(_reserve("b", CLOSED, seeds={}))
    calls = len(store.calls)

    assert fallback.release(hold)
    wait_until(lambda: not fallback.health().waiting)
    assert store.calls[calls:] == ["settle a", "release a"]
    assert store.standing(CLOSED.counter) == Standing(10, 0)


def test_what_was_refused_is_no_reservation(store, fallback) -> None:
    store.loses_answers = True
    with pytest.raises(StoreDownError):
        reserve(fallback, "a", 60, CLOSED)

    with pytest.raises(UnavailableError):
        fallback.find("a")


def test_a_share_knows_the_cost_of_what_was_settled_after_the_outage(
    store, fallback, clock
) -> None:
    store.is_down = True
    hold = held(fallback, "a", 30, SHARED)
    come_back(store, clock, fallback)
    held(fallback, "probe", 0, SHARED)
    settle(fallback, hold, 5)
    store.is_down = True

    held(fallback, "b", 25, SHARED)
    with pytest.raises(StoreDownError):
        reserve(fallback, "c", 1, SHARED)


def test_an_id_that_was_admitted_is_known_during_and_after_the_outage(
    store, fallback, clock
) -> None:
    store.is_down = True
    hold = held(fallback, "a", 60, OPEN, SHARED._replace(local_share_percent=100))
    assert fallback.find("a") == hold
    assert reserve(fallback, "a", 60, *hold.levels).is_again
    come_back(store, clock, fallback)

    again = reserve(fallback, "a", 60, *hold.levels)
    assert again == Granted(hold, (Standing(0, 60),) * 2, is_again=True)
    with pytest.raises(ReservationError):
        reserve(fallback, "a", 61, *hold.levels)
    settle(fallback, hold, 5)
    assert fallback.find("a") == hold
    assert store.standing(OPEN.counter) == Standing(5, 0)


def test_what_the_store_was_told_is_asked_of_it_again(store, fallback, clock) -> None:
    store.is_down = True
    settle(fallback, held(fallback, "a", 60, OPEN), 5)
    assert fallback.find("a")
    come_back(store, clock, fallback)

    assert fallback.find("a")
    assert store.calls[-1] == "find a"


def test_beyond_its_bound_the_oldest_waiting_cost_is_dropped_and_said(store, clock, caplog) -> None:
    fallback = Fallback(store, clock=clock, most_waiting=3)
    holds = [held(fallback, f"a{number}", 1, CLOSED) for number in range(5)]
    store.is_down = True
    for each in holds:
        settle(fallback, each, 1)

    assert (fallback.health().waiting, fallback.health().dropped) == (3, 2)
    assert "reservation a0" in caplog.text
    come_back(store, clock, fallback)
    assert store.standing(CLOSED.counter) == Standing(3, 2)
    fallback.close()


def test_a_counter_that_was_lost_lets_other_costs_pass_until_somebody_seeds_it(
    store, fallback, clock
) -> None:
    lost, kept = held(fallback, "a", 5, OPEN), held(fallback, "b", 5, CLOSED)
    store.is_down = True
    fallback.settle(Settle(lost, 3, 1, 1))
    fallback.settle(Settle(lost, 1))
    fallback.settle(Settle(kept, 4))
    store.empty()
    store.within.reserve(_reserve("c", CLOSED, seeds={CLOSED.counter: 50}))
    store.is_down = False
    clock.now += 5.0
    fallback.hurry()
    wait_until(lambda: fallback.health().delivered == 1)
    assert store.standing(CLOSED.counter) == Standing(54, 0)
    assert store.standing(OPEN.counter) is None

    reserve(fallback, "d", 0, OPEN, seeds={OPEN.counter: 70})
    clock.now += 1.0
    wait_until(lambda: not fallback.health().waiting)
    assert store.standing(OPEN.counter) == Standing(74, 0)


def test_a_cost_on_a_counter_that_never_comes_back_is_left_to_the_ledger(
    store, fallback, clock
) -> None:
    hold = held(fallback, "a", 5, OPEN, CLOSED)
    store.is_down = True
    fallback.settle(Settle(hold, 3))
    store.empty()
    store.within.reserve(_reserve("c", CLOSED, seeds={CLOSED.counter: 50}))
    store.is_down = False
    clock.now += 5.0
    fallback.hurry()
    wait_until(lambda: store.calls.count("settle a") == 2)
    store_knew = store.standing(OPEN.counter)
    for _ in range(10):
        clock.now += 10.0
        fallback.turn()

    assert store.standing(CLOSED.counter) == Standing(53, 0)
    assert store_knew is None
    assert store.standing(OPEN.counter) is None
    assert (fallback.health().left_to_ledger, fallback.health().waiting) == (1, 0)


def test_a_cost_that_the_store_rejects_is_said_and_holds_up_no_other(
    store, fallback, clock, caplog
) -> None:
    first, second = held(fallback, "a", 5, CLOSED), held(fallback, "b", 5, CLOSED)
    store.is_down = True
    settle(fallback, first, 3)
    settle(fallback, second, 4)
    store.within.settle(Settle(first, 1, seeds={}))

    come_back(store, clock, fallback)

    assert store.standing(CLOSED.counter) == Standing(5, 0)
    assert (fallback.health().rejected, fallback.health().delivered) == (1, 1)
    assert "reservation a" in caplog.text


def test_the_log_says_when_it_begins_each_minute_and_when_it_ends(
    store, fallback, clock, caplog
) -> None:
    caplog.set_level(logging.WARNING)
    store.is_down = True
    for number in range(150):
        held(fallback, f"a{number}", 1, OPEN)
        clock.now += 1.0
    come_back(store, clock, fallback)
    held(fallback, "b", 1, OPEN)

    said = [each.getMessage() for each in caplog.records]
    assert "Fragile is down" in said[0]
    assert "it is down" in said[0]
    assert ["still down" in each for each in said[1:-1]] == [True, True]
    assert "121 requests admitted without a check" in said[2]
    assert "is back" in said[-1]
    assert {each.levelname for each in caplog.records} == {"WARNING"}


def test_closing_delivers_what_waits(store, clock) -> None:
    fallback = Fallback(store, clock=clock)
    hold = held(fallback, "a", 5, CLOSED)
    store.is_down = True
    settle(fallback, hold, 3)
    store.is_down = False

    fallback.close()

    assert store.standing(CLOSED.counter) == Standing(3, 0)
    assert store.is_closed


def test_closing_while_the_store_is_down_says_what_is_lost(store, clock, caplog) -> None:
    fallback = Fallback(store, clock=clock)
    hold = held(fallback, "a", 5, CLOSED)
    store.is_down = True
    settle(fallback, hold, 3)

    fallback.close(0.3)

    assert "not told of 1 settled or released" in caplog.text
    assert store.is_closed
    with pytest.raises(UnavailableError, match="closed"):
        settle(fallback, held(fallback, "b", 1, OPEN), 1)


def test_a_forked_child_leaves_what_waits_to_its_parent(store, fallback) -> None:
    hold = held(fallback, "a", 5, CLOSED)
    store.is_down = True
    settle(fallback, hold, 3)

    fallback.begin_anew()

    assert fallback.health() == StoreHealth()


def test_reading_is_refused_at_once_while_the_store_is_down(store, fallback) -> None:
    store.is_down = True
    for _ in range(3):
        with pytest.raises(UnavailableError):
            fallback.look([CLOSED.counter])
        with pytest.raises(UnavailableError):
            fallback.find("a")

    assert len(store.calls) == 1


def test_a_leased_store_goes_on_with_what_it_has_borrowed(store, clock) -> None:
    wide = a_level("wide", 10**6, when_down="fail_closed")
    leased = LeasedStore(store)
    fallback = Fallback(leased, clock=clock)
    for number in range(50):
        held(fallback, f"a{number}", 1, wide)
    store.is_down = True
    with pytest.raises(UnavailableError):
        fallback.look([wide.counter])

    hold = held(fallback, "b", 1, wide)
    assert settle(fallback, hold, 1).kind == "settled"
    assert fallback.release(held(fallback, "c", 1, wide))
    assert fallback.health() == StoreHealth(is_down=True, outages=1, failures=1)
    store.is_down = False
    fallback.close()


def test_what_a_leased_store_answers_by_itself_is_no_sign_that_the_store_is_up(
    store, clock
) -> None:
    wide = a_level("wide", 10**6, when_down="fail_closed")
    fallback = Fallback(LeasedStore(store), clock=clock)
    for number in range(50):
        held(fallback, f"a{number}", 1, wide)
    store.is_down = True
    with pytest.raises(UnavailableError):
        fallback.look([wide.counter])
    clock.now += 10

    hold = held(fallback, "b", 1, wide)
    settle(fallback, hold, 1)
    fallback.release(held(fallback, "c", 1, wide))
    assert fallback.health().is_down

    store.is_down = False
    fallback.look([wide.counter])
    assert not fallback.health().is_down
    fallback.close()


def _reserve(hold_id, level, *, seeds):
    return Reserve(hold_id, 0, 0, (level,), seeds=seeds)
