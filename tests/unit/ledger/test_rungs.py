"""Which rungs are due: by state alone, each once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spendfuse.budget import Budget, Rung
from spendfuse.fuse_state import Allowance
from spendfuse.ledger.rungs import RungKey, due_rungs

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


def test_a_raised_limit_arms_its_rungs_anew_and_only_those_that_are_reached() -> None:
    fired = [RungKey(percent, 100 * USD) for percent in (50, 80, 100)]
    raised = replace(BUDGET, limit_nano_usd=200 * USD)

    assert due_percents(120 * USD, fired, raised) == [50]


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
