"""Which rungs are due: by state alone, each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from packs import NOW

from spendfuse.budget import Budget, Rung
from spendfuse.fuse_state import Allowance
from spendfuse.ledger.rungs import (
    DueRung,
    FiredRung,
    RungHistory,
    RungKey,
    Sighting,
    due_rungs,
    first_sighting,
)

USD = 10**9
LADDER = (Rung(50, ("email",)), Rung(80, ("slack",)), Rung(100, ("slack",), trips=True))
BUDGET = Budget("llm", 100 * USD, "month", LADDER)


def due_percents(
    spent: int,
    fired: list[RungKey] = [],  # noqa: B006
    budget: Budget = BUDGET,
    allowance: Allowance | None = None,
) -> list[int]:
    return [due.rung.percent for due in due_rungs(budget, spent, fired, allowance)]


def an_allowance(until_usd: int, number: int = 1) -> Allowance:
    return Allowance("llm", "2026-11", number, until_usd * USD)


def test_a_rung_reached_exactly_is_due_and_a_nano_dollar_less_is_not() -> None:
    assert due_percents(50 * USD) == [50]
    assert due_percents(50 * USD - 1) == []


def test_a_jump_makes_all_rungs_below_it_due_lowest_first() -> None:
    assert due_percents(250 * USD) == [50, 80, 100]


def test_a_fired_rung_is_not_due_again() -> None:
    assert due_percents(85 * USD, [RungKey(50, 100 * USD)]) == [80]


def test_a_rung_added_below_the_spend_fires_once() -> None:
    more = replace(BUDGET, ladder=(Rung(10, ("slack",)), *LADDER))

    assert due_percents(60 * USD, [RungKey(50, 100 * USD)], more) == [10]


def test_after_a_restore_the_trip_rung_waits_for_the_allowance() -> None:
    fired = [RungKey(percent, 100 * USD) for percent in (50, 80, 100)]

    assert due_percents(110 * USD, fired, allowance=an_allowance(115)) == []
    assert due_percents(115 * USD, fired, allowance=an_allowance(115)) == [100]


def test_a_second_allowance_needs_a_firing_of_its_own() -> None:
    fired = [RungKey(percent, 100 * USD) for percent in (50, 80, 100)]
    fired.append(RungKey(100, 100 * USD, allowance=1))

    assert due_percents(130 * USD, fired, allowance=an_allowance(115)) == []
    assert due_percents(130 * USD, fired, allowance=an_allowance(126, number=2)) == [100]


def test_under_a_limit_of_nothing_the_first_nano_dollar_makes_all_rungs_due() -> None:
    nothing = replace(BUDGET, limit_nano_usd=0)

    assert due_percents(0, budget=nothing) == []
    assert due_percents(1, budget=nothing) == [50, 80, 100]


def test_an_allowance_never_trips_below_the_limit() -> None:
    assert due_percents(60 * USD, [RungKey(50, 100 * USD)], allowance=an_allowance(40)) == []


@given(st.lists(st.integers(min_value=0, max_value=200 * USD), min_size=1))
def test_however_the_spend_arrives_each_rung_fires_once(totals: list[int]) -> None:
    fired: list[RungKey] = []
    for total in totals:
        fired += [due.key for due in due_rungs(BUDGET, total, fired, None)]

    assert len(fired) == len(set(fired))
    assert [each.percent for each in sorted(fired, key=lambda key: key.percent)] == due_percents(
        max(totals)
    )


def raised(limit_usd: int, budget: Budget = BUDGET) -> Budget:
    return replace(budget, limit_nano_usd=limit_usd * USD)


def after(
    *percents: int, limit_usd: int = 100, sightings: tuple[Sighting, ...] = ()
) -> RungHistory:
    """What is remembered once these rungs have fired under that limit."""
    fired = tuple(
        FiredRung(RungKey(percent, limit_usd * USD), "sent", "", NOW) for percent in percents
    )
    return RungHistory(fired, sightings or (Sighting(limit_usd * USD, 0, NOW),))


def due_at_first_sight(budget: Budget, spent: int, history: RungHistory) -> list[DueRung]:
    sighting = first_sighting(budget, spent, history, NOW)
    return due_rungs(budget, spent, history.keys, None, sighting)


def percents_of(due: list[DueRung]) -> list[int]:
    return [each.rung.percent for each in due]


def test_under_a_period_s_first_limit_nothing_is_silent() -> None:
    sighting = first_sighting(BUDGET, 90 * USD, RungHistory(), NOW)

    assert (sighting.silent, sighting.told_by, sighting.turn) == ((), None, 1)


def test_a_raised_limit_keeps_the_rungs_silent_that_the_spend_has_passed() -> None:
    budget, history = raised(150), after(50, 80)

    assert due_at_first_sight(budget, 80 * USD, history) == []

    sighting = first_sighting(budget, 80 * USD, history, NOW)
    later = due_rungs(budget, 120 * USD, history.keys, None, sighting)

    assert percents_of(later) == [80]


def test_a_rung_of_which_nobody_heard_rings_under_a_raised_limit() -> None:
    # Its alert under the lower limit never came about: the limit was raised too soon.
    assert percents_of(due_at_first_sight(raised(110), 90 * USD, after(50))) == [80]


def test_a_spend_above_the_raised_limit_trips() -> None:
    due = due_at_first_sight(raised(110), 120 * USD, after(50, 80, 100))

    assert percents_of(due) == [100]


def test_a_rung_that_is_made_one_that_trips_is_never_silent() -> None:
    informs = replace(BUDGET, ladder=(Rung(50, ("email",)), Rung(100, ("slack",))))
    sighting = first_sighting(raised(110, informs), 120 * USD, after(50, 100), NOW)

    assert sighting.silent == (50, 100)
    assert percents_of(due_rungs(raised(110), 120 * USD, (), None, sighting)) == [80, 100]


def test_a_limit_raised_before_there_were_sightings_is_known_by_what_fired() -> None:
    history = replace(after(50, 80), sightings=())

    assert due_at_first_sight(raised(150), 80 * USD, history) == []
    assert percents_of(due_at_first_sight(BUDGET, 100 * USD, history)) == [100]


def test_under_a_lowered_limit_the_highest_rung_tells_of_the_others() -> None:
    ladder = (Rung(50, ("slack",)), Rung(80, ("slack", "email")), *LADDER[2:])
    budget = replace(BUDGET, ladder=ladder)
    due = due_at_first_sight(raised(40, budget), 45 * USD, after())

    assert [(each.rung.percent, each.passed) for each in due] == [(80, (50,)), (100, ())]


def test_a_rung_that_rang_under_this_limit_before_tells_of_no_other() -> None:
    fired = (*after(80, limit_usd=50).fired, *after(20).fired)
    later = tuple(replace(each, fired_at=NOW + timedelta(hours=1)) for each in fired[1:])
    budget = replace(raised(50), ladder=(Rung(50, ("slack",)), LADDER[1]))

    assert percents_of(due_at_first_sight(budget, 45 * USD, RungHistory((fired[0], *later)))) == [
        50
    ]


def test_who_would_not_hear_of_the_highest_rung_hears_of_the_lower_one() -> None:
    due = due_at_first_sight(raised(50), 45 * USD, after())

    assert [(each.rung.percent, each.passed) for each in due] == [(50, ()), (80, ())]


def test_the_passed_rungs_ring_where_the_one_that_tells_of_them_does_not() -> None:
    budget = replace(BUDGET, limit_nano_usd=50 * USD, ladder=(LADDER[1], Rung(90, ("slack",))))
    sighting = first_sighting(budget, 45 * USD, after(), NOW)
    without = replace(budget, ladder=LADDER[1:2])

    assert (sighting.silent, sighting.told_by) == ((80,), 90)
    assert percents_of(due_rungs(without, 45 * USD, (), None, sighting)) == [80]

    told = {RungKey(90, 50 * USD)}

    assert due_rungs(without, 45 * USD, told, None, sighting) == []


def test_what_was_only_to_be_told_of_is_not_silent_under_the_next_limit() -> None:
    lowered = Sighting(50 * USD, 45 * USD, NOW, turn=2, silent=(50,), told_by=80)
    untold = RungHistory((), (lowered,))
    told = RungHistory((FiredRung(RungKey(80, 50 * USD), "sent", "", NOW),), (lowered,))

    assert percents_of(due_at_first_sight(raised(60), 45 * USD, untold)) == [50]
    assert due_at_first_sight(raised(60), 45 * USD, told) == []


def test_a_limit_that_comes_back_is_the_one_in_force() -> None:
    seen = (Sighting(100 * USD, 0, NOW, turn=3), Sighting(200 * USD, 0, NOW, turn=2))

    assert RungHistory(sightings=seen).last_limit_nano_usd == 100 * USD
    assert first_sighting(raised(150), 0, RungHistory(sightings=seen), NOW).turn == 4


def test_a_rung_that_trips_has_not_fired_before_it_gave_its_order() -> None:
    fired = after(50, 80, 100).fired
    only_informed = RungHistory((*fired[:2], replace(fired[2], orders=False)))

    assert RungKey(100, 100 * USD) not in only_informed.spent_keys(BUDGET, over=False)
    assert RungKey(100, 100 * USD) in only_informed.spent_keys(BUDGET, over=True)
    assert RungKey(100, 100 * USD) in RungHistory(fired).spent_keys(BUDGET, over=False)
