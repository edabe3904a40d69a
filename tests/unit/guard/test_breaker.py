from __future__ import annotations

import pytest
from unit.guard.fragile_store import HandClock

from spendfuse.guard.outage.breaker import Breaker


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def breaker(clock) -> Breaker:
    return Breaker(clock)


def begun(breaker: Breaker) -> int:
    attempt = breaker.begin()
    assert attempt is not None
    return attempt


def test_all_may_ask_a_store_that_is_up(breaker) -> None:
    assert {begun(breaker) for _ in range(3)} == {0}
    assert not breaker.succeed(0)
    assert breaker.seconds_until_asked() == 0


def test_requests_that_fail_together_are_one_failure(breaker, clock) -> None:
    attempts = [begun(breaker) for _ in range(5)]

    assert [breaker.fail(each) for each in attempts] == [True, False, False, False, False]
    assert breaker.seconds_until_asked() == 1.0
    assert breaker.outages == 1


def test_while_one_tries_the_others_do_not(breaker, clock) -> None:
    breaker.fail(begun(breaker))
    assert breaker.begin() is None
    clock.now += 1.0

    begun(breaker)
    assert breaker.begin() is None


def test_one_that_tried_and_never_said_how_it_went_is_followed_by_another(breaker, clock) -> None:
    breaker.fail(begun(breaker))
    clock.now += 1.0
    begun(breaker)
    clock.now += 1.0

    begun(breaker)


def test_an_answer_from_before_the_outage_does_not_end_it(breaker, clock) -> None:
    slow, quick = begun(breaker), begun(breaker)
    breaker.fail(quick)

    assert not breaker.succeed(slow)
    assert breaker.is_down


def test_a_failure_from_before_the_recovery_begins_no_outage(breaker, clock) -> None:
    slow = begun(breaker)
    breaker.fail(begun(breaker))
    clock.now += 1.0
    assert breaker.succeed(begun(breaker))

    assert not breaker.fail(slow)
    assert not breaker.is_down


def test_after_a_recovery_the_pauses_begin_small_again(breaker, clock) -> None:
    breaker.fail(begun(breaker))
    for _ in range(3):
        clock.now += 5.0
        breaker.fail(begun(breaker))
    clock.now += 5.0
    breaker.succeed(begun(breaker))
    breaker.fail(begun(breaker))

    assert breaker.seconds_until_asked() == 1.0
