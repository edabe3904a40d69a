"""What every store promises about reserving."""

from __future__ import annotations

import pytest
from contract.guard.steps import held, level, rate, refused, reserve, settle
from contract.guard.stores import Rig

from spendfuse.errors import SettingsError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import Granted, Standing, Unseeded


def test_a_reservation_is_held_on_every_level(rig: Rig) -> None:
    root, team, user = level("root", 100), level("team", 50), level("user", 30, value="u-17")

    outcome = reserve(rig, "a", 30, root, team, user)

    assert isinstance(outcome, Granted)
    assert (outcome.hold.id, outcome.hold.nano_usd) == ("a", 30)
    assert outcome.hold.levels == (root, team, user)
    assert not outcome.is_again
    assert [rig.held(each.counter) for each in (root, team, user)] == [30, 30, 30]


def test_an_answer_says_how_its_levels_stand_this_hold_included(rig: Rig) -> None:
    held(rig, "a", 30, level("root", 100))

    outcome = reserve(
        rig, "b", 10, level("team", 50), level("root", 100), seeds={"team/2099-12": 7}
    )

    assert isinstance(outcome, Granted)
    assert outcome.standings == (Standing(7, 10), Standing(0, 40))


def test_a_refusal_says_how_its_levels_stand(rig: Rig) -> None:
    settle(rig, held(rig, "a", 30, level("root", 100)), 20)
    held(rig, "b", 70, level("root", 100))

    outcome = refused(rig, "c", 11, level("team", 50), level("root", 100))

    assert outcome.standings == (Standing(0, 0), Standing(20, 70))


@pytest.mark.parametrize("short", range(4))
def test_one_short_level_and_nothing_is_held_anywhere(rig: Rig, short: int) -> None:
    levels = [level(f"b{each}", 9 if each == short else 100) for each in range(4)]

    refused(rig, "a", 10, *levels)

    assert all(standing in (None, Standing(0, 0)) for standing in rig.look(*_names(levels)))


def test_a_request_may_use_up_a_limit_to_the_last_nano_dollar(rig: Rig) -> None:
    held(rig, "a", 99, level())
    refused(rig, "b", 2, level())
    held(rig, "c", 1, level())
    refused(rig, "d", 1, level())

    assert rig.held(level().counter) == 100


def test_a_request_of_no_budget_is_granted(rig: Rig) -> None:
    hold = held(rig, "a", 10)

    assert hold.levels == ()
    assert settle(rig, hold, 12).kind == "settled"


def test_nothing_costs_nothing_however_overspent_a_budget_is(rig: Rig) -> None:
    settle(rig, held(rig, "a", 100, level()), 300)

    assert held(rig, "b", 0, level(), level("empty", 0)).nano_usd == 0
    refused(rig, "c", 1, level("empty", 0))


def test_the_same_id_again_holds_nothing_more(rig: Rig) -> None:
    first = reserve(rig, "a", 60, level(), level("team", 70))

    again = reserve(rig, "a", 60, level(), level("team", 70))

    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert again.is_again
    assert again.hold == first.hold
    assert again.standings == first.standings == (Standing(0, 60), Standing(0, 60))
    assert rig.held(level().counter) == 60


def test_an_id_again_is_the_same_although_its_limit_was_lowered_since(rig: Rig) -> None:
    held(rig, "a", 60, level(limit=100))

    again = reserve(rig, "a", 60, level(limit=10))

    assert isinstance(again, Granted)
    assert again.is_again
    assert rig.held(level().counter) == 60


def test_a_lowered_reservation_repeated_gets_the_same_lowered_amount(rig: Rig) -> None:
    fit = level(mode="fit")
    held(rig, "a", 70, fit)
    first = held(rig, "b", 50, fit, least=10)

    again = held(rig, "b", 50, fit, least=10)

    assert first.nano_usd == again.nano_usd == 30
    assert rig.held(fit.counter) == 100


def test_an_id_for_another_amount_is_a_mistake_and_changes_nothing(rig: Rig) -> None:
    held(rig, "a", 60, level())

    with pytest.raises(ReservationError, match="a"):
        reserve(rig, "a", 30, level())

    assert rig.held(level().counter) == 60


@pytest.mark.parametrize(
    "others", [(level("team"),), (), (level(), level("team"))], ids=["other", "none", "more"]
)
def test_an_id_for_other_budgets_is_a_mistake_and_changes_nothing(rig: Rig, others) -> None:
    held(rig, "a", 60, level())

    with pytest.raises(ReservationError):
        reserve(rig, "a", 60, *others)

    assert rig.held(level().counter) == 60
    assert rig.look(level("team").counter) in ([None], [Standing(0, 0)])


