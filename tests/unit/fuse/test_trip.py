from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from spendfuse.errors import UnavailableError
from spendfuse.fuse.key import Key
from spendfuse.fuse.keys.memory import MemoryKeys
from spendfuse.fuse.memory import MemoryFuse
from spendfuse.fuse.restore import RestoreFuse
from spendfuse.fuse.trip import MAX_PASSES, TripFuse
from spendfuse.fuse_state import MANUAL, Allowance, KeySpend, TripOrder

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ORDER = TripOrder("llm", "all", "2026-11", 100, 1000, keys=(KeySpend("b", 9),))
OURS = {"spendfuse:fuse": "llm"}


def a_key(id, *, enabled=True, **tags):
    return Key("memory", id, f"name-{id}", enabled, {**OURS, **tags})


class House:
    """A fuse with its keys and the reports it sent."""

    def __init__(self, *keys, mode="armed"):
        self.keys = MemoryKeys(keys or [a_key("a"), a_key("b")])
        self.store = MemoryFuse("llm")
        self.reports = []
        self.now = NOW
        self.spent = 1000
        self.trip = TripFuse(self.store, [self.keys], self.reports.append, lambda: self.now, mode)
        self.restore = RestoreFuse(
            self.store,
            [self.keys],
            self.reports.append,
            lambda: self.now,
            lambda _budget, _period: self.spent,
        )

    def deliver(self, order=ORDER, **how):
        return self.trip(order, cause="all reached 100 %", allowance_nano_usd=100, **how)

    def enabled(self):
        return sorted(key.id for key in self.keys.all_keys() if key.enabled)

    def told(self):
        return [report.outcome for report in self.reports]

    def statuses(self):
        return {record.key.id: record.status for record in self.store.records()}


@pytest.fixture
def house():
    return House()


def test_a_trip_disables_every_key_and_says_so_once(house):
    done = house.deliver()

    assert done.finished
    assert done.trip.status == "done"
    assert house.enabled() == []
    assert house.statuses() == {"a": "disabled", "b": "disabled"}
    assert house.store.state().state == "tripped"
    assert house.told() == ["done"]


def test_the_report_names_keys_cause_and_the_way_back(house):
    house.keys.put(a_key("p", **{"spendfuse:protect": "true"}))
    house.keys.put(Key("memory", "x", "foreign", enabled=True))
    house.deliver()

    (report,) = house.reports
    assert report.headline == "Fuse tripped: 2 API keys disabled"
    assert report.severity == "critical"
    assert (report.budget, report.period) == ("all", "2026-11")
    text = "\n".join(report.details)
    assert "all reached 100 %" in text
    assert "name-a (a)" in text
    assert "name-p (p): tagged spendfuse:protect=true" in text
    assert "1 API key without this fuse's tag" in text
    assert "spendfuse fuse restore" in text


def test_a_handled_order_does_nothing(house):
    house.deliver()
    house.keys.put(a_key("a"))

    house.deliver()

    assert house.enabled() == ["a"]
    assert house.told() == ["done"]


def test_the_dearest_key_is_disabled_first(house):
    steps = iter([True, False])

    house.deliver(may_go_on=lambda: next(steps))

    assert house.enabled() == ["a"]


def test_a_trip_out_of_time_goes_on_in_the_next_call(house):
    steps = iter([True, False])

    unfinished = house.deliver(may_go_on=lambda: next(steps))
    finished = house.deliver()

    assert (unfinished.finished, unfinished.waits) == (False, False)
    assert finished.finished
    assert house.enabled() == []
    assert house.told() == ["done"]
    assert house.store.state().epoch == 1


def test_the_state_is_set_before_the_first_key_is_touched(house):
    seen = []
    disable = house.keys.disable
    house.keys.disable = lambda key_id: (seen.append(house.store.state().state), disable(key_id))

    house.deliver()

    assert seen == ["tripped", "tripped"]


class LossyFuse(MemoryFuse):
    """A store that says yes and forgets a key's tags."""

    def put_record(self, record):
        super().put_record(replace(record, key=replace(record.key, tags={})))


class ForgetfulFuse(MemoryFuse):
    def put_record(self, record):
        pass


