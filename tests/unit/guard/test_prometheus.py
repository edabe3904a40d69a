"""What a scrape is told of the guard."""

from __future__ import annotations

import threading
import time

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from unit.guard.guarded_apps import a_budget, a_guard, tripped

from spendfuse.errors import UnavailableError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.errors import RefusedError
from spendfuse.guard.prometheus import GuardCollector
from spendfuse.guard.stores.memory import MemoryStore


def scraped(guard, **options):
    """Return what a scrape says: the value of each series, by name and labels."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(GuardCollector(guard, **options))
    text = prometheus_client.generate_latest(registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_budget_shows_its_limit_and_what_is_spent_and_held_in_dollars():
    guard = a_guard(a_budget(limit_usd="1000"))
    guard.reserve("0.25").settle("0.125")
    guard.reserve("0.50")

    found = scraped(guard)

    assert found["llm_budget_limit_dollars", "organisation"] == 1000
    assert found["llm_budget_spent_dollars", "organisation"] == 0.125
    assert found["llm_budget_held_dollars", "organisation"] == 0.5


def test_the_drift_is_shown_where_there_is_a_ledger_only():
    spent = {"organisation": 2 * 10**9}
    guard = a_guard(spent=lambda level: spent[level.budget])
    guard.reserve("0").settle("0.75")
    spent["organisation"] = 1 * 10**9

    assert scraped(guard)["llm_budget_drift_dollars", "organisation"] == 1.75
    assert not any(name == "llm_budget_drift_dollars" for name, *_ in scraped(a_guard()))


def test_refusals_are_counted_by_budget_and_reason_and_never_by_user():
    guard = a_guard(a_budget(limit_usd="5"), a_budget("each-user", "0.10", per="user"))
    for user in ("u-1", "u-2", "u-3"):
        with pytest.raises(RefusedError):
            guard.reserve("0.20", user=user)

    found = scraped(guard)

    assert found["llm_budget_refused_total", "each-user", "budget_exceeded"] == 3
    assert not any("u-1" in key for key in found)
    assert ("llm_budget_spent_dollars", "each-user") not in found


def test_requests_over_a_budget_that_observes_are_counted():
    guard = a_guard(a_budget(mode="observe"))
    for _ in range(2):
        guard.reserve("1.50")

    assert scraped(guard)["llm_budget_observed_over_total", "organisation"] == 2


@pytest.mark.parametrize(
    ("fuse", "shown"), [(tripped, 1), (lambda: FuseState("f"), 0), (None, None)]
)
def test_a_tripped_fuse_is_shown(fuse, shown):
    assert scraped(a_guard(fuse=fuse)).get(("llm_guard_fuse_tripped",)) == shown


def test_what_the_guard_could_not_do_is_counted():
    def unreadable():
        raise UnavailableError("no table")

    guard = a_guard(fuse=unreadable)
    guard.reserve("0.1")

    found = scraped(guard)

    assert found["llm_guard_fuse_unreadable_total",] >= 1
    assert found["llm_guard_store_failures_total",] == 0


def test_each_scrape_asks_anew():
    guard = a_guard()
    collector = GuardCollector(guard)
    registry = prometheus_client.CollectorRegistry()
    registry.register(collector)

    def spent():
        return registry.get_sample_value("llm_budget_spent_dollars", {"budget": "organisation"})

    guard.reserve("0.5").settle("0.5")
    assert spent() == 0.5
    guard.reserve("0.25").settle("0.25")
    assert spent() == 0.75


class Broken(MemoryStore):
    looks = 0

    def look(self, counters):
        self.looks += 1
        raise RuntimeError("a bug in the store")


class Hanging(MemoryStore):
    def __init__(self):
        super().__init__()
        self.looks = 0
        self.goes_on = threading.Event()

    def look(self, counters):
        self.looks += 1
        self.goes_on.wait(20)
        return super().look(counters)


def test_a_scrape_waits_for_a_store_that_takes_its_time():
    class Slow(MemoryStore):
        def look(self, counters):
            time.sleep(0.05)
            return super().look(counters)

    guard = a_guard(store=Slow())
    guard.reserve("0.5")

    assert scraped(guard)["llm_budget_held_dollars", "organisation"] == 0.5


def test_a_store_that_fails_is_asked_again_at_the_next_scrape():
    store = Broken()
    collector = GuardCollector(a_guard(store=store), max_wait_seconds=0.5)

    for _ in range(3):
        list(collector.collect())

    assert store.looks == 3


def test_a_store_that_fails_does_not_break_a_scrape():
    found = scraped(a_guard(store=Broken()))

    assert found["llm_guard_store_failures_total",] >= 0
    assert ("llm_budget_spent_dollars", "organisation") not in found


def test_a_store_that_hangs_is_asked_once_however_often_it_is_scraped():
    store = Hanging()
    collector = GuardCollector(a_guard(store=store), max_wait_seconds=0.01)

    for _ in range(5):
        assert {each.name for each in collector.collect()} >= {"llm_budget_refused"}
    asked = store.looks
    store.goes_on.set()

    assert asked == 1


def test_the_store_is_not_asked_when_the_app_starts():
    store = Hanging()

    prometheus_client.CollectorRegistry(auto_describe=True).register(
        GuardCollector(a_guard(store=store))
    )

    assert store.looks == 0