@pytest.mark.parametrize("end", ["settled", "released", "expired"])
def test_an_id_that_is_finished_can_not_be_reserved_again(rig: Rig, end: str) -> None:
    hold = held(rig, "a", 60, level(), seconds=rig.brief_seconds)
    if end == "settled":
        settle(rig, hold, 60)
    elif end == "released":
        rig.store.release(hold)
    else:
        rig.wait(rig.brief_seconds)

    with pytest.raises(ReservationError):
        reserve(rig, "a", 60, level())

    assert rig.held(level().counter) == 0


def test_a_refused_id_may_be_tried_again(rig: Rig) -> None:
    first = held(rig, "a", 60, level())
    refused(rig, "b", 60, level())
    rig.store.release(first)

    held(rig, "b", 50, level())

    assert rig.held(level().counter) == 50


def test_a_limit_counts_from_the_request_that_knows_it(rig: Rig) -> None:
    settle(rig, held(rig, "a", 100, level(limit=100)), 90)

    refused(rig, "b", 1, level(limit=50))
    held(rig, "c", 60, level(limit=150))
    refused(rig, "d", 1, level(limit=150))

    assert rig.spent(level().counter) == 90


def test_two_trees_share_the_counter_that_is_in_both(rig: Rig) -> None:
    user = level("user", 50, value="u-17")
    held(rig, "a", 30, level("search", 100), user)
    held(rig, "b", 20, level("chat", 100), user)

    refused(rig, "c", 1, level("chat", 100), user)

    assert rig.held(user.counter) == 50
    assert rig.held(level("chat").counter) == 20


def test_a_limit_that_is_not_counted_exactly_is_refused_as_a_setting(rig: Rig) -> None:
    highest = rig.counts_to or 10**18

    held(rig, "a", highest - 1, level(limit=highest))
    refused(rig, "b", 2, level(limit=highest))
    held(rig, "c", 1, level(limit=highest))
    if rig.counts_to is not None:
        with pytest.raises(SettingsError):
            reserve(rig, "d", 1, level("team", highest + 1))

    assert rig.held(level().counter) == highest


def test_counters_that_a_step_knows_no_seed_for_are_named_and_nothing_is_done(rig: Rig) -> None:
    held(rig, "a", 10, level())

    outcome = reserve(rig, "b", 10, level("team"), level(), level("user"), seeds=None)

    assert isinstance(outcome, Unseeded)
    assert set(outcome.counters) == {level("team").counter, level("user").counter}
    assert rig.look(level("team").counter) == [None]
    assert rig.held(level().counter) == 10
    assert rig.store.find("b") is None


def test_a_missing_counter_starts_from_its_seed_and_a_known_one_does_not(rig: Rig) -> None:
    root, team = level("root", 100), level("team", 100)
    settle(rig, held(rig, "a", 10, root), 10)

    held(rig, "b", 5, root, team, seeds={root.counter: 70, team.counter: 40})

    assert [rig.spent(each.counter) for each in (root, team)] == [10, 40]
    refused(rig, "c", 56, team)


def test_a_seed_above_the_limit_refuses_at_once(rig: Rig) -> None:
    outcome = refused(rig, "a", 1, level(), seeds={level().counter: 101})

    assert outcome.standings == (Standing(101, 0),)


def test_a_counter_without_a_seed_starts_from_nothing(rig: Rig) -> None:
    held(rig, "a", 5, level(), seeds={"another": 70})

    assert rig.look(level().counter) == [Standing(0, 5)]


def test_a_refusal_that_calls_in_marks_the_short_counters_for_a_moment(rig: Rig) -> None:
    short, wide, watched = level("short", 10), level("wide"), level("seen", 5, mode="observe")
    held(rig, "a", 10, short, wide, watched)

    refused(rig, "b", 10, short, wide, watched, calls_in=True)

    rig.let_pass(1.0)
    marks = [each.is_called_in for each in rig.look(*_names([short, wide, watched])) if each]
    assert marks == [True, False, False]
    rig.wait(1.0)
    assert [each.is_called_in for each in rig.look(short.counter) if each] == [False]


def test_whoever_reserves_on_a_counter_that_is_called_in_is_told(rig: Rig) -> None:
    held(rig, "a", 90, level())
    refused(rig, "b", 20, level(), calls_in=True)

    outcome = reserve(rig, "c", 10, level("wide"), level())

    assert isinstance(outcome, Granted)
    assert [each.is_called_in for each in outcome.standings] == [False, True]


def test_neither_a_plain_refusal_nor_a_grant_calls_in(rig: Rig) -> None:
    fit = level(mode="fit")
    held(rig, "a", 70, fit)
    held(rig, "b", 50, fit, least=10, calls_in=True)
    refused(rig, "c", 50, fit)

    assert [each.is_called_in for each in rig.look(fit.counter) if each] == [False]


def test_a_store_without_windows_says_so_and_holds_nothing(rig: Rig) -> None:
    if not rig.store.takes_rates:
        with pytest.raises(SettingsError):
            reserve(rig, "a", 10, level(), rates=(rate(),))

        assert rig.look(level().counter) in ([None], [Standing(0, 0)])


def _names(levels) -> list[str]:
    return [each.counter for each in levels]
