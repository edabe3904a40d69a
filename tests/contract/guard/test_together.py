"""What every store promises when many threads take steps at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from contract.guard.steps import DOLLAR, held, level
from contract.guard.stores import Rig

from spendfuse.guard.step import Granted, Reserve, Settle, Settled, Standing

THREADS = 8
ASKED = 30_000_007


def test_a_dollar_is_never_overspent_and_all_of_it_can_be_spent(rig: Rig) -> None:
    levels = (level("root", DOLLAR), level("team", 2 * DOLLAR))
    stores = [rig.store, rig.another() if rig.another else rig.store]
    most: list[int] = []

    def client(number: int) -> int:
        store, charged = stores[number % 2], 0
        for each in count():
            step = Reserve(f"{number}-{each}", ASKED, ASKED, levels, (), 600.0, {})
            outcome = store.reserve(step)
            if not isinstance(outcome, Granted):
                return charged
            most.append(outcome.standings[0].spent_nano_usd + outcome.standings[0].held_nano_usd)
            if each % 3:
                store.settle(Settle(outcome.hold, ASKED - each, seeds={}))
                charged += ASKED - each
            else:
                store.release(outcome.hold)
        raise AssertionError

    charged = sum(_at_once(client))
    # Those who were refused while others still held money leave room for who comes last.
    charged += client(THREADS)

    assert max(most) <= DOLLAR
    assert rig.look(levels[0].counter, levels[1].counter) == [Standing(charged, 0)] * 2
    assert DOLLAR - ASKED < charged <= DOLLAR


def test_an_id_that_comes_from_everywhere_at_once_is_held_once(rig: Rig) -> None:
    levels = (level("root"), level("team"))

    outcomes = _at_once(lambda _: rig.store.reserve(Reserve("a", 30, 30, levels, (), 600.0, {})))

    assert Counter(each.is_again for each in outcomes) == {False: 1, True: THREADS - 1}
    assert {each.hold for each in outcomes} == {outcomes[0].hold}
    assert rig.look(level().counter, level("team").counter) == [Standing(0, 30)] * 2


def test_a_settle_that_comes_from_everywhere_at_once_counts_once(rig: Rig) -> None:
    hold = held(rig, "a", 60, level(), level("team"))

    outcomes = _at_once(lambda _: rig.store.settle(Settle(hold, 25, seeds={})))

    assert all(isinstance(each, Settled) for each in outcomes)
    assert Counter(each.kind for each in outcomes) == {"settled": 1, "again": THREADS - 1}
    assert rig.look(level().counter, level("team").counter) == [Standing(25, 0)] * 2


def test_settles_and_releases_of_one_hold_leave_its_cost_and_nothing_held(rig: Rig) -> None:
    holds = [held(rig, f"a{each}", 5, level()) for each in range(10)]

    for hold in holds:
        _at_once(
            lambda number, hold=hold: (
                rig.store.settle(Settle(hold, 3, seeds={}))
                if number % 2
                else rig.store.release(hold)
            )
        )

    assert rig.look(level().counter) == [Standing(30, 0)]


def _at_once(step: Callable[[int], object]) -> list:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(step, range(THREADS)))
