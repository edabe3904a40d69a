from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from spendfuse.definitions import FuseDefinition
from spendfuse.errors import UnavailableError
from spendfuse.fuse.allowances import after_restore, allowance_nano_usd
from spendfuse.fuse.key import Key
from spendfuse.fuse.keys.memory import MemoryKeys
from spendfuse.fuse.memory import MemoryFuse
from spendfuse.fuse.records import Trip
from spendfuse.fuse.restore import Restored, RestoreFuse
from spendfuse.fuse.store import OvertakenError
from spendfuse.fuse.trip import MAX_PASSES, TripFuse
from spendfuse.fuse_state import MANUAL, Allowance, FuseState, TripOrder

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ORDER = TripOrder("llm", "all", "2026-11", 100, 1000)
OURS = {"spendfuse:fuse": "llm"}


def a_key(id, *, enabled=True):
    return Key("memory", id, f"name-{id}", enabled, OURS)


@pytest.fixture
def keys():
    return MemoryKeys([a_key("a"), a_key("b"), a_key("theirs", enabled=False)])


@pytest.fixture
def store():
    return MemoryFuse("llm")


@pytest.fixture
def reports():
    return []


@pytest.fixture
def trip(store, keys, reports):
    fuse = TripFuse(store, [keys], reports.append, lambda: NOW)
    return lambda order=ORDER: fuse(order, cause="spent", allowance_nano_usd=100)


@pytest.fixture
def restore(store, keys, reports):
    spent = {("all", "2026-11"): 1040, ("a-team", "2026-11-21"): 300}
    return RestoreFuse(
        store, [keys], reports.append, lambda: NOW, lambda *budget: spent.get(budget, 0)
    )


def enabled(keys):
    return sorted(key.id for key in keys.all_keys() if key.enabled)


def statuses(store):
    return sorted(record.status for record in store.records())


def test_a_restore_enables_exactly_what_the_fuse_disabled(trip, restore, keys, store):
    trip()

    done = restore()

    assert enabled(keys) == ["a", "b"]
    assert [key.id for key in done.enabled] == ["a", "b"]
    assert (store.state().state, store.state().epoch) == ("armed", 2)
    assert [each.status for each in store.trips()] == ["restored"]


def test_a_restore_leaves_an_allowance_above_what_is_spent_now(trip, restore, store):
    trip()
    restore()

    allowance = store.state().allowance("all", "2026-11")
    assert allowance == Allowance("all", "2026-11", 1, 1140)


def test_a_plan_changes_nothing(trip, restore, keys, store):
    trip()

    plan = restore.plan()

    assert [key.id for key in plan.keys] == ["a", "b"]
    assert plan.new_allowances == (Allowance("all", "2026-11", 1, 1140),)
    assert enabled(keys) == []
    assert store.state().epoch == 1


def test_a_call_that_took_effect_after_the_trip_gave_up_is_undone(trip, restore, keys, store):
    keys.failing = {"a"}
    for _ in range(MAX_PASSES):
        trip()
    keys.failing = set()
    keys.put(a_key("a", enabled=False))

    restore()

    assert enabled(keys) == ["a", "b"]
    assert statuses(store) == ["restored", "restored"]


def test_a_second_restore_does_nothing(trip, restore, store, reports):
    trip()
    restore()

    assert restore() == Restored()
    assert store.state().epoch == 2
    assert [report.outcome for report in reports] == ["done", "restored"]


def test_a_fuse_that_never_tripped_has_nothing_to_restore(restore, store, reports):
    assert restore.plan().is_empty
    assert restore() == Restored()
    assert store.state() == FuseState("llm")
    assert reports == []


def test_the_report_joins_the_trips_incident_and_says_when_it_trips_again(trip, restore, reports):
    trip()
    restore()

    report = reports[-1]
    assert report.headline == "Fuse restored: 2 API keys enabled"
    assert (report.budget, report.period, report.severity) == ("all", "2026-11", "info")
    assert any("all 2026-11: trips again at $0.00000114" in line for line in report.details)


def test_a_key_deleted_meanwhile_is_reported(trip, restore, keys, store, reports):
    trip()
    keys.delete("a")

    done = restore()

    assert [key.id for key in done.gone] == ["a"]
    assert enabled(keys) == ["b"]
    assert statuses(store) == ["gone", "restored"]
    assert "Deleted meanwhile: name-a (a)" in reports[-1].details


def test_a_key_that_fails_is_reported_and_left_to_the_next_restore(
    trip, restore, keys, store, reports
):
    trip()
    keys.failing = {"a"}
    failed = restore()
    keys.failing = set()
    again = restore()

    assert [key.id for key, _ in failed.failed] == ["a"]
    assert "STILL DISABLED: name-a (a): key a can't be switched" in reports[1].details
    assert [key.id for key in again.enabled] == ["a"]
    assert enabled(keys) == ["a", "b"]
    assert store.state().epoch == 2
    assert [each.status for each in store.trips()] == ["restored"]


def test_a_store_that_says_yes_and_does_nothing_is_found_out(trip, restore, keys):
    trip()
    keys.ignoring = {"a"}

    done = restore()

    assert [note for _, note in done.failed] == [
        "the store said yes, but the key is still disabled"
    ]


