"""What every store promises about settling, releasing and finding."""

from __future__ import annotations

import pytest
from contract.guard.steps import held, level, refused, reserve, settle
from contract.guard.stores import Rig

from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import Granted, Hold, Settle, Standing, Unseeded


def test_a_settle_charges_the_cost_and_lets_go_of_the_rest(rig: Rig) -> None:
    root, team = level("root"), level("team")
    hold = held(rig, "a", 60, root, team)

    assert settle(rig, hold, 25).kind == "settled"
    assert rig.look(root.counter, team.counter) == [Standing(25, 0), Standing(25, 0)]


def test_a_cost_above_what_was_held_counts_in_full(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())

    settle(rig, hold, 160)

    assert rig.look(level().counter) == [Standing(160, 0)]
    refused(rig, "b", 1, level())


def test_a_free_request_settles_with_nothing(rig: Rig) -> None:
    hold = held(rig, "a", 0, level())

    assert settle(rig, hold, 0).kind == "settled"
    assert settle(rig, hold, 0).kind == "again"
    assert rig.look(level().counter) == [Standing(0, 0)]


def test_a_settle_charges_the_counters_of_its_reservation_whatever_the_limits_are_now(
    rig: Rig,
) -> None:
    hold = held(rig, "a", 60, level(limit=100))
    refused(rig, "b", 1, level(limit=10))

    settle(rig, hold, 50)

    assert rig.spent(level().counter) == 50


def test_a_settle_repeated_counts_once(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    held(rig, "b", 10, level())
    settle(rig, hold, 25)

    assert settle(rig, hold, 25).kind == "again"
    assert rig.look(level().counter) == [Standing(25, 10)]


def test_a_settle_with_another_amount_is_a_mistake_and_the_first_one_counts(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25)

    with pytest.raises(ReservationError):
        settle(rig, hold, 26)

    assert rig.look(level().counter) == [Standing(25, 0)]
    assert settle(rig, hold, 25).kind == "again"


def test_a_release_lets_go_of_everything_once(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), level("team"))
    held(rig, "b", 10, level())

    assert rig.store.release(hold)
    assert not rig.store.release(hold)
    assert rig.look(level().counter, level("team").counter) == [Standing(0, 10), Standing(0, 0)]


def test_a_release_after_a_settle_does_nothing(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25)

    assert not rig.store.release(hold)
    assert rig.look(level().counter) == [Standing(25, 0)]
    assert settle(rig, hold, 25).kind == "again"


def test_a_release_of_what_nobody_holds_does_nothing(rig: Rig) -> None:
    held(rig, "a", 60, level())

    assert not rig.store.release(Hold("other", 60, (level(),)))
    assert not rig.store.release(Hold("lost", 60, (level("unseen"),)))
    assert rig.look(level().counter, level("unseen").counter) == [Standing(0, 60), None]