@pytest.mark.parametrize("kind", [LossyFuse, ForgetfulFuse])
def test_nothing_is_touched_when_the_restore_records_do_not_read_back(house, kind):
    house.trip = replace(house.trip, store=kind("llm"))

    with pytest.raises(UnavailableError, match="nothing was touched"):
        house.deliver()

    assert house.enabled() == ["a", "b"]
    assert house.trip.store.state().state == "armed"


def test_a_key_that_fails_is_reported_and_the_others_go_on(house):
    house.keys.failing = {"b"}

    done = house.deliver()

    assert (done.finished, done.waits) == (False, True)
    assert house.enabled() == ["b"]
    assert house.reports[0].headline == (
        "Fuse tripped: 1 API key disabled; 1 could not be yet, trying again"
    )
    assert "STILL WORKS: name-b (b): key b can't be switched" in house.reports[0].details


def test_a_failed_key_is_tried_again(house):
    house.keys.failing = {"b"}
    house.deliver()
    house.keys.failing = set()

    done = house.deliver()

    assert done.finished
    assert house.enabled() == []
    assert house.told() == ["incomplete", "done"]


def test_a_key_that_always_fails_is_given_up_after_some_passes(house):
    house.keys.failing = {"b"}

    finished = [house.deliver().finished for _ in range(MAX_PASSES + 1)]

    assert finished == [False] * (MAX_PASSES - 1) + [True, True]
    assert house.told() == ["incomplete", "gave-up"]
    assert f"COULD NOT BE after {MAX_PASSES} attempts" in house.reports[-1].headline


def test_a_store_that_says_yes_and_does_nothing_is_found_out(house):
    house.keys.ignoring = {"b"}

    assert not house.deliver().finished
    assert house.statuses()["b"] == "failed"
    assert "the key still works" in "".join(house.reports[0].details)


def test_a_key_with_an_unknown_result_is_neither_done_nor_forgotten(house):
    house.keys.mute = {"b"}

    assert not house.deliver().finished
    assert house.statuses()["b"] == "disabling"
    house.keys.mute = set()
    assert house.deliver().finished
    assert house.statuses()["b"] == "disabled"


def test_a_call_that_takes_effect_after_it_was_read_back_is_verified_and_can_be_restored(house):
    house.keys.failing = {"b"}
    house.deliver()
    house.keys.failing = set()
    house.keys.put(a_key("b", enabled=False))

    assert house.deliver().finished
    assert house.statuses() == {"a": "disabled", "b": "disabled"}
    assert "Disabled: name-b (b)" in house.reports[-1].details

    house.restore()
    assert house.enabled() == ["a", "b"]


def test_a_failed_key_is_marked_again_before_it_is_touched_again(house):
    house.keys.failing = {"b"}
    house.deliver()
    house.keys.failing = set()
    disable, seen = house.keys.disable, []
    house.keys.disable = lambda key_id: (seen.append(house.statuses()["b"]), disable(key_id))

    house.deliver()

    assert seen == ["disabling"]


def test_a_key_deleted_during_the_trip_is_no_failure(house):
    disable = house.keys.disable

    def delete_the_other(key_id):
        disable(key_id)
        if key_id == "b":
            house.keys.delete("a")

    house.keys.disable = delete_the_other

    assert house.deliver().finished
    assert house.statuses() == {"a": "gone", "b": "disabled"}


def test_one_store_that_is_down_does_not_keep_the_others_keys_working(house):
    down = MemoryKeys()
    down.name, down.down = "other", True
    house.trip = replace(house.trip, key_stores=[down, house.keys])

    done = house.deliver()

    assert house.enabled() == []
    assert not done.finished
    assert "Could not be listed: other: the keys can't be listed" in house.reports[0].details


def test_when_no_store_can_be_listed_the_order_waits(house):
    house.keys.down = True

    with pytest.raises(UnavailableError):
        house.deliver()

    house.keys.down = False
    assert house.deliver().finished
    assert house.enabled() == []


@pytest.mark.parametrize(
    "keys",
    [
        [Key("memory", "x", "", enabled=True)],
        [a_key("a", enabled=False)],
        [a_key("a", **{"spendfuse:protect": "true"})],
    ],
)
def test_an_empty_plan_does_nothing_and_says_so_loudly(keys):
    house = House(*keys)

    done = house.deliver()

    assert (done.finished, done.trip.status) == (True, "empty")
    assert house.store.state().state == "armed"
    assert house.reports[0].headline.startswith("Fuse NOT tripped: ")
    assert house.reports[0].severity == "critical"


