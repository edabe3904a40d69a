"""How a reservation ends by itself: as the meter says, or as its ``with`` ended."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import suppress
from contextvars import copy_context

import pytest
from unit.guard.guards import (
    FarStore,
    book,
    call,
    held,
    limit,
    spent,
    tracker,
    unpriced_call,
)

from spendfuse.guard import BudgetExceededError, Guard, ReservationError
from spendfuse.guard.inside import Inside
from spendfuse.guard.settling import Ending
from spendfuse.guard.step import Hold
from spendfuse.metering import attributed, report_usage, track_llm_cost
from spendfuse.metering.usage import Usage

COST = 0.0125


def a_guard(*budgets, **options) -> Guard:
    return Guard(list(budgets or [limit()]), prices=book(), **options)


def test_what_the_meter_records_inside_is_settled() -> None:
    guard = a_guard()

    with guard.reserve("0.5"):
        call()
        call()

    assert (spent(guard), held(guard)) == (0.025, 0)
    assert guard.health().unreported == 0


def test_what_the_meter_records_outside_is_not() -> None:
    guard = a_guard()
    with guard.reserve("0.5"):
        call()

    call()

    assert spent(guard) == COST


def test_attributes_set_inside_keep_it_listening() -> None:
    guard = a_guard()

    with guard.reserve("0.5"), attributed(user="u1", chunks=4):
        call()

    assert spent(guard) == COST


def test_a_call_without_a_price_costs_at_least_what_was_held() -> None:
    guard = a_guard()
    with guard.reserve("0.005"):
        call()
        unpriced_call()
    with guard.reserve("0.5"):
        call()
        unpriced_call()

    assert spent(guard) == 0.5125


def test_a_call_that_nobody_reported_costs_its_estimate(caplog) -> None:
    guard = a_guard()

    for _ in range(2):
        with guard.reserve("0.2"):
            pass

    assert spent(guard) == 0.4
    assert guard.health().unreported == 2
    assert caplog.text.count("report_usage") == 1


def test_an_answer_from_a_cache_costs_nothing() -> None:
    guard = a_guard()

    with guard.reserve("0.2"):
        call(cached=True)

    assert (spent(guard), held(guard)) == (0, 0)
    assert guard.health().unreported == 0


def test_an_error_before_any_call_releases() -> None:
    guard = a_guard()

    with pytest.raises(ValueError, match="mine"), guard.reserve("0.2"):
        raise ValueError("mine")

    assert (spent(guard), held(guard)) == (0, 0)
    assert guard.health().released == 1


def test_an_error_after_a_call_settles_the_call() -> None:
    guard = a_guard()

    with suppress(ValueError), guard.reserve("0.2"):
        call()
        raise ValueError

    assert (spent(guard), held(guard)) == (COST, 0)


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt])
def test_a_cancelled_call_costs_its_input(error) -> None:
    guard = a_guard()

    with pytest.raises(error), guard.reserve(model="gpt-4o", prompt=10_000, max_tokens=1000):
        raise error

    assert (spent(guard), held(guard)) == (0.025, 0)


def test_a_cancelled_call_estimated_in_dollars_costs_all_of_it() -> None:
    guard = a_guard()

    with pytest.raises(asyncio.CancelledError), guard.reserve("0.2"):
        raise asyncio.CancelledError

    assert spent(guard) == 0.2


def test_a_cancelled_call_costs_what_the_meter_recorded_of_it() -> None:
    guard = a_guard()

    with suppress(asyncio.CancelledError), guard.reserve("0.2"):
        call(status="cancelled")
        raise asyncio.CancelledError

    assert spent(guard) == COST


def test_settling_inside_wins() -> None:
    guard = a_guard()

    with guard.reserve("0.2") as reservation:
        reservation.settle("0.1")
        call()
    failing = guard.reserve("0.2")
    with suppress(ValueError), failing:
        guard.settle(failing, "0.03")
        raise ValueError

    assert (spent(guard), held(guard)) == (0.13, 0)


def test_releasing_inside_wins() -> None:
    guard = a_guard()

    with guard.reserve("0.2") as reservation:
        call()
        reservation.release()

    assert (spent(guard), held(guard)) == (0, 0)


def test_a_settle_that_the_store_did_not_take_is_repeated_at_the_end() -> None:
    store = FarStore()
    guard = a_guard(store=store)

    with guard.reserve("0.2") as reservation:
        store.is_down = True
        with pytest.raises(Exception, match="refused the connection"):
            reservation.settle("0.1")
        call()
        store.is_down = False

    assert (spent(guard), held(guard)) == (0.1, 0)


def test_a_store_that_is_down_at_the_end_breaks_no_request(caplog) -> None:
    store = FarStore()
    guard = a_guard(store=store)

    with guard.reserve("0.2") as reservation:
        call()
        store.is_down = True

    assert guard.health().store_failures == 1
    assert reservation.id in caplog.text


def test_a_reservation_is_entered_once() -> None:
    reservation = a_guard().reserve("0.2")
    with reservation:
        call()

    with pytest.raises(ReservationError), reservation:
        pass


def test_a_reservation_is_entered_by_one_at_a_time() -> None:
    guard = a_guard()
    reservation = guard.reserve("0.2")

    with reservation:
        with pytest.raises(ReservationError, match="entered already"), reservation:
            pass
        call()

    assert (spent(guard), held(guard)) == (COST, 0)


def test_what_reserves_when_it_is_entered_is_entered_by_one_at_a_time() -> None:
    guard = a_guard()
    shared = guard.reserving("0.2")

    async def work() -> None:
        async with shared:
            with pytest.raises(ReservationError, match="for each request"):
                async with shared:
                    pass
            with pytest.raises(ReservationError, match="for each request"), shared:
                pass
            call()
        # One after the other is fine, and a refusal is no entering.
        for _ in range(2):
            with pytest.raises(BudgetExceededError):
                await guard.reserving("2").__aenter__()
        too_much = guard.reserving("2")
        for _ in range(2):
            with pytest.raises(BudgetExceededError), too_much:
                pass
            with pytest.raises(BudgetExceededError):
                await too_much.__aenter__()
        with shared:
            call()

    asyncio.run(work())

    # Else the hold of the first would have been lost, and nothing charged for it.
    assert (spent(guard), held(guard)) == (2 * COST, 0)


def test_a_stream_that_is_collected_while_its_reservation_ends_is_heard() -> None:
    settling = a_guard().settling
    record = tracker().track("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))
    ending: list[object] = []

    def cut_off() -> int:
        # Stands for the garbage collector, which may find an abandoned stream anywhere.
        inside.hear(record)
        return 7

    inside = Inside(Hold("a", 60, ()), settling, cut_off)
    thread = threading.Thread(
        target=lambda: ending.append(inside.end(KeyboardInterrupt())), daemon=True
    )
    thread.start()
    thread.join(20)

    assert ending == [Ending(record.cost_nano_usd)]


def test_calls_in_threads_that_copy_the_context_are_heard() -> None:
    guard = a_guard()

    with guard.reserve("0.2"):
        contexts = [copy_context() for _ in range(8)]
        threads = [threading.Thread(target=each.run, args=(call,)) for each in contexts]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert spent(guard) == 0.1


def test_calls_in_tasks_started_inside_are_heard() -> None:
    guard = a_guard()

    async def work() -> None:
        async with guard.reserving("0.2"):
            await asyncio.gather(asyncio.to_thread(call), asyncio.to_thread(call))

    asyncio.run(work())

    assert spent(guard) == 0.025


def test_one_of_two_tasks_hears_only_its_own() -> None:
    guard = a_guard(limit(per="user"))

    async def work(user: str, tokens: int) -> None:
        async with guard.reserving("0.2", user=user):
            await asyncio.sleep(0)
            call(tokens=tokens)
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work("u1", 1000), work("u2", 2000))

    asyncio.run(both())

    assert (spent(guard, user="u1"), spent(guard, user="u2")) == (COST, 0.025)


def test_a_record_after_the_end_is_charged_on_top() -> None:
    guard = a_guard()
    with guard.reserve("0.2"):
        inside = copy_context()
        call()

    inside.run(call)
    inside.run(call, cached=True)
    inside.run(call)

    assert spent(guard) == 0.0375
    assert guard.health().late == 2


def test_a_late_record_replaces_the_guess_as_far_as_it_can() -> None:
    guard = a_guard()
    with guard.reserve("0.02"):
        inside = copy_context()

    inside.run(call)
    after_one = spent(guard)
    inside.run(call)

    assert (after_one, spent(guard)) == (0.02, 0.025)


def test_a_late_record_without_a_price_makes_it_the_estimate() -> None:
    guard = a_guard()
    with guard.reserve("0.2"):
        inside = copy_context()
        call()

    inside.run(unpriced_call)
    inside.run(unpriced_call)

    assert spent(guard) == 0.2


def test_a_late_record_after_a_release_is_charged() -> None:
    guard = a_guard()
    with suppress(ValueError), guard.reserve("0.2"):
        inside = copy_context()
        raise ValueError

    inside.run(call)

    assert (spent(guard), held(guard)) == (COST, 0)


def test_a_late_record_changes_nothing_where_the_app_settled() -> None:
    guard = a_guard()
    with guard.reserve("0.2") as reservation:
        inside = copy_context()
        reservation.settle("0.1")

    inside.run(call)

    assert spent(guard) == 0.1


def test_a_late_record_never_waits_for_a_far_store() -> None:
    store = FarStore()
    guard = a_guard(store=store)
    with guard.reserve("0.2"):
        inside = copy_context()
        call()

    store.answers.clear()
    inside.run(call)
    store.answers.set()
    guard._workers.close()

    assert spent(guard) == 0.025


def test_reports_that_wait_for_the_middleware_are_waited_for() -> None:
    guard = a_guard()

    @track_llm_cost(tracker=tracker())
    def handler() -> float:
        with guard.reserve("0.2"):
            report_usage("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))
        report_usage("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))
        return held(guard)

    while_waiting = handler()

    assert while_waiting == 0.2
    assert (spent(guard), held(guard)) == (COST, 0)
    assert guard.health().unreported == 0


def test_an_error_waits_for_reports_too() -> None:
    guard = a_guard()

    @track_llm_cost(tracker=tracker())
    def handler() -> None:
        with guard.reserve("0.2"):
            report_usage("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        handler()

    assert (spent(guard), held(guard)) == (COST, 0)


def test_reports_settled_by_the_app_change_nothing_when_they_arrive() -> None:
    guard = a_guard()

    @track_llm_cost(tracker=tracker())
    def handler() -> None:
        with guard.reserve("0.2") as reservation:
            report_usage("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))
            reservation.settle("0.1")

    handler()

    assert (spent(guard), held(guard)) == (0.1, 0)


def test_of_reservations_within_each_other_the_innermost_pays() -> None:
    guard = a_guard(limit(9))

    with guard.reserve("1"):
        call()
        with guard.reserve("0.2"):
            call(tokens=2000)
        call()

    assert (spent(guard), held(guard)) == (0.05, 0)


def test_an_outer_reservation_whose_calls_were_paid_within_costs_nothing() -> None:
    guard = a_guard(limit(9))

    with guard.reserve("1"), guard.reserve("0.2"):
        call()

    assert (spent(guard), held(guard)) == (COST, 0)


def test_guards_beside_each_other_both_hear() -> None:
    first, second = a_guard(), a_guard()

    with first.reserve("0.2"), second.reserve("0.2"):
        call()

    assert (spent(first), spent(second)) == (COST, COST)


def test_a_late_record_after_the_guard_is_closed_is_charged_all_the_same() -> None:
    guard = a_guard(store=FarStore())
    with guard.reserve("0.2"):
        inside = copy_context()
        call()
    guard.close()

    inside.run(call)

    assert spent(guard) == 0.025


class _Broken(FarStore):
    """A store with a mistake in it."""

    is_local = True

    def settle(self, step):
        raise KeyError("mine")


def test_a_store_s_mistake_breaks_no_call_of_the_meter(caplog) -> None:
    guard = a_guard(store=_Broken())
    with suppress(KeyError), guard.reserve("0.2"):
        inside = copy_context()

    @track_llm_cost(tracker=tracker())
    def handler() -> str:
        with guard.reserve("0.2"):
            report_usage("gpt-4o", Usage(input_tokens=1000))
        return "answer"

    inside.run(call, tokens=100_000)

    assert handler() == "answer"
    assert caplog.text.count("a listener failed") == 2


def test_an_outer_reservation_knows_of_reports_that_wait() -> None:
    guard = a_guard(limit(9))

    @track_llm_cost(tracker=tracker())
    def handler() -> None:
        with guard.reserve("1"), guard.reserve("0.2"):
            report_usage("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))

    handler()

    assert (spent(guard), held(guard)) == (0.0125, 0)


def test_an_outer_reservation_knows_of_an_inner_one_that_still_runs() -> None:
    guard = a_guard(limit(9))
    inner = guard.reserve("0.2")

    with guard.reserve("1"), inner.listening():
        call()
    inner.end(None)

    assert (spent(guard), held(guard)) == (0.0125, 0)


def test_an_outer_reservation_costs_nothing_where_the_app_settled_the_inner_one() -> None:
    guard = a_guard(limit(9))

    with guard.reserve("1"), guard.reserve("0.2") as inner:
        inner.settle("0.1")

    assert (spent(guard), held(guard)) == (0.1, 0)


def test_an_outer_reservation_pays_for_itself_where_the_inner_one_was_released() -> None:
    guard = a_guard(limit(9))

    with guard.reserve("1"), suppress(ValueError), guard.reserve("0.2"):
        raise ValueError

    assert (spent(guard), held(guard)) == (1, 0)


def test_an_outer_reservation_pays_for_itself_where_the_app_released_the_inner_one() -> None:
    guard = a_guard(limit(9))

    with guard.reserve("1"), guard.reserve("0.2") as inner:
        inner.release()

    assert (spent(guard), held(guard)) == (1, 0)


def test_settling_after_the_end_wins_over_reports_that_wait(caplog) -> None:
    guard = a_guard()

    @track_llm_cost(tracker=tracker())
    def handler() -> None:
        with guard.reserve("0.2") as reservation:
            report_usage("gpt-4o", Usage(input_tokens=1000, output_tokens=1000))
        reservation.settle("0.1")

    handler()

    assert (spent(guard), held(guard)) == (0.1, 0)
    assert not caplog.text


def test_an_ended_reservation_is_freed() -> None:
    guard = a_guard()
    with guard.reserve("0.2"):
        call()
    gc.collect()

    assert not [each for each in gc.get_objects() if isinstance(each, Inside)]
