"""Counters that the store does not have begin with what the ledger says."""

from __future__ import annotations

import asyncio
import threading

import pytest
from unit.guard.guards import USD, Clock, call, held, limit, spent

from spendfuse.errors import UnavailableError
from spendfuse.guard import BudgetExceededError, Guard, GuardDownError, MemoryStore
from spendfuse.guard.step import Granted, Hold, Refused, Settled, Standing, Unseeded, admitted


class Volatile:
    """A store that loses counters, as one that is started anew."""

    is_local = True
    takes_rates = False

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def lose(self, name: str) -> None:
        for each in [each for each in self.spent if each.startswith(name)]:
            del self.spent[each]

    def reserve(self, step):
        missing = self._missing(step.levels, step.seeds)
        if missing:
            return missing
        standings = self.look([each.counter for each in step.levels])
        grant = admitted(step.nano_usd, step.least_nano_usd, step.levels, standings)
        if grant is None:
            return Refused(tuple(standings))
        return Granted(Hold(step.id, grant, step.levels), tuple(standings))

    def settle(self, step):
        missing = self._missing(step.hold.levels, step.seeds)
        if missing:
            return missing
        for each in step.hold.levels:
            self.spent[each.counter] += step.nano_usd
        return Settled("settled")

    def look(self, counters):
        return [Standing(self.spent[each], 0) if each in self.spent else None for each in counters]

    def _missing(self, levels, seeds):
        missing = tuple(each.counter for each in levels if each.counter not in self.spent)
        if missing and seeds is None:
            return Unseeded(missing)
        self.spent.update({each: seeds.get(each, 0) for each in missing})
        return None


class Ledger:
    def __init__(self, **spent: float) -> None:
        self.spent = spent
        self.asked: list[str] = []
        self.is_down = False

    def __call__(self, level) -> int:
        self.asked.append(f"{level.budget} {level.period} {level.value}".strip())
        if self.is_down:
            raise UnavailableError("the ledger is away")
        return round(self.spent.get(level.budget, 0) * USD)


def test_a_missing_counter_begins_with_the_ledger_s_spend() -> None:
    ledger = Ledger(all=0.7)
    guard = Guard([limit(1), limit(9, "user", per="user")], spent=ledger, now=Clock())

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.4", user="u1")
    guard.reserve("0.3", user="u1")

    assert refused.value.figures.spent_nano_usd == 7 * USD // 10
    assert ledger.asked == ["all 2026-11", "user 2026-11 u1"]


def test_without_a_ledger_counters_begin_at_nothing() -> None:
    assert Guard([limit(1)]).reserve("1").held_usd == 1


def test_checking_asks_the_ledger_and_makes_no_counter() -> None:
    ledger = Ledger(all=0.7)
    guard = Guard([limit(1)], spent=ledger)

    before = spent(guard)
    ledger.spent["all"] = 0.9

    assert (before, spent(guard)) == (0.7, 0.9)


def test_the_ledger_is_asked_in_a_thread() -> None:
    threads = []
    guard = Guard([limit()], spent=lambda _: threads.append(threading.current_thread().name) or 0)

    asyncio.run(guard.reserve_async("0.1"))

    assert [each.rpartition("_")[0] for each in threads] == ["spendfuse-guard"]


def test_a_ledger_that_is_down_refuses_where_the_budget_says_so(caplog) -> None:
    ledger = Ledger(all=0.9)
    ledger.is_down = True
    guard = Guard([limit(1)], spent=ledger)

    with pytest.raises(GuardDownError):
        guard.reserve("0.05")
    said = caplog.text.count("the ledger is away")
    with pytest.raises(GuardDownError) as refused:
        guard.reserve("0.05")
    ledger.is_down = False
    with pytest.raises(BudgetExceededError):
        guard.reserve("0.2")

    assert refused.value.budget == "all"
    assert (guard.health().ledger_failures, guard.health().store_failures) == (2, 0)
    assert (said, caplog.text.count("the ledger is away")) == (1, 1)


def test_the_budget_whose_counter_is_missing_is_the_one_that_refuses() -> None:
    ledger, store = Ledger(), Volatile()
    guard = Guard([limit(9, "known"), limit(9, "lost")], store=store, spent=ledger)
    guard.reserve("0")
    store.lose("lost")
    ledger.is_down = True

    with pytest.raises(GuardDownError) as refused:
        guard.reserve("0.5")

    assert refused.value.budget == "lost"
    assert "lost has no counter" in str(refused.value.__cause__)