UNTAGGED = Key("memory", "a", "", enabled=True)
BY_HAND = 'spendfuse fuse trip --reason "over budget" --yes'


@pytest.mark.parametrize("mode", ["armed", "off", "dry-run"])
def test_a_report_of_nothing_done_says_that_the_spending_goes_on_and_how_to_stop_it(mode):
    house = House(UNTAGGED, mode=mode)
    house.deliver()

    (report,) = house.reports
    said = "The spending goes on, and this order is not sent again in 2026-11."
    assert said in report.details
    assert (
        f"To stop it: tag the API keys that spend with spendfuse:fuse=llm, then run: {BY_HAND}"
        in report.details
    )


@pytest.mark.parametrize("period", ["2026-10", "2026-12"])
def test_a_report_about_another_period_asks_for_nothing(house, period):
    house.deliver(replace(ORDER, period=period))

    assert BY_HAND not in "".join(house.reports[0].details)


def test_an_order_that_found_no_key_trips_once_there_is_one_and_it_is_given_again():
    house = House(UNTAGGED)
    house.deliver()
    house.keys.put(a_key("a"))

    done = house.deliver()

    assert (done.finished, done.trip.status) == (True, "done")
    assert house.enabled() == []
    assert house.told() == ["empty", "done"]


def test_an_order_that_came_while_the_fuse_was_off_trips_once_it_is_armed_and_given_again():
    house = House(mode="off")
    house.deliver()
    house.trip = replace(house.trip, mode="armed")

    house.deliver()

    assert house.enabled() == []
    assert house.told() == ["off", "done"]


@pytest.mark.parametrize("mode", ["armed", "off"])
def test_an_order_given_again_with_the_same_outcome_is_not_reported_again(mode):
    house = House(UNTAGGED, mode=mode)
    house.deliver()

    assert house.deliver().finished
    assert len(house.told()) == 1


def test_an_order_that_found_no_key_is_over_with_its_period():
    house = House(UNTAGGED)
    house.deliver()
    house.keys.put(a_key("a"))
    house.now = datetime(2026, 12, 1, tzinfo=UTC)

    assert house.deliver().finished
    assert house.enabled() == ["a"]
    assert house.told() == ["empty"]


def test_a_restore_answers_the_orders_that_found_no_key():
    house = House(UNTAGGED)
    house.deliver()
    house.keys.put(a_key("a"))
    house.deliver(TripOrder("llm", MANUAL, "2026-11-21", 0, 0))
    house.restore()

    house.deliver()

    # Else the restore would last until the old message comes once more, and the ledger would
    # have no threshold left at which it trips again.
    assert house.enabled() == ["a"]
    assert house.store.state().allowance("all", "2026-11") is not None
    assert house.told() == ["empty", "done", "restored"]


def test_a_dry_run_plans_reports_changes_nothing_and_is_remembered():
    house = House(mode="dry-run")
    house.deliver()
    house.deliver()

    assert house.enabled() == ["a", "b"]
    assert house.store.state().state == "armed"
    assert list(house.store.records()) == []
    assert house.told() == ["dry-run"]
    assert "Would be disabled: name-b (b)" in house.reports[0].details


def test_a_fuse_that_is_off_reports_and_does_nothing():
    house = House(mode="off")
    house.deliver()

    assert house.enabled() == ["a", "b"]
    assert house.told() == ["off"]


@pytest.mark.parametrize("mode", ["dry-run", "off"])
def test_a_person_trips_in_every_mode(mode):
    house = House(mode=mode)
    house.deliver(TripOrder("llm", MANUAL, "2026-11-21", 0, 0))

    assert house.enabled() == []
    assert house.reports[0].budget is None


@pytest.mark.parametrize("period", ["2026-10", "2026-11-20", "2026-W46", "2026-12"])
def test_a_period_that_is_not_the_current_one_never_trips(house, period):
    house.deliver(replace(ORDER, period=period))

    assert house.enabled() == ["a", "b"]
    assert house.told() == ["past"]


