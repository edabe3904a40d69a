"""What every store that takes rates promises about dollars within any 60 seconds."""

from __future__ import annotations

import pytest
from contract.guard.steps import held, level, rate, refused, reserve, settle
from contract.guard.stores import Rig

from spendfuse.guard.step import Granted, Standing


def test_a_rate_refuses_what_would_be_too_much_within_a_minute(rig: Rig) -> None:
    held(rig, "a", 60, level(limit=1_000), rates=(rate(),))

    outcome = refused(rig, "b", 41, level(limit=1_000), rates=(rate(),))

    assert outcome.standings == (Standing(0, 60),)
    assert len(outcome.rate_waits) == 1
    assert 55 <= outcome.rate_waits[0] <= 65
    assert rig.held(level().counter) == 60
    held(rig, "c", 40, level(limit=1_000), rates=(rate(),))


def test_a_request_of_rates_alone_is_counted(rig: Rig) -> None:
    held(rig, "a", 60, rates=(rate(),))

    assert refused(rig, "b", 41, rates=(rate(),)).standings == ()


def test_what_is_above_a_rate_never_fits(rig: Rig) -> None:
    assert refused(rig, "a", 101, level(), rates=(rate(),)).rate_waits == (-1.0,)


def test_nothing_costs_nothing_in_any_minute(rig: Rig) -> None:
    settle(rig, held(rig, "a", 100, rates=(rate(),)), 300)

    held(rig, "b", 0, rates=(rate(), rate("none", 0)))


def test_each_rate_says_how_long_it_is_and_the_others_count_nothing(rig: Rig) -> None:
    slow, wide = rate("slow", 50), rate("wide", 1_000)
    held(rig, "a", 40, rates=(slow,))

    outcome = refused(rig, "b", 20, rates=(wide, slow, rate("small", 10)))

    assert outcome.rate_waits[0] == 0
    assert outcome.rate_waits[1] > 0
    assert outcome.rate_waits[2] == -1
    held(rig, "c", 1_000, rates=(wide,))


def test_a_budget_that_refuses_counts_in_no_rate(rig: Rig) -> None:
    outcome = refused(rig, "a", 60, level(limit=50), rates=(rate(),))

    assert outcome.rate_waits == (0.0,)
    held(rig, "b", 100, rates=(rate(),))


def test_the_same_id_again_counts_once_in_a_rate(rig: Rig) -> None:
    held(rig, "a", 60, rates=(rate(),))

    outcome = reserve(rig, "a", 60, rates=(rate(),))

    assert isinstance(outcome, Granted)
    assert outcome.is_again
    held(rig, "b", 40, rates=(rate(),))


def test_a_lowered_request_counts_as_lowered(rig: Rig) -> None:
    held(rig, "a", 60, level(limit=30, mode="fit"), least=1, rates=(rate(),))

    held(rig, "b", 70, rates=(rate(),))


@pytest.mark.parametrize(("cost", "room"), [(0, 100), (25, 75), (60, 40), (90, 10), (130, 0)])
def test_a_rate_counts_what_a_request_really_cost(rig: Rig, cost: int, room: int) -> None:
    settle(rig, held(rig, "a", 60, rates=(rate(),)), cost)

    refused(rig, "b", room + 1, rates=(rate(),))
    held(rig, "c", room, rates=(rate(),))


def test_a_release_gives_a_rate_back_what_was_held(rig: Rig) -> None:
    hold = held(rig, "a", 60, rates=(rate(),))

    assert rig.store.release(hold)
    held(rig, "b", 100, rates=(rate(),))


def test_a_cost_after_the_release_counts_in_the_rate_too(rig: Rig) -> None:
    hold = held(rig, "a", 60, rates=(rate(),))
    rig.store.release(hold)

    assert settle(rig, hold, 25).kind == "late"
    refused(rig, "b", 76, rates=(rate(),))
    held(rig, "c", 75, rates=(rate(),))


def test_a_repeated_settle_or_release_corrects_a_rate_once(rig: Rig) -> None:
    first, second = (held(rig, each, 50, rates=(rate(),)) for each in "ab")
    settle(rig, first, 30)
    settle(rig, first, 30)
    rig.store.release(second)
    rig.store.release(second)

    refused(rig, "c", 71, rates=(rate(),))
    held(rig, "d", 70, rates=(rate(),))


def test_a_part_and_what_it_keeps_count_together(rig: Rig) -> None:
    hold = held(rig, "a", 60, rates=(rate(),))

    settle(rig, hold, 25, keep=20, part=1)
    refused(rig, "b", 56, rates=(rate(),))

    settle(rig, hold, 5)
    refused(rig, "c", 71, rates=(rate(),))
    held(rig, "d", 70, rates=(rate(),))


def test_a_rate_is_one_users_own(rig: Rig) -> None:
    held(rig, "a", 100, rates=(rate("user", value="x"),))

    held(rig, "b", 100, rates=(rate("user", value="y"),))
    refused(rig, "c", 1, rates=(rate("user", value="x"),))


def test_a_lowered_rate_counts_at_once(rig: Rig) -> None:
    held(rig, "a", 60, rates=(rate(limit=100),))

    refused(rig, "b", 1, rates=(rate(limit=60),))
    held(rig, "c", 60, rates=(rate(limit=120),))


def test_a_rate_that_was_full_has_room_when_it_said_so(rig: Rig) -> None:
    held(rig, "a", 60, rates=(rate(),))
    rig.wait(30)
    held(rig, "b", 40, rates=(rate(),))

    waits = refused(rig, "c", 50, rates=(rate(),)).rate_waits

    rig.wait(waits[0] - 0.1)
    refused(rig, "c", 50, rates=(rate(),))
    rig.wait(0.1)
    held(rig, "c", 50, rates=(rate(),))
    refused(rig, "d", 11, rates=(rate(),))


def test_a_settle_after_the_minute_changes_no_window(rig: Rig) -> None:
    hold = held(rig, "a", 60, rates=(rate(),))
    rig.wait(66)

    settle(rig, hold, 10)

    refused(rig, "b", 101, rates=(rate(),))
    held(rig, "c", 100, rates=(rate(),))
    refused(rig, "d", 1, rates=(rate(),))
