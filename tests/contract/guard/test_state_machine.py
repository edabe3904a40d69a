"""Random histories on every store: reservations that end in all the ways there are.

After every step, on every counter: ``spent`` is the sum of all acknowledged settles (so nothing is
lost, every id counts once, and it never falls) and ``held`` the sum of the holds that still run.
A grant above 0 leaves no strict and no fit level above its limit. So a limit is only ever passed
by what is allowed to: a settle above its hold, a late one, an observe level's grants, a seed, or
a limit that was lowered.
"""

from __future__ import annotations

import math

from contract.guard.books import Entry, Moment
from contract.guard.machine import BUDGETS, MONTHS, StoreMachine
from contract.guard.stores import StoreUnderTest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from spendfuse.budget import MODES
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import (
    Granted,
    Level,
    Refused,
    Reserve,
    Settle,
    Settled,
    Unseeded,
)

AMOUNTS = st.integers(0, 40) | st.sampled_from([0, 1, 100, 101])
LIMITS = st.integers(0, 120)
INDEX = st.integers(0, 1_000)


def test_no_history_loses_or_invents_a_nano_dollar(store_under_test: StoreUnderTest) -> None:
    class OfThisStore(Histories):
        tested = store_under_test

    run_state_machine_as_test(
        OfThisStore,
        settings=settings(
            max_examples=store_under_test.examples,
            stateful_step_count=store_under_test.steps,
            deadline=None,
        ),
    )


