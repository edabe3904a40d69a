"""What every store promises about time: a hold ends by itself, and a late cost still counts."""

from __future__ import annotations

import pytest
from contract.guard.steps import held, level, refused, settle
from contract.guard.stores import Rig

from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import Granted, Hold, Reserve, Standing
from spendfuse.guard.store import LATE_SECONDS, REMEMBERED_SECONDS


def test_a_hold_ends_by_itself_on_every_level(rig: Rig) -> None:
    root, team = level("root"), level("team")
    held(rig, "a", 60, root, team, seconds=rig.brief_seconds)
    held(rig, "b", 10, root)
    assert rig.look(root.counter, team.counter) == [Standing(0, 70), Standing(0, 60)]

    rig.wait(rig.brief_seconds)

    assert rig.look(root.counter, team.counter) == [Standing(0, 10), Standing(0, 0)]


def test_a_hold_does_not_end_before_its_time(rig: Rig) -> None:
    held(rig, "a", 60, level(), seconds=rig.brief_seconds + 20)
    rig.wait(rig.brief_seconds)

    refused(rig, "b", 41, level())
    assert rig.held(level().counter) == 60


def test_what_ended_is_room_for_the_next_reservation(rig: Rig) -> None:
    for each in range(40):
        held(rig, f"a{each}", 2, level(), level("team"), seconds=rig.brief_seconds)
    refused(rig, "b", 21, level())
    rig.wait(rig.brief_seconds)

    held(rig, "b", 100, level())

    assert rig.look(level().counter, level("team").counter) == [Standing(0, 100), Standing(0, 0)]


def test_what_ended_is_no_reason_for_a_refusal_of_other_counters(rig: Rig) -> None:
    held(rig, "a", 60, level(), level("team"), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds)

    assert refused(rig, "b", 101, level("team")).standings == (Standing(0, 0),)


def test_holds_end_in_the_order_of_their_ends_not_of_their_beginnings(rig: Rig) -> None:
    held(rig, "long", 60, level(), seconds=rig.brief_seconds * 100)
    held(rig, "brief", 30, level(), seconds=rig.brief_seconds)

    rig.wait(rig.brief_seconds)

    assert rig.held(level().counter) == 60


def test_a_killed_worker_leaks_nothing(rig: Rig) -> None:
    if rig.another is None:
        pytest.skip("its counters end with its process")
    worker = rig.another()
    step = Reserve("a", 60, 60, (level(), level("team")), (), rig.brief_seconds, {})
    assert isinstance(worker.reserve(step), Granted)
    refused(rig, "b", 41, level())

    rig.wait(rig.brief_seconds)

    held(rig, "c", 100, level(), level("team"))
    worker.close()


def test_a_cost_that_comes_after_the_hold_ended_counts(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), level("team"), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds)

    assert settle(rig, hold, 25).kind == "late"
    assert settle(rig, hold, 25).kind == "again"
    assert rig.look(level().counter, level("team").counter) == [Standing(25, 0)] * 2
    with pytest.raises(ReservationError):
        settle(rig, hold, 26)


def test_a_late_cost_counts_though_others_took_the_room_meanwhile(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds)
    settle(rig, held(rig, "b", 100, level()), 100)

    settle(rig, hold, 60)

    assert rig.spent(level().counter) == 160
    refused(rig, "c", 1, level())


def test_an_ended_hold_is_found_by_its_bare_id_and_settled(rig: Rig) -> None:
    held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds)

    found = rig.store.find("a")

    assert found is not None
    assert settle(rig, found, 25).kind == "late"
    assert rig.spent(level().counter) == 25


def test_an_ended_hold_can_not_be_released(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds)

    assert not rig.store.release(hold)
    assert rig.held(level().counter) == 0
    assert settle(rig, hold, 25).kind == "late"


def test_a_part_gives_the_rest_another_hold_time(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    rig.let_pass(rig.brief_seconds * 0.6)
    settle(rig, hold, 25, keep=35, part=1, seconds=rig.brief_seconds)
    rig.let_pass(rig.brief_seconds * 0.6)
    assert rig.look(level().counter) == [Standing(25, 35)]

    rig.wait(rig.brief_seconds * 0.5)

    assert rig.look(level().counter) == [Standing(25, 0)]
    assert settle(rig, hold, 5).kind == "late"
    assert rig.spent(level().counter) == 30


def test_a_part_may_shorten_the_time_of_the_rest(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), seconds=600)
    settle(rig, hold, 25, keep=35, part=1, seconds=rig.brief_seconds)

    rig.wait(rig.brief_seconds)

    assert rig.look(level().counter) == [Standing(25, 0)]


def test_a_part_that_comes_after_the_end_counts_and_keeps_nothing(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds)

    assert settle(rig, hold, 25, keep=35, part=1).kind == "late"
    assert settle(rig, hold, 25, keep=35, part=1).kind == "again"
    assert settle(rig, hold, 10).kind == "late"
    assert rig.look(level().counter) == [Standing(35, 0)]


@pytest.mark.parametrize("end", ["expired", "lost"])
def test_after_a_late_part_the_rest_may_come_within_a_day(rig: Rig, end: str) -> None:
    hold = Hold("a", 60, (level(),))
    if end == "expired":
        hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
        rig.wait(rig.brief_seconds)
    settle(rig, hold, 25, keep=35, part=1, seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds + REMEMBERED_SECONDS + 60)

    found = rig.store.find("a")

    assert found is not None
    assert settle(rig, found, 25, keep=35, part=1).kind == "again"
    assert settle(rig, found, 10).kind == "late"
    assert rig.look(level().counter) == [Standing(35, 0)]


def test_a_finished_id_is_remembered_for_its_time(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    settle(rig, hold, 25)
    gone = held(rig, "b", 60, level(), seconds=rig.brief_seconds)
    rig.store.release(gone)

    rig.wait(REMEMBERED_SECONDS - 10 - rig.slack_seconds)

    assert settle(rig, hold, 25).kind == "again"
    assert rig.store.find("b") is not None
    assert rig.look(level().counter) == [Standing(25, 0)]


def test_an_ended_hold_is_remembered_for_a_day(rig: Rig) -> None:
    held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    rig.wait(rig.brief_seconds + LATE_SECONDS - 10 - rig.slack_seconds)

    found = rig.store.find("a")

    assert found is not None
    assert settle(rig, found, 25).kind == "late"
    assert rig.spent(level().counter) == 25
