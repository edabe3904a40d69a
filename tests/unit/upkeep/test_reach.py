"""How late each net is: the sum of its steps, and the dollars of that time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from spendfuse.budget import Budget, Rung
from spendfuse.upkeep.deployment import AlarmPace, Deployment, Sender
from spendfuse.upkeep.nets import AWS_BILL, Nets
from spendfuse.upkeep.reach import (
    AwsRungs,
    BudgetReach,
    SpendAlarms,
    aws_reach,
    budget_reach,
    even_pace,
    pace_reach,
    spent_in,
)

NANO = 10**9
SDK = Sender(
    linger_seconds=1.0,
    max_records=500,
    max_bytes=240_000,
    connect_seconds=2,
    read_seconds=5,
    attempts=3,
)
NETS = Nets(Deployment(), SDK)
ALARMS = SpendAlarms(80, 100, Decimal(100), Decimal(20), anomaly=True, cost_anomaly_usd=None)
NO_ALARMS = SpendAlarms(None, None, None, None, anomaly=False, cost_anomaly_usd=None)
LADDER = (Rung(50, ("slack",)), Rung(100, ("slack",), trips=True))
LLM = Budget("llm", 730 * NANO, "month", LADDER)


def seen_by(reach: BudgetReach) -> dict[int, list[str]]:
    return {level.percent: [each.net.name for each in level.sightings] for level in reach.levels}


def test_each_rung_is_seen_by_the_ledger_and_by_the_alarm_of_its_percentage() -> None:
    ledger = [
        "ledger, by the table's stream",
        "ledger, the stream's record lost",
        "ledger, the recorder died once",
    ]

    assert seen_by(budget_reach(LLM, NETS, ALARMS, usd_per_hour=None)) == {
        50: ledger,
        80: ["alarm budget-used-llm-warning"],
        100: [
            "guard: the request is refused",
            *ledger,
            "fuse: the keys are off",
            "alarm budget-used-llm-critical",
        ],
    }


def test_an_alarm_beside_a_rung_is_silent_but_for_the_roots_critical_one() -> None:
    ladder = (Rung(50, ("slack",)), Rung(80, ("slack",)), Rung(100, ("slack",), trips=True))
    root = seen_by(budget_reach(replace(LLM, ladder=ladder), NETS, ALARMS, usd_per_hour=None))
    team = Budget("search", NANO, "month", ladder, match={"team": "search"})

    assert not any(name.startswith("alarm") for name in root[80])
    assert "alarm budget-used-llm-critical" in root[100]
    assert (
        "alarm budget-used-search-critical"
        not in seen_by(budget_reach(team, NETS, ALARMS, usd_per_hour=None))[100]
    )


def test_a_fuse_that_is_not_armed_stops_nothing() -> None:
    reach = budget_reach(LLM, NETS, NO_ALARMS, usd_per_hour=None, is_armed=False)

    assert "fuse: the keys are off" not in seen_by(reach)[100]


def test_a_budget_for_each_user_has_the_guard_alone() -> None:
    each_user = Budget("user", NANO, "day", LADDER, per="user")

    assert seen_by(budget_reach(each_user, NETS, ALARMS, usd_per_hour=None)) == {
        100: ["guard: the request is refused"]
    }


def test_nothing_sees_a_budget_that_is_only_observed_and_has_no_rungs() -> None:
    observed = Budget("user", NANO, "day", per="user", mode="observe")

    assert budget_reach(observed, NETS, ALARMS, usd_per_hour=None).levels == ()


def test_by_default_money_goes_ten_times_as_fast_as_it_should() -> None:
    reach = budget_reach(LLM, NETS, ALARMS, usd_per_hour=None)

    assert even_pace(730 * NANO, "month") == 1
    assert reach.usd_per_hour == 10


def test_what_is_spent_meanwhile_goes_by_the_pace_that_is_given() -> None:
    reach = budget_reach(LLM, NETS, NO_ALARMS, usd_per_hour=Decimal(3600))
    (stream, *_) = reach.levels[0].sightings

    assert stream.usd == stream.seconds == NETS.by_stream.seconds


def test_dollars_are_rounded_up_to_a_cent() -> None:
    assert spent_in(1, Decimal("0.01")) == Decimal("0.01")
    assert spent_in(0, Decimal(100)) == 0


def test_a_lost_stream_record_costs_the_minute_of_the_schedule() -> None:
    assert NETS.by_schedule.seconds - NETS.by_stream.seconds == 60 - 1


def test_a_recorder_that_dies_costs_the_queue_s_visibility_and_another_run() -> None:
    assert NETS.after_a_crash.seconds - NETS.by_stream.seconds == 180 + 30


@pytest.mark.parametrize(("enough", "seconds"), [(1, 60), (3, 180)])
def test_an_alarm_waits_for_m_of_its_periods(enough: int, seconds: int) -> None:
    at_once = NETS.alarm("a", AlarmPace(60, enough=0)).seconds

    assert NETS.alarm("a", AlarmPace(60, enough=enough)).seconds - at_once == seconds


def test_aws_budgets_see_the_bill_of_aws_a_day_late() -> None:
    rungs = AwsRungs("month-1a2b3c4d", "llm", 100 * NANO, "month", (80, 100), (100,), 100)
    reach = aws_reach(rungs, NETS, usd_per_hour=None)
    actual, tripping, forecast = reach.levels

    assert actual.sightings[0].net.sees == AWS_BILL
    assert actual.sightings[0].seconds == 86_400 + 61
    assert (actual.trips, tripping.trips, forecast.trips) == (False, True, False)
    assert forecast.sightings[0].seconds is None


def test_a_daily_aws_budget_tells_of_the_day_before() -> None:
    assert (
        NETS.aws_budget("day", is_daily=True).seconds
        - NETS.aws_budget("month", is_daily=False).seconds
        == 86_400
    )


def test_an_alarm_on_the_pace_rings_once_that_much_is_spent_and_seen() -> None:
    hourly, daily, anomaly = pace_reach(ALARMS, NETS, Decimal(40))

    assert hourly.seconds == 1800 + hourly.net.seconds
    assert daily.seconds == 9000 + daily.net.seconds
    assert hourly.usd == 20 + spent_in(hourly.net.seconds, Decimal(40))
    assert anomaly.seconds == anomaly.net.seconds


def test_an_alarm_on_the_pace_never_rings_below_it() -> None:
    hourly, daily, _ = pace_reach(ALARMS, NETS, Decimal(20))

    assert (hourly.seconds, hourly.note) == (None, "not at this pace")
    assert daily.seconds is not None


def test_what_is_off_sees_nothing() -> None:
    assert pace_reach(NO_ALARMS, NETS, Decimal(1000)) == ()
