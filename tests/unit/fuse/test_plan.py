from __future__ import annotations

import pytest

from spendfuse.fuse.key import Key
from spendfuse.fuse.plan import no_key_reason, plan_trip
from spendfuse.fuse.records import KeyRecord
from spendfuse.fuse_state import KeySpend, TripOrder

ORDER = TripOrder("llm", "all", "2026-11", 100, 10**12)
OURS = {"spendfuse:fuse": "llm"}


def a_key(id, *, enabled=True, name="", **tags):
    named = {f"spendfuse:{tag}": value for tag, value in tags.items()}
    return Key("memory", id, name, enabled, {**OURS, **named})


def ids(keys):
    return [key.id for key in keys]


def test_the_dearest_key_comes_first_and_unknown_ones_follow_by_owner_then_name():
    order = TripOrder(
        "llm", "all", "2026-11", 100, 1, keys=(KeySpend("cheap", 5), KeySpend("dear", 50))
    )
    keys = [
        a_key("z", name="b", owner="ann"),
        a_key("y", name="a", owner="bob"),
        a_key("x", name="a", owner="ann"),
        a_key("cheap"),
        a_key("dear"),
    ]

    assert ids(plan_trip(keys, order, []).disable) == ["dear", "cheap", "x", "z", "y"]


def test_a_key_of_another_fuse_or_of_none_is_counted_and_not_touched():
    keys = [
        a_key("ours"),
        Key("memory", "bare", "", enabled=True),
        Key("memory", "theirs", "", enabled=True, tags={"spendfuse:fuse": "llm-2"}),
    ]

    plan = plan_trip(keys, ORDER, [])

    assert ids(plan.disable) == ["ours"]
    assert plan.foreign == 2


@pytest.mark.parametrize("value", ["true", "True", " TRUE "])
def test_a_protected_key_is_left_alone(value):
    plan = plan_trip([a_key("k", protect=value)], ORDER, [])

    assert plan.disable == ()
    assert [each.reason for each in plan.left] == ["tagged spendfuse:protect=true"]


def test_protection_has_to_say_true():
    assert ids(plan_trip([a_key("k", protect="false")], ORDER, []).disable) == ["k"]


def test_a_key_that_somebody_disabled_is_left_to_them():
    (left,) = plan_trip([a_key("k", enabled=False)], ORDER, []).left

    assert left.by_somebody
    assert left.reason == "already disabled by somebody else"


@pytest.mark.parametrize("trip_id", [ORDER.id, "another"])
def test_a_key_that_this_fuse_disabled_is_not_somebodys_decision(trip_id):
    record = KeyRecord(trip_id, a_key("k"), "disabled")

    (left,) = plan_trip([a_key("k", enabled=False)], ORDER, [record]).left

    assert not left.by_somebody
    assert left.reason == "already disabled by this fuse"


@pytest.mark.parametrize("status", ["disabling", "failed"])
def test_a_key_disabled_but_not_yet_verified_is_taken_up_again(status):
    record = KeyRecord(ORDER.id, a_key("k"), status)

    assert ids(plan_trip([a_key("k", enabled=False)], ORDER, [record]).disable) == ["k"]


def test_a_key_that_an_earlier_trip_called_for_in_vain_and_is_disabled_by_now_is_ours():
    record = KeyRecord("an earlier one", a_key("k"), "failed")

    (left,) = plan_trip([a_key("k", enabled=False)], ORDER, [record]).left

    assert not left.by_somebody


@pytest.mark.parametrize("status", ["planned", "left", "restored"])
def test_a_key_found_disabled_that_this_trip_had_not_disabled_is_somebodys(status):
    record = KeyRecord(ORDER.id, a_key("k"), status)

    (left,) = plan_trip([a_key("k", enabled=False)], ORDER, [record]).left

    assert left.by_somebody


def test_a_key_enabled_again_by_somebody_during_the_trip_stays_enabled():
    record = KeyRecord(ORDER.id, a_key("k"), "disabled")

    plan = plan_trip([a_key("k")], ORDER, [record])

    assert plan.disable == ()
    assert "enabled it again" in plan.left[0].reason


def test_a_key_enabled_since_an_earlier_trip_is_planned_by_the_next():
    record = KeyRecord("an earlier one", a_key("k"), "disabled")

    assert ids(plan_trip([a_key("k")], ORDER, [record]).disable) == ["k"]


def test_an_empty_plan_says_what_would_change_it():
    nothing = plan_trip([Key("memory", "bare", "", enabled=True)], ORDER, [])
    protected = plan_trip([a_key("k", protect="true")], ORDER, [])

    assert "no key is tagged spendfuse:fuse=llm" in no_key_reason(nothing, "llm")
    assert "disabled already or protected" in no_key_reason(protected, "llm")
