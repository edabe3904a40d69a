"""What every store promises about strict, fit and observe budgets together."""

from __future__ import annotations

import pytest
from contract.guard.steps import held, level, reserve, settle
from contract.guard.stores import Rig

from spendfuse.guard.step import Granted, Level, Refused, Standing

STRICT, FIT, OBSERVE = "strict", "fit", "observe"


def _levels(*each: tuple[str, int, int]) -> list[Level]:
    """Make levels of (mode, limit, what is spent already)."""
    return [level(f"b{n}", limit, mode=mode) for n, (mode, limit, _) in enumerate(each)]


@pytest.mark.parametrize(
    ("levels", "asked", "least", "granted"),
    [
        pytest.param([(STRICT, 100, 90)], 10, 10, 10, id="strict-fits"),
        pytest.param([(STRICT, 100, 91)], 10, 1, None, id="strict-never-lowers"),
        pytest.param([(FIT, 100, 90)], 10, 1, 10, id="fit-fits"),
        pytest.param([(FIT, 100, 91)], 10, 9, 9, id="fit-lowers-to-what-is-left"),
        pytest.param([(FIT, 100, 91)], 10, 10, None, id="fit-refuses-below-the-least"),
        pytest.param([(FIT, 100, 100)], 10, 0, None, id="fit-never-lowers-to-nothing"),
        pytest.param([(FIT, 100, 120)], 10, 0, None, id="fit-overspent"),
        pytest.param([(FIT, 100, 95), (FIT, 100, 97)], 10, 1, 3, id="the-tightest-fit-counts"),
        pytest.param([(FIT, 100, 97), (FIT, 100, 95)], 10, 1, 3, id="in-any-order"),
        pytest.param([(FIT, 100, 97), (FIT, 100, 95)], 10, 4, None, id="one-fit-is-too-tight"),
        pytest.param([(FIT, 100, 95), (STRICT, 100, 90)], 10, 1, 5, id="strict-fits-as-asked"),
        pytest.param([(FIT, 100, 95), (STRICT, 100, 91)], 10, 1, None, id="strict-beats-fit"),
        pytest.param([(STRICT, 100, 91), (FIT, 100, 95)], 10, 1, None, id="strict-decides-first"),
        pytest.param([(OBSERVE, 100, 95)], 10, 10, 10, id="observe-takes-what-does-not-fit"),
        pytest.param([(OBSERVE, 0, 50)], 10, 10, 10, id="observe-takes-anything"),
        pytest.param([(OBSERVE, 100, 95), (STRICT, 100, 91)], 10, 1, None, id="observe-is-no-help"),
        pytest.param([(OBSERVE, 100, 99), (FIT, 100, 95)], 10, 1, 5, id="observe-lowers-nothing"),
        pytest.param([(STRICT, 100, 200), (FIT, 0, 1), (OBSERVE, 0, 1)], 0, 0, 0, id="free"),
    ],
)
def test_the_strictest_budget_decides(rig: Rig, levels, asked, least, granted) -> None:
    made = _levels(*levels)
    seeds = {at.counter: spent for at, (_, _, spent) in zip(made, levels, strict=True)}

    outcome = reserve(rig, "a", asked, *made, least=least, seeds=seeds)

    if granted is None:
        assert isinstance(outcome, Refused)
        assert outcome.standings == tuple(Standing(spent, 0) for _, _, spent in levels)
    else:
        assert isinstance(outcome, Granted)
        assert outcome.hold.nano_usd == granted
        assert outcome.standings == tuple(Standing(spent, granted) for _, _, spent in levels)
        assert [rig.held(each.counter) for each in made] == [granted] * len(made)


def test_what_runs_takes_room_from_a_fit_budget_too(rig: Rig) -> None:
    fit = level(mode=FIT)
    held(rig, "a", 60, fit)

    assert held(rig, "b", 60, fit, least=1).nano_usd == 40
    assert rig.held(fit.counter) == 100


def test_a_lowered_hold_settles_and_lets_go_of_the_lowered_amount(rig: Rig) -> None:
    fit, root = level("user", 30, mode=FIT), level("root", 100)
    hold = held(rig, "a", 60, fit, root, least=10)

    settle(rig, hold, 28)

    assert rig.look(fit.counter, root.counter) == [Standing(28, 0), Standing(28, 0)]


def test_a_lowered_hold_is_found_with_the_lowered_amount(rig: Rig) -> None:
    held(rig, "a", 60, level("user", 30, mode=FIT), level(), least=10)

    found = rig.store.find("a")

    assert found is not None
    assert found.nano_usd == 30
    assert rig.store.release(found)
    assert rig.look(level().counter) == [Standing(0, 0)]


def test_an_observed_overrun_stands_in_the_answer(rig: Rig) -> None:
    watched = level(limit=50, mode=OBSERVE)

    outcome = reserve(rig, "a", 60, watched)

    assert isinstance(outcome, Granted)
    assert outcome.standings == (Standing(0, 60),)