@pytest.mark.parametrize("period", ["2026-11", "2026-11-21", "2026-W47"])
def test_the_current_day_week_and_month_trip(house, period):
    house.deliver(replace(ORDER, period=period))

    assert house.enabled() == []


def test_a_trip_under_way_is_finished_after_its_period_ended(house):
    house.deliver(may_go_on=lambda: False)
    house.now = datetime(2026, 12, 1, tzinfo=UTC)

    assert house.deliver().finished
    assert house.enabled() == []


def test_a_second_cause_joins_and_takes_the_keys_made_since(house):
    house.deliver()
    house.keys.put(a_key("new"))

    done = house.deliver(replace(ORDER, budget="a-team"))

    assert done.trip.joined
    assert house.enabled() == []
    assert house.store.state().epoch == 1
    assert house.reports[-1].headline == "Fuse was tripped already: 1 API key more disabled"


def test_a_second_cause_without_further_keys_is_recorded(house):
    house.deliver()

    done = house.deliver(replace(ORDER, budget="a-team"))

    assert (done.finished, done.trip.status) == (True, "done")


def test_an_order_older_than_its_budgets_restore_is_stale(house):
    house.deliver()
    house.restore()

    house.deliver(replace(ORDER, limit_nano_usd=1500))

    assert house.enabled() == ["a", "b"]
    assert house.told() == ["done", "restored", "stale"]


def test_the_order_of_the_next_allowance_trips_again(house):
    house.deliver()
    house.restore()

    house.deliver(replace(ORDER, allowance=1))

    assert house.enabled() == []
    assert house.store.state().epoch == 3


def test_a_restore_in_the_middle_stops_a_late_continuation(house):
    steps = iter([True, False])
    house.deliver(may_go_on=lambda: next(steps))
    house.restore()

    late = house.deliver()

    assert late.finished
    assert house.enabled() == ["a", "b"]
    assert house.store.state().state == "armed"


@pytest.mark.parametrize("moment", ["before the call", "after the call"])
def test_a_restore_while_a_key_is_being_switched_wins(house, moment):
    disable, once = house.keys.disable, []

    def interrupted(key_id):
        if not once and moment == "before the call":
            once.append(house.restore())
        disable(key_id)
        if not once:
            once.append(house.restore())

    house.keys.disable = interrupted

    assert house.deliver().finished
    assert house.enabled() == ["a", "b"]
    assert set(house.statuses().values()) <= {"planned", "restored"}


def test_a_restore_before_a_keys_turn_keeps_it_from_being_touched(house):
    list_keys, touched = house.keys.all_keys, []
    house.keys.disable = touched.append
    house.deliver(may_go_on=lambda: False)

    def restored_meanwhile():
        house.keys.all_keys = list_keys
        house.restore()
        return list_keys()

    house.keys.all_keys = restored_meanwhile

    assert house.deliver().finished
    assert touched == []


def test_a_late_continuation_does_not_even_list_the_keys(house):
    house.deliver(may_go_on=lambda: False)
    plan = house.restore.plan()
    # A restore that broke off: the trip itself does not say yet that it is over.
    house.store.arm(plan.allowances, epoch=plan.state.epoch, at=NOW)
    listed = []
    house.keys.all_keys = lambda: listed.append(True) or []

    assert house.deliver().finished
    assert listed == []


def test_a_trip_overtaken_by_another_trip_leaves_its_key_to_the_next_restore(house):
    disable, once = house.keys.disable, []

    def restored_and_tripped_again(key_id):
        disable(key_id)
        if not once:
            once.append(True)
            house.restore()
            house.deliver(replace(ORDER, allowance=1))

    house.keys.disable = restored_and_tripped_again

    house.deliver()
    assert house.enabled() == []

    house.restore()
    assert house.enabled() == ["a", "b"]


class DiedError(Exception):
    """The other worker ends here."""