class Histories(StoreMachine):
    @rule(
        budgets=st.lists(st.sampled_from(BUDGETS), min_size=1, max_size=4, unique=True),
        asked=AMOUNTS,
        least=AMOUNTS,
        is_brief=st.booleans(),
        knows_seeds=st.booleans(),
        calls_in=st.booleans(),
    )
    def reserve(self, *, budgets, asked, least, is_brief, knows_seeds, calls_in) -> None:
        levels = tuple(self.level(each) for each in budgets)
        seconds = self.rig.brief_seconds if is_brief else 600.0
        step = Reserve(
            f"h{next(self.numbers)}",
            asked,
            min(least, asked),
            levels,
            (),
            seconds,
            self.books.seeds() if knows_seeds else None,
            calls_in,
        )
        missing = self.books.missing(each.counter for each in levels)
        outcome, _ = self.timed(self.rig.store.reserve, step)
        if missing and not knows_seeds:
            assert isinstance(outcome, Unseeded)
            assert set(outcome.counters) == missing
            self.check()
            step = step._replace(seeds=self.books.seeds())
        self._reserve(step, outcome if not missing or knows_seeds else None)

    def _reserve(self, step: Reserve, outcome) -> None:
        moment = self.moment
        if outcome is None:
            outcome, moment = self.timed(self.rig.store.reserve, step)
        low, high = self.books.grants(step.nano_usd, step.least_nano_usd, step.levels, moment)
        if isinstance(outcome, Refused):
            assert low is None
            counters = [each.counter for each in step.levels]
            # Whether a refused request leaves a new counter behind is the store's affair.
            seen = zip(counters, self.rig.store.look(counters), strict=True)
            self.books.there.update(each for each, standing in seen if standing is not None)
            for each in counters:
                self.books.spent.setdefault(each, 0)
        else:
            assert isinstance(outcome, Granted)
            assert not outcome.is_again
            granted = outcome.hold.nano_usd
            assert high is not None
            assert (low or 0) <= granted <= high
            assert low is None or low == high or granted > 0
            self._hold(step, outcome, moment)
        self.check()

    def _hold(self, step: Reserve, outcome: Granted, moment: Moment) -> None:
        granted = outcome.hold.nano_usd
        for level, standing in zip(step.levels, outcome.standings, strict=True):
            if granted > 0 and level.mode != "observe":
                assert standing.spent_nano_usd + standing.held_nano_usd <= level.limit_nano_usd
        before, after = moment
        self.books.entries[step.id] = entry = Entry(
            outcome.hold,
            step.nano_usd,
            granted,
            before + step.hold_seconds,
            after + step.hold_seconds + self.rig.slack_seconds,
        )
        self.books.charge(entry, 0)

    @precondition(lambda self: self.entries())
    @rule(index=INDEX, is_same=st.booleans(), budget=st.sampled_from(BUDGETS))
    def reserve_an_id_again(self, index, is_same, budget) -> None:
        entry = self.pick(index)
        levels, asked = entry.hold.levels, entry.asked
        if not is_same:
            asked, levels = (
                (asked + 1, levels) if index % 2 else (asked, (*levels[1:], _other(levels)))
            )
        step = Reserve(entry.hold.id, asked, asked, levels, (), 600.0, self.books.seeds())
        if entry.state == "lost":
            return
        try:
            outcome, moment = self.timed(self.rig.store.reserve, step)
        except ReservationError:
            moment = self.moment
            assert not is_same or entry.states(moment) != {"held"}
            if is_same:
                self.expire(entry)
        else:
            assert is_same
            assert isinstance(outcome, Granted)
            assert outcome.is_again
            assert outcome.hold.id == entry.hold.id
            assert "held" in entry.states(moment)
        self.check()

    @precondition(lambda self: self.entries())
    @rule(index=INDEX, cost=AMOUNTS, knows_seeds=st.booleans(), bare=st.booleans())
    def settle(self, index, cost, knows_seeds, bare) -> None:
        entry = self.pick(index)
        if entry.state == "settled":
            cost = entry.final if index % 2 else cost
        self._settle(entry, Settle(entry.hold, cost, seeds=None), knows_seeds, bare=bare)

    @precondition(lambda self: self.entries())
    @rule(
        index=INDEX,
        cost=AMOUNTS,
        keep=AMOUNTS,
        skipped=st.integers(-1, 1),
        is_brief=st.booleans(),
        knows_seeds=st.booleans(),
    )
    def settle_a_part(self, *, index, cost, keep, skipped, is_brief, knows_seeds) -> None:
        entry = self.pick(index)
        part = max(1, entry.part + 1 + skipped)
        seconds = self.rig.brief_seconds if is_brief else 600.0
        self._settle(entry, Settle(entry.hold, cost, keep, part, seconds, None), knows_seeds)

    def _settle(self, entry: Entry, step: Settle, knows_seeds: bool, *, bare: bool = False) -> None:
        is_part = step.keep_nano_usd is not None
        missing = self.books.missing(entry.counters) if entry.state == "lost" else set()
        if knows_seeds:
            step = step._replace(seeds=self.books.seeds())
        if bare and entry.state != "lost":
            found = self.rig.store.find(step.hold.id)
            assert found is not None
            step = step._replace(hold=found)
        is_again = step.part <= entry.part if is_part else entry.state == "settled"
        try:
            outcome, moment = self.timed(self.rig.store.settle, step)
            if missing and not knows_seeds:
                assert isinstance(outcome, Unseeded)
                assert set(outcome.counters) == missing
                self.check()
                step = step._replace(seeds=self.books.seeds())
                outcome, moment = self.timed(self.rig.store.settle, step)
        except ReservationError:
            assert entry.state == "settled"
            assert (not is_again) if is_part else step.nano_usd != entry.final
            self.check()
            return
        assert isinstance(outcome, Settled)
        if is_again:
            assert outcome.kind == "again"
            assert is_part or step.nano_usd == entry.final
        else:
            assert entry.state != "settled"
            expected = {"settled" if each == "held" else "late" for each in entry.states(moment)}
            assert outcome.kind in expected
            self._charge(entry, step, moment, is_late=outcome.kind == "late")
        self.check()

    def _charge(self, entry: Entry, step: Settle, moment: Moment, *, is_late: bool) -> None:
        self.books.charge(entry, step.nano_usd)
        if step.keep_nano_usd is None:
            entry.turn("settled", moment[0])
            entry.final = step.nano_usd
            return
        entry.part = step.part
        if is_late:
            if entry.state != "released":
                entry.turn("expired", moment[0])
            return
        entry.held = min(entry.held, step.keep_nano_usd)
        entry.earliest_end = moment[0] + step.hold_seconds
        entry.latest_end = moment[1] + step.hold_seconds + self.rig.slack_seconds

    @precondition(lambda self: self.entries())
    @rule(index=INDEX)
    def release(self, index) -> None:
        entry = self.pick(index)
        is_released, moment = self.timed(self.rig.store.release, entry.hold)
        states = entry.states(moment)
        assert is_released in {each == "held" for each in states}
        if is_released:
            entry.turn("released", moment[0])
        elif "held" in states:
            self.expire(entry)
        self.check()

    @precondition(lambda self: self.entries())
    @rule(index=INDEX)
    def lose_a_worker(self, index) -> None:
        self.abandoned.add(self.pick(index).hold.id)

    @precondition(lambda self: not self.rig.is_time_real or self.passed < 0.5)
    @rule(share=st.sampled_from([0.02, 0.5, 1.0, 10.0]))
    def let_time_pass(self, share) -> None:
        seconds = min(share, 1.0) * self.rig.brief_seconds + self.rig.slack_seconds
        if not self.rig.is_time_real:
            # Whole ones: books and stores count from different moments, and round differently.
            seconds = math.ceil(share * self.rig.brief_seconds + self.rig.slack_seconds)
        self.let_pass(seconds)
        self.check()

    @rule(month=st.sampled_from(MONTHS))
    def jump_with_the_wall_clock(self, month) -> None:
        self.month = month

    @rule(budget=st.sampled_from(BUDGETS), limit=LIMITS, mode=st.sampled_from(MODES))
    def change_a_limit(self, budget, limit, mode) -> None:
        self.limits[budget], self.modes[budget] = limit, mode

    @precondition(lambda self: self.rig.flush is not None)
    @rule(is_meant=st.integers(0, 5))
    def lose_all_counters(self, is_meant) -> None:
        if is_meant == 0:
            self.rig.settle_up()
            assert self.rig.flush is not None
            self.rig.flush()
            self.books.lose_everything()
            self.check()


def _other(levels: tuple[Level, ...]) -> Level:
    return levels[0]._replace(counter="other/2099-12", budget="other")
