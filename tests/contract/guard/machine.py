"""The machine behind the random histories: its store, its books and the little it is told by."""

from __future__ import annotations

import time
from itertools import count

from contract.guard.books import Books, Entry, Moment
from contract.guard.stores import Rig, StoreUnderTest
from hypothesis.stateful import RuleBasedStateMachine

from spendfuse.budget import MODES
from spendfuse.guard.step import Level
from spendfuse.guard.store import REMEMBERED_SECONDS
from spendfuse.guard.tree import counter_name

BUDGETS = ("root", "team", "user", "feature", "ever")
MONTHS = ("2099-11", "2099-12", "2100-01")
IN_2101 = 4_133_980_800


class StoreMachine(RuleBasedStateMachine):
    tested: StoreUnderTest

    def __init__(self) -> None:
        super().__init__()
        self._opened = self.tested.opened()
        self.rig: Rig = self._opened.__enter__()
        self.books = Books()
        self.limits = dict.fromkeys(BUDGETS, 100)
        self.modes = dict.fromkeys(BUDGETS, MODES[0])
        self.month = MONTHS[0]
        self.passed = 0.0
        self.numbers = count()
        self.abandoned: set[str] = set()

    def teardown(self) -> None:
        try:
            self._let_all_end()
        finally:
            self._opened.__exit__(None, None, None)

    def _let_all_end(self) -> None:
        """Every hold ends, whatever became of its worker."""
        if self.rig.is_time_real:
            for entry in self.books.entries.values():
                self.rig.store.release(entry.hold)
        else:
            self.let_pass(1_000)
        for counter in self.books.there:
            assert self.rig.held(counter) == 0

    def timed(self, step, argument) -> tuple[object, Moment]:
        before = self._now()
        try:
            outcome = step(argument)
        finally:
            self.moment = (before, self._now())
        return outcome, self.moment

    def _now(self) -> float:
        return time.monotonic() if self.rig.is_time_real else self.passed

    def check(self) -> None:
        counters = sorted(self.books.spent)
        before = self._now()
        standings = self.rig.look(*counters)
        for counter, standing in zip(counters, standings, strict=True):
            self.books.check(counter, standing, (before, self._now()))

    def level(self, budget: str) -> Level:
        period = "total" if budget == "ever" else self.month
        value = "u-17" if budget == "user" else ""
        name = counter_name(budget, period, value)
        limit, mode = self.limits[budget], self.modes[budget]
        ends_at = 0 if budget == "ever" else IN_2101
        return Level(name, budget, value, period, limit, mode, ends_at=ends_at)

    def entries(self) -> list[Entry]:
        """Return what a client may still ask about; the store may have forgotten the others."""
        oldest = self._now() - REMEMBERED_SECONDS + 1
        return [
            entry
            for hold_id, entry in self.books.entries.items()
            if hold_id not in self.abandoned
            and (entry.state in ("held", "lost", "expired") or entry.finished_at > oldest)
        ]

    def pick(self, index: int) -> Entry:
        entries = self.entries()
        return entries[index % len(entries)]

    def expire(self, entry: Entry) -> None:
        if entry.state == "held":
            entry.turn("expired", self.moment[0])

    def let_pass(self, seconds: float) -> None:
        self.rig.let_pass(seconds)
        self.passed += seconds