def test_a_duplicate_that_never_began_leaves_the_other_workers_records_alone(house):
    blow, disable = house.store.blow, house.keys.disable

    def die(_key_id):
        raise DiedError

    def the_other_is_faster_and_dies(trip_id, **how):
        house.store.blow, house.keys.disable = blow, die
        with pytest.raises(DiedError):
            house.deliver()
        house.keys.disable = disable
        blow(trip_id, **how)

    house.store.blow = the_other_is_faster_and_dies

    assert not house.deliver().finished
    assert house.statuses() == {"a": "planned", "b": "disabling"}
    assert [trip.status for trip in house.store.trips()] == ["tripping"]
    assert house.told() == []

    assert house.deliver().finished
    assert house.enabled() == []
    assert house.told() == ["done"]


def test_an_order_overtaken_by_another_before_it_began_joins_it(house):
    blow = house.store.blow

    def the_other_is_faster(trip_id, **how):
        house.store.blow = blow
        house.deliver(replace(ORDER, budget="a-team"))
        blow(trip_id, **how)

    house.store.blow = the_other_is_faster

    assert not house.deliver().finished
    done = house.deliver()
    assert (done.finished, done.trip.status, done.trip.joined) == (True, "done", True)
    assert house.told() == ["done", "done"]


def test_a_trip_that_another_worker_moved_on_is_not_closed_by_a_late_one(house):
    house.keys.put(Key("memory", "a", "name-a", enabled=True))
    house.keys.put(Key("memory", "b", "name-b", enabled=True))

    def tag_a_key_and_trip_it(_report):
        house.trip = replace(house.trip, tell=house.reports.append)
        house.keys.put(a_key("a"))
        house.deliver(may_go_on=lambda: False)

    house.trip = replace(house.trip, tell=tag_a_key_and_trip_it)

    assert not house.deliver().finished
    assert [trip.status for trip in house.store.trips()] == ["tripping"]


def test_a_key_whose_result_is_unknown_is_not_called_disabled_without_a_look(house):
    def die(_key_id):
        raise DiedError

    disable, house.keys.disable = house.keys.disable, die
    with pytest.raises(DiedError):
        house.deliver()
    house.keys.disable = disable
    plan = house.restore.plan()
    house.store.arm(plan.allowances, epoch=plan.state.epoch, at=NOW)
    # The second trip finds another key: the first one's is still working.
    house.keys.put(Key("memory", "a", "name-a", enabled=True))
    house.keys.put(Key("memory", "b", "name-b", enabled=True))
    house.keys.put(a_key("c"))
    house.deliver(replace(ORDER, budget="a-team"))

    house.deliver()

    statuses = {(each.trip_id, each.key.id): each.status for each in house.store.records()}
    assert statuses[ORDER.id, "b"] == "disabling"


def test_a_restore_that_did_not_know_of_an_order_does_not_swallow_it(house):
    house.deliver()
    house.keys.put(a_key("new"))
    plan = house.restore.plan()
    second = replace(ORDER, budget="a-team")
    # It joins after the restore looked which budgets to give an allowance to.
    house.deliver(second, may_go_on=lambda: False)
    house.store.arm(plan.allowances, epoch=plan.state.epoch, at=NOW)

    assert not house.deliver(second).finished
    assert house.deliver(second).finished
    assert "new" not in house.enabled()
    assert house.store.state().trip_id == second.id


def test_a_crash_before_the_report_repeats_the_same_report(house):
    def crash(_report):
        raise UnavailableError("SNS is down")

    tell = house.trip.tell
    house.trip = replace(house.trip, tell=crash)
    with pytest.raises(UnavailableError):
        house.deliver()
    house.trip = replace(house.trip, tell=tell)
    house.deliver()
    house.deliver()

    assert house.told() == ["done"]
    assert house.reports[0].headline == "Fuse tripped: 2 API keys disabled"


def test_a_key_disabled_by_a_person_before_its_turn_stays_theirs(house):
    steps = iter([True, False])
    house.deliver(may_go_on=lambda: next(steps))
    house.keys.put(a_key("a", enabled=False))
    house.deliver()

    house.restore()

    assert house.enabled() == ["b"]
    assert house.statuses()["a"] == "left"


def test_allowances_of_other_budgets_do_not_make_an_order_stale(house):
    house.store.open_trip(replace(house.deliver().trip))
    house.store.arm({"other#2026-11": Allowance("other", "2026-11", 3, 5)}, epoch=1, at=NOW)

    house.deliver(replace(ORDER, limit_nano_usd=7))

    assert house.enabled() == []