def test_a_ledger_that_is_down_admits_where_the_budget_says_so() -> None:
    ledger, store = Ledger(open=0.9, all=0.2), Volatile()
    guard = Guard([limit(9), limit(1, "open", when_down="fail_open")], store=store, spent=ledger)
    ledger.is_down = True
    with pytest.raises(GuardDownError):
        guard.reserve("0.5")
    ledger.is_down = False
    guard.reserve("0")
    store.lose("open")
    ledger.is_down = True

    guard.reserve("0.5").settle("0.5")
    ledger.is_down = False
    ledger.spent["open"] = 0.9 + 0.5

    assert (spent(guard), spent(guard, "open")) == (0.7, 1.4)
    with pytest.raises(BudgetExceededError):
        guard.reserve("0.01")


def test_a_ledger_that_is_down_admits_up_to_the_local_share() -> None:
    ledger = Ledger()
    ledger.is_down = True
    budget = limit(10, when_down="local_share", local_share_percent=10)
    guard = Guard([budget], spent=ledger)

    first = guard.reserve("0.6")
    with pytest.raises(GuardDownError):
        guard.reserve("0.6")
    first.settle("0.3")
    second = guard.reserve("0.6")
    with pytest.raises(GuardDownError):
        guard.reserve("0.2")
    second.release()
    guard.reserve("0.7")


def test_an_observing_budget_refuses_nobody_while_the_ledger_is_down() -> None:
    ledger = Ledger()
    ledger.is_down = True

    Guard([limit(mode="observe")], spent=ledger).reserve("5")


def test_a_share_is_given_back_where_the_store_refuses() -> None:
    ledger = Ledger()
    store = MemoryStore()
    share = limit(10, "share", when_down="local_share", local_share_percent=10)
    guard = Guard([limit(1)], store=store, spent=ledger)
    guard.reserve("0.9")
    guard = Guard([limit(1), share], store=store, spent=ledger)
    ledger.is_down = True

    for _ in range(5):
        with pytest.raises(BudgetExceededError):
            guard.reserve("0.5")
    guard.reserve("0.1")

    assert len(guard._seeded._stand_in._admitted) == 1


def test_a_settle_whose_counter_is_lost_begins_with_the_ledger() -> None:
    ledger, store = Ledger(), Volatile()
    guard = Guard([limit(1)], store=store, spent=ledger)
    reservation = guard.reserve("0.5")
    store.lose("all")
    ledger.spent["all"] = 0.2

    guard.settle(reservation, "0.1")

    assert spent(guard) == 0.3


def test_a_settle_whose_counter_is_lost_while_the_ledger_is_down_charges_the_others() -> None:
    ledger, store = Ledger(), Volatile()
    guard = Guard([limit(1), limit(9, "lost")], store=store, spent=ledger)
    with guard.reserve("0.5"):
        call()
        ledger.is_down = True
        store.lose("lost")
    ledger.is_down = False

    assert (spent(guard), spent(guard, "lost")) == (0.0125, 0)
    assert list(store.spent.values()) == [12_500_000]


def test_a_store_that_keeps_no_counter_is_down() -> None:
    class Broken(Volatile):
        def reserve(self, step):
            return Unseeded(("all",))

    with pytest.raises(GuardDownError):
        Guard([limit(1)], store=Broken(), spent=Ledger()).reserve("0.1")


def test_gauges_show_budgets_that_are_nobody_s_own() -> None:
    ledger = Ledger(all=0.2, quiet=0.5)
    guard = Guard(
        [limit(1), limit(3, "quiet", match={"team": "x"}), limit(9, "user", per="user")],
        spent=ledger,
        now=Clock(),
    )
    guard.reserve("0.3").settle("0.25")
    guard.reserve("0.1")

    gauges = guard.gauges()

    assert [tuple(each) for each in gauges] == [
        ("all", "2026-11", USD, 450_000_000, 100_000_000, 250_000_000),
        ("quiet", "2026-11", 3 * USD, None, None, None),
    ]


def test_gauges_of_what_can_t_be_asked_are_unknown() -> None:
    ledger = Ledger()
    guard = Guard([limit(1)], spent=ledger)
    guard.reserve("0.3")
    ledger.is_down = True

    (in_guard,) = guard.gauges()
    (alone,) = Guard([limit(1)]).gauges()

    assert (in_guard.held_nano_usd, in_guard.drift_nano_usd) == (300_000_000, None)
    assert alone.drift_nano_usd is None
    assert held(guard) == 0.3
