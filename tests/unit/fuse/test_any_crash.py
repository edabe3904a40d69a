"""Trips and restores in any order and amid each other, where any call may be the last one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spendfuse.fuse.key import Key
from spendfuse.fuse.keys.memory import MemoryKeys
from spendfuse.fuse.memory import MemoryFuse
from spendfuse.fuse.records import CALLED
from spendfuse.fuse.restore import RestoreFuse
from spendfuse.fuse.store import OvertakenError
from spendfuse.fuse.trip import TripFuse
from spendfuse.fuse_state import TripOrder

START = datetime(2026, 11, 1, tzinfo=UTC)
OURS = {"spendfuse:fuse": "llm"}
BUDGETS = ("all", "a-team")
KEY_IDS = ("a", "b", "c", "d")
MAY_CRASH = st.one_of(st.none(), st.tuples(st.integers(0, 40), st.booleans()))
"""At which call, and whether before or after its effect."""


class CrashError(Exception):
    """The process ends here. No code under test knows this error."""


class Fragile:
    """Everything that a process can reach, and the call at which it dies."""

    def __init__(self):
        self.left = None
        self.after_effect = False
        self.instead = None
        """What happens at that call, if not a crash: another process has its turn."""
        self.before_disabling = lambda key_id: None
        self.before_enabling = lambda key_id: None

    def arm(self, crash, instead=None):
        self.left, self.after_effect = crash or (None, False)
        self.instead = instead

    def wrap(self, target):
        return _Wrapped(self, target)

    def call(self, function, *args, **kwargs):
        if self.left is not None:
            self.left -= 1
        is_now = self.left == -1
        if is_now and not self.after_effect:
            self._happen()
        result = function(*args, **kwargs)
        if is_now and self.after_effect:
            self._happen()
        return result

    def _happen(self):
        self.left = None
        if self.instead is None:
            raise CrashError
        self.instead()


class _Wrapped:
    def __init__(self, fragile, target):
        self._fragile, self._target = fragile, target

    def __getattr__(self, name):
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute

        def called(*args, **kwargs):
            if name == "disable":
                self._fragile.before_disabling(*args)
            if name == "enable":
                self._fragile.before_enabling(*args)
            return self._fragile.call(attribute, *args, **kwargs)

        return called


class AnyCrash(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.store = MemoryFuse("llm")
        self.keys = MemoryKeys(self._key(each) for each in KEY_IDS[:3])
        self.fragile = Fragile()
        self.fragile.before_disabling = self._has_a_record
        self.fragile.before_enabling = self._is_ours
        self.told = Counter()
        self.spent = dict.fromkeys(BUDGETS, 0)
        self.theirs = set()
        """Keys that a person disabled while they worked."""
        self.orders = []
        """Delivered or not; each may come again."""
        self.finished = set()
        self.found_no_key = set()
        """Orders that may act when they come again: a person may have enabled a key."""
        self.clock = START
        self.working_on = None
        self.has_happened = False

    def _key(self, id, *, enabled=True):
        return Key("memory", id, f"name-{id}", enabled, OURS)

    def _now(self):
        self.clock += timedelta(seconds=1)
        return self.clock

    def _tell(self, report):
        self.told[report.id] += 1

    def _trip(self):
        return TripFuse(
            self.fragile.wrap(self.store),
            [self.fragile.wrap(self.keys)],
            lambda report: self.fragile.call(self._tell, report),
            self._now,
        )

    def _restore(self):
        return RestoreFuse(
            self.fragile.wrap(self.store),
            [self.fragile.wrap(self.keys)],
            lambda report: self.fragile.call(self._tell, report),
            self._now,
            lambda budget, _period: self.spent[budget],
        )

    # What may not happen, looked at in the very moment.

    def _has_a_record(self, key_id):
        records = [each for each in self.store.records() if each.key.id == key_id]
        mine = [each for each in records if each.trip_id == self.working_on]
        assert mine, f"{key_id} is disabled without a restore record"
        assert mine[0].key.enabled or any(each.status in CALLED for each in records)

    def _is_ours(self, key_id):
        assert key_id not in self.theirs, f"a person disabled {key_id}, and we enable it"

    # What may happen.

    @rule(
        budget=st.sampled_from(BUDGETS),
        limit=st.sampled_from([1000, 1500]),
        crash=MAY_CRASH,
        steps=st.integers(0, 5),
    )
    def an_order_arrives(self, budget, limit, crash, steps):
        allowance = self.store.state().allowance(budget, "2026-11")
        number = 0 if allowance is None else allowance.number
        if allowance is not None:
            self.spent[budget] = max(self.spent[budget], allowance.until_nano_usd)
        else:
            self.spent[budget] = max(self.spent[budget], 1000)
        order = TripOrder("llm", budget, "2026-11", 100, limit, allowance=number)
        if order not in self.orders:
            self.orders.append(order)
        self._deliver(order, crash, steps)

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), crash=MAY_CRASH, steps=st.integers(0, 5))
    def an_order_comes_again(self, data, crash, steps):
        self._deliver(data.draw(st.sampled_from(self.orders)), crash, steps)

    @rule(budget=st.sampled_from(BUDGETS), limit=st.integers(2000, 2100))
    def an_order_from_before_the_restore_arrives(self, budget, limit):
        allowance = self.store.state().allowance(budget, "2026-11")
        if allowance is None:
            return
        order = TripOrder("llm", budget, "2026-11", 100, limit, allowance=allowance.number - 1)
        if order in self.orders:
            return
        self.orders.append(order)
        before = (self.store.state(), self._enabled())
        self._deliver(order, None)
        assert (self.store.state(), self._enabled()) == before, "a stale order acted"

    @rule(budget=st.sampled_from(BUDGETS), at=st.integers(0, 40), after=st.booleans())
    def somebody_restores_during_a_trip(self, budget, at, after):
        allowance = self.store.state().allowance(budget, "2026-11")
        number = 0 if allowance is None else allowance.number
        order = TripOrder("llm", budget, "2026-11", 100, 1000, allowance=number)
        if order in self.orders:
            return
        self.orders.append(order)
        self._deliver(order, (at, after), instead=lambda: self.somebody_restores(None))
        if self.store.state().state == "armed" and self.has_happened:
            self.everything_of_ours_works()

    @rule(budget=st.sampled_from(BUDGETS), at=st.integers(0, 40), after=st.booleans())
    def the_fuse_blows_during_a_restore(self, budget, at, after):
        def blow():
            allowance = self.store.state().allowance(budget, "2026-11")
            number = 0 if allowance is None else allowance.number
            order = TripOrder("llm", budget, "2026-11", 100, 1000, allowance=number)
            if order not in self.orders:
                self.orders.append(order)
                self._deliver(order, None)

        self.fragile.arm((at, after), instead=blow)
        try:
            self._restore()()
        except OvertakenError:
            return
        finally:
            self.fragile.arm(None)

    def _deliver(self, order, crash, steps=99, instead=None):
        self.has_happened = False
        self.fragile.arm(crash, instead)
        self.working_on = order.id
        left = [steps]

        def may_go_on():
            left[0] -= 1
            return left[0] >= 0

        before = (self.store.state(), self._enabled())
        try:
            done = self._trip()(order, cause="spent", allowance_nano_usd=100, may_go_on=may_go_on)
        except CrashError:
            return
        finally:
            self.has_happened = self.fragile.left is None
            self.fragile.arm(None)
        if order in self.finished and instead is None:
            assert done.finished
            assert (self.store.state(), self._enabled()) == before, "a late duplicate acted"
        if done.finished and done.trip.status == "empty":
            self.found_no_key.add(order)
        elif done.finished:
            self.finished.add(order)

    @rule(crash=MAY_CRASH)
    def somebody_restores(self, crash):
        self.fragile.arm(crash)
        try:
            self._restore()()
        except CrashError:
            return
        finally:
            self.fragile.arm(None)
        assert self._restore().plan().is_empty
        self.everything_of_ours_works()

    @rule(id=st.sampled_from(KEY_IDS))
    def a_person_disables_a_key(self, id):
        # Not while our own call's result is unknown: nobody can tell whose deed it was then,
        # nor after they enabled a key of ours behind our back.
        held = {each.key.id for each in self.store.records() if each.status in CALLED}
        if id in self._enabled() and id not in held:
            self.keys.put(self._key(id, enabled=False))
            self.theirs.add(id)

    @rule(id=st.sampled_from(KEY_IDS))
    def a_person_enables_or_creates_a_key(self, id):
        self.keys.put(self._key(id))
        self.theirs.discard(id)

    @rule(budget=st.sampled_from(BUDGETS), nano_usd=st.integers(0, 90))
    def money_is_spent(self, budget, nano_usd):
        self.spent[budget] += nano_usd

    # What holds at all times.

    def _enabled(self):
        return {key.id for key in self.keys.all_keys() if key.enabled}

    def everything_of_ours_works(self):
        assert {key.id for key in self.keys.all_keys()} - self._enabled() == self.theirs

    @invariant()
    def whatever_is_disabled_is_theirs_or_can_be_restored(self):
        held = {each.key.id for each in self.store.records() if each.status in CALLED}
        disabled = {key.id for key in self.keys.all_keys()} - self._enabled()

        assert disabled <= held | self.theirs

    @invariant()
    def an_armed_fuse_has_an_allowance_for_each_budget_that_it_restored(self):
        for trip in self.store.trips():
            if trip.status == "restored":
                allowance = self.store.state().allowance(trip.order.budget, trip.order.period)
                assert allowance is not None
                assert allowance.number > trip.order.allowance

    def teardown(self):
        """Deliver everything until it is done, as the queue does; then restore."""
        for order in self.orders:
            self.found_no_key.discard(order)
            for _ in range(10):
                if order in self.finished | self.found_no_key:
                    break
                self._deliver(order, None)
            assert order in self.finished | self.found_no_key
        reported = [trip for trip in self.store.trips() if trip.status == "done"]
        assert all(self.told[f"{trip.id}/done"] for trip in reported)
        if any(
            trip.status == "done" and trip.epoch == self.store.state().epoch
            for trip in self.store.trips()
        ):
            self._deliver(replace(self.orders[0], percent=101, allowance=99), None)
            assert not self._enabled()
        self.somebody_restores(None)


AnyCrash.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestAnyCrash = AnyCrash.TestCase