def test_a_cost_that_comes_after_the_release_counts(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    rig.store.release(hold)

    assert settle(rig, hold, 25).kind == "late"
    assert settle(rig, hold, 25).kind == "again"
    assert rig.look(level().counter) == [Standing(25, 0)]


def test_a_late_cost_is_settled_once_and_with_one_amount(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    rig.store.release(hold)
    settle(rig, hold, 25)

    with pytest.raises(ReservationError):
        settle(rig, hold, 30)

    assert not rig.store.release(hold)
    assert rig.look(level().counter) == [Standing(25, 0)]


def test_a_hold_is_found_by_its_bare_id(rig: Rig) -> None:
    held(rig, "a", 60, level(), level("user", value="u-17"))

    found = rig.store.find("a")

    assert found is not None
    assert (found.id, found.nano_usd) == ("a", 60)
    assert [(each.counter, each.budget, each.value, each.period) for each in found.levels] == [
        (each.counter, each.budget, each.value, each.period)
        for each in (level(), level("user", value="u-17"))
    ]
    assert settle(rig, found, 25).kind == "settled"
    assert rig.spent(level("user", value="u-17").counter) == 25


@pytest.mark.parametrize("end", ["settled", "released"])
def test_a_finished_hold_is_found_too(rig: Rig, end: str) -> None:
    hold = held(rig, "a", 60, level())
    if end == "settled":
        settle(rig, hold, 25)
    else:
        rig.store.release(hold)

    found = rig.store.find("a")

    assert found is not None
    assert settle(rig, found, 25).kind == ("again" if end == "settled" else "late")
    assert rig.spent(level().counter) == 25


def test_what_was_never_reserved_is_not_found(rig: Rig) -> None:
    held(rig, "a", 60, level())
    refused(rig, "b", 60, level())

    assert rig.store.find("b") is None
    assert rig.store.find("") is None
    assert rig.store.find("a:b}{*\n") is None


def test_a_part_is_charged_and_the_rest_stays_held(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), level("team"))

    assert settle(rig, hold, 25, keep=35, part=1).kind == "settled"
    assert rig.look(level().counter, level("team").counter) == [Standing(25, 35)] * 2


def test_a_part_may_keep_less_than_is_left_and_never_more_than_is_held(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())

    settle(rig, hold, 25, keep=20, part=1)
    assert rig.look(level().counter) == [Standing(25, 20)]

    settle(rig, hold, 5, keep=21, part=2)
    assert rig.look(level().counter) == [Standing(30, 20)]

    settle(rig, hold, 0, keep=0, part=3)
    assert rig.look(level().counter) == [Standing(30, 0)]


def test_the_final_settle_comes_on_top_of_the_parts(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25, keep=35, part=1)
    settle(rig, hold, 20, keep=15, part=2)

    assert settle(rig, hold, 10).kind == "settled"
    assert rig.look(level().counter) == [Standing(55, 0)]
    assert settle(rig, hold, 10).kind == "again"


def test_a_part_counts_once_and_parts_come_in_order(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25, keep=35, part=1)
    assert settle(rig, hold, 25, keep=35, part=1).kind == "again"

    settle(rig, hold, 20, keep=15, part=3)

    assert settle(rig, hold, 20, keep=15, part=3).kind == "again"
    assert settle(rig, hold, 25, keep=35, part=1).kind == "again"
    assert rig.look(level().counter) == [Standing(45, 15)]


def test_after_the_final_settle_an_old_part_is_known_and_a_new_one_a_mistake(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25, keep=35, part=1)
    settle(rig, hold, 10)

    assert settle(rig, hold, 25, keep=35, part=1).kind == "again"
    with pytest.raises(ReservationError):
        settle(rig, hold, 25, keep=10, part=2)

    assert rig.look(level().counter) == [Standing(35, 0)]


def test_a_release_after_a_part_lets_go_of_what_was_kept(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25, keep=35, part=1)

    assert rig.store.release(hold)
    assert rig.look(level().counter) == [Standing(25, 0)]


def test_a_part_that_comes_after_the_release_counts_and_keeps_nothing(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    rig.store.release(hold)

    assert settle(rig, hold, 25, keep=35, part=1).kind == "late"
    assert settle(rig, hold, 25, keep=35, part=1).kind == "again"
    assert settle(rig, hold, 10).kind == "late"
    assert rig.look(level().counter) == [Standing(35, 0)]


def test_a_kept_hold_reserved_again_is_the_same_hold(rig: Rig) -> None:
    hold = held(rig, "a", 60, level())
    settle(rig, hold, 25, keep=35, part=1)

    again = reserve(rig, "a", 60, level())

    assert isinstance(again, Granted)
    assert again.is_again
    assert rig.look(level().counter) == [Standing(25, 35)]


def test_the_cost_of_a_lost_hold_counts_on_the_levels_that_it_brings(rig: Rig) -> None:
    hold = Hold("lost", 60, (level(), level("team")))
    held(rig, "b", 5, level())

    assert settle(rig, hold, 25, seeds={level("team").counter: 40}).kind == "late"
    assert settle(rig, hold, 25).kind == "again"
    assert rig.look(level().counter, level("team").counter) == [Standing(25, 5), Standing(65, 0)]


def test_a_settle_without_seeds_names_what_is_missing_and_does_nothing(rig: Rig) -> None:
    hold = Hold("lost", 60, (level(), level("team")))
    held(rig, "b", 5, level())

    outcome = rig.store.settle(Settle(hold, 25))

    assert outcome == Unseeded((level("team").counter,))
    assert rig.look(level().counter, level("team").counter) == [Standing(0, 5), None]
    assert settle(rig, hold, 25, seeds={level("team").counter: 40}).kind == "late"


def test_after_everything_was_lost_a_running_request_still_settles_once(rig: Rig) -> None:
    if rig.flush is None:
        pytest.skip("it loses nothing")
    hold = held(rig, "a", 60, level())
    settle(rig, held(rig, "b", 20, level()), 20)
    rig.settle_up()
    rig.flush()

    assert rig.store.find("a") is None
    assert rig.look(level().counter) == [None]
    assert not rig.store.release(hold)
    assert rig.store.settle(Settle(hold, 25)) == Unseeded((level().counter,))
    assert settle(rig, hold, 25, seeds={level().counter: 20}).kind == "late"
    assert settle(rig, hold, 25).kind == "again"
    assert rig.look(level().counter) == [Standing(45, 0)]


def test_counters_are_looked_at_in_the_order_asked(rig: Rig) -> None:
    settle(rig, held(rig, "a", 60, level()), 25)
    held(rig, "b", 5, level("team"))

    assert rig.look(level("team").counter, "none/2099-12", level().counter) == [
        Standing(0, 5),
        None,
        Standing(25, 0),
    ]
    assert rig.look() == []
