"""Alarms as deployed: one cause rings once, and ends once.

Last of all, because what it publishes is more than any story spends. The figures are put in by
hand: that publish_gauges publishes them is tested with the ledger.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spendfuse import metrics
from spendfuse.sandbox.demo.stage import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

INCIDENT = "spendfuse-spend-incident"
CHILD = "spendfuse-high-daily-cost"
CHANNELS = ("slack", "email")
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def cloudwatch(stage: Deployed) -> Any:
    return stage.sandbox.client("cloudwatch")


def states(cloudwatch: Any) -> dict[str, str]:
    answer = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return {
        each["AlarmName"]: each["StateValue"]
        for kind in ("MetricAlarms", "CompositeAlarms")
        for each in answer[kind]
    }


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.2)


def put_spent_today(cloudwatch: Any, usd: float, at: datetime) -> None:
    dimensions = [{"Name": metrics.DEPLOYMENT, "Value": "spendfuse"}]
    cloudwatch.put_metric_data(
        Namespace=metrics.NAMESPACE,
        MetricData=[
            {
                "MetricName": metrics.DAY_TO_DATE_USD,
                "Dimensions": dimensions,
                "Value": usd,
                "Timestamp": at,
            }
        ],
    )


def this_minute_has_no_figure(cloudwatch: Any) -> bool:
    now = datetime.now(UTC)
    minute = now.replace(second=0, microsecond=0)
    answer = cloudwatch.get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=metrics.DAY_TO_DATE_USD,
        Dimensions=[{"Name": metrics.DEPLOYMENT, "Value": "spendfuse"}],
        StartTime=minute,
        EndTime=minute + MINUTE,
        Period=60,
        Statistics=["Maximum"],
    )
    return now.second < 55 and not answer["Datapoints"]


def told(stage: Deployed, channel: str) -> list[str]:
    return [json.dumps(each.body) for each in stage.sandbox.inbox.messages(channel)]


def after(stage: Deployed, counts: dict[str, int]) -> dict[str, list[str]]:
    """Return what came since, once it has had time to."""
    wait_until(lambda: all(len(told(stage, each)) > n for each, n in counts.items()), 20)
    time.sleep(2)
    return {channel: told(stage, channel)[count:] for channel, count in counts.items()}


@pytest.fixture(scope="module")
def rang(stage: Deployed, cloudwatch: Any) -> dict[str, list[str]]:
    """What people were told when more was spent today than the alarm allows."""
    wait_until(lambda: this_minute_has_no_figure(cloudwatch), 75)
    counts = {channel: len(told(stage, channel)) for channel in CHANNELS}
    put_spent_today(cloudwatch, 150.0, datetime.now(UTC) - MINUTE)
    wait_until(lambda: states(cloudwatch)[INCIDENT] == "ALARM", 10)
    return after(stage, counts)


@pytest.fixture(scope="module")
def ended(stage: Deployed, cloudwatch: Any, rang: Any) -> dict[str, list[str]]:
    """What people were told when the next figure was a low one."""
    counts = {channel: len(told(stage, channel)) for channel in CHANNELS}
    put_spent_today(cloudwatch, 1.0, datetime.now(UTC))
    wait_until(lambda: states(cloudwatch)[INCIDENT] == "OK", 10)
    return after(stage, counts)


def test_every_alarm_is_deployed_and_none_rings_for_want_of_data(
    stage: Deployed, cloudwatch: Any
) -> None:
    resources = stage.sandbox.client("cloudformation").describe_stack_resources(
        StackName="spendfuse-monitoring"
    )["StackResources"]
    made = {
        each["PhysicalResourceId"]
        for each in resources
        if each["ResourceType"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    }
    found = states(cloudwatch)
    ringing = {name for name, state in found.items() if state == "ALARM"}

    assert {INCIDENT, CHILD} < made <= found.keys()
    assert not {name for name in ringing if "heartbeat" in name or "metering" in name}


def test_the_dashboard_is_deployed(cloudwatch: Any) -> None:
    body = json.loads(cloudwatch.get_dashboard(DashboardName="spendfuse")["DashboardBody"])

    assert len(body["widgets"]) > 15


def test_one_cause_rings_once_in_each_channel(rang: Any) -> None:
    assert {channel: len(messages) for channel, messages in rang.items()} == {
        "slack": 1,
        "email": 1,
    }


def test_it_names_what_set_it_off_and_its_runbook(rang: Any) -> None:
    for (message,) in rang.values():
        assert CHILD in message
        assert "docs/runbooks/spend-incident.md" in message
        assert "critical" in message


def test_it_ends_once_in_each_channel(ended: Any) -> None:
    for channel in CHANNELS:
        (message,) = ended[channel]
        assert "Resolved" in message


def test_an_alarm_on_a_band_is_kept_and_not_evaluated(cloudwatch: Any, rang: Any) -> None:
    assert states(cloudwatch)["spendfuse-spend-anomaly"] == "INSUFFICIENT_DATA"