def test_a_key_that_somebody_enabled_already_is_no_failure(trip, restore, keys):
    trip()
    keys.put(a_key("a"))
    keys.failing = {"a"}

    assert restore().failed == ()


def test_a_key_of_two_trips_is_enabled_once_and_both_are_restored(trip, restore, keys, store):
    trip()
    keys.put(a_key("a"))
    trip(replace(ORDER, budget="a-team", period="2026-11-21"))
    calls = []
    enable = keys.enable
    keys.enable = lambda key_id: (calls.append(key_id), enable(key_id))

    restore()

    assert sorted(calls) == ["a", "b"]
    assert [each.status for each in store.trips()] == ["restored", "restored"]
    assert store.state().allowance("a-team", "2026-11-21") == Allowance(
        "a-team", "2026-11-21", 1, 400
    )


def test_the_state_and_the_allowance_come_before_the_first_key(trip, restore, keys, store):
    trip()
    seen = []
    enable = keys.enable
    keys.enable = lambda key_id: (seen.append(store.state()), enable(key_id))

    restore()

    assert {(state.state, state.epoch) for state in seen} == {("armed", 2)}
    assert all(state.allowances for state in seen)


def test_a_restore_that_broke_off_goes_on_from_its_records(trip, restore, keys, store):
    trip()

    def crash(_key_id):
        raise KeyboardInterrupt

    enable, keys.enable = keys.enable, crash
    with pytest.raises(KeyboardInterrupt):
        restore()
    keys.enable = enable
    assert store.state().state == "armed"
    assert not restore.plan().is_empty

    restore()

    assert enabled(keys) == ["a", "b"]
    assert store.state().allowance("all", "2026-11") == Allowance("all", "2026-11", 1, 1140)
    assert [each.status for each in store.trips()] == ["restored"]


def test_a_restore_stops_when_the_fuse_blows_again(trip, restore, keys, store):
    trip()
    enable = keys.enable

    def tripped_again(key_id):
        enable(key_id)
        if key_id == "a":
            trip(replace(ORDER, allowance=1))

    keys.enable = tripped_again

    with pytest.raises(OvertakenError):
        restore()
    assert enabled(keys) == []
    assert store.state().state == "tripped"

    keys.enable = enable
    restore()
    assert enabled(keys) == ["a", "b"]
    assert store.state().allowance("all", "2026-11") == Allowance("all", "2026-11", 2, 1140)


def test_a_trip_that_is_done_by_the_end_of_the_restore_is_restored(trip, restore, keys, store):
    keys.failing = {"a"}
    trip()
    keys.failing = set()
    (tripping,) = store.trips()
    enable = keys.enable

    def done_meanwhile(key_id):
        keys.enable = enable
        store.set_status(tripping, "done")
        enable(key_id)

    keys.enable = done_meanwhile
    restore()

    assert [each.status for each in store.trips()] == ["restored"]


def test_a_trip_that_began_anew_during_the_restore_is_not_called_restored(
    trip, restore, keys, store
):
    trip()
    (done,) = store.trips()
    enable = keys.enable

    def begun_anew(key_id):
        keys.enable = enable
        store.set_status(done, "planning")
        enable(key_id)

    keys.enable = begun_anew
    restore()

    assert [each.status for each in store.trips()] == ["planning"]


def test_nothing_is_enabled_when_the_state_can_not_be_armed(trip, restore, keys, store):
    trip()

    def refuse(*_args, **_how):
        raise UnavailableError("no table")

    store.arm = refuse

    with pytest.raises(UnavailableError):
        restore()
    assert enabled(keys) == []


def a_trip(**changes):
    return Trip(replace(ORDER, **changes), NOW, "spent", allowance_nano_usd=100, status="done")


def spent(_budget, _period):
    return 1000


def test_allowances_of_periods_that_are_over_are_dropped():
    old = Allowance("all", "2026-10", 2, 5)
    state = FuseState("llm", allowances={"all#2026-10": old})

    assert after_restore(state, [], spent, NOW) == {}


@pytest.mark.parametrize("changes", [{"period": "2026-10"}, {"budget": MANUAL, "percent": 0}])
def test_a_period_that_is_over_and_a_manual_trip_need_no_allowance(changes):
    assert after_restore(FuseState("llm"), [a_trip(**changes)], spent, NOW) == {}


def test_a_trip_that_was_restored_before_gets_no_second_allowance():
    present = {"all#2026-11": Allowance("all", "2026-11", 1, 1500)}
    state = FuseState("llm", allowances=present)

    assert after_restore(state, [a_trip()], spent, NOW) == present
    assert after_restore(state, [a_trip(allowance=1)], spent, NOW) == {
        "all#2026-11": Allowance("all", "2026-11", 2, 1100)
    }


def test_two_trips_of_one_budget_share_one_allowance_the_larger():
    trips = [replace(a_trip(percent=120), allowance_nano_usd=500), a_trip()]

    assert after_restore(FuseState("llm"), trips, spent, NOW) == {
        "all#2026-11": Allowance("all", "2026-11", 1, 1500)
    }


def test_an_allowance_is_a_share_of_the_limit():
    assert allowance_nano_usd(909, FuseDefinition("llm", "armed", (), 10, 10)) == 90
