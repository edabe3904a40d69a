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


def told_of(stage: Deployed, channel: str, *alarms: str) -> list[str]:
    """Return what people were told of the alarms; the stage is shared, and others ring too."""
    messages = [json.dumps(each.body) for each in stage.sandbox.inbox.messages(channel)]
    return [each for each in messages if any(f":alarm:{name}" in each for name in alarms)]


@pytest.fixture(scope="module")
def heard(stage: Deployed, cloudwatch: Any) -> dict[str, list[str]]:
    """What people are told when more is spent today than the alarm allows, and then less."""
    wait_until(lambda: this_minute_has_no_figure(cloudwatch), 75)
    before = {channel: len(told_of(stage, channel, INCIDENT, CHILD)) for channel in CHANNELS}

    def since() -> dict[str, list[str]]:
        return {
            channel: told_of(stage, channel, INCIDENT, CHILD)[count:]
            for channel, count in before.items()
        }

    put_spent_today(cloudwatch, 150.0, datetime.now(UTC) - MINUTE)
    wait_until(lambda: all(since().values()), 20)
    # Unless publish_gauges has been first, with what was really spent.
    put_spent_today(cloudwatch, 1.0, datetime.now(UTC))
    wait_until(lambda: all(len(messages) > 1 for messages in since().values()), 20)
    time.sleep(2)
    return since()


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


def test_a_run_that_the_schedule_starts_is_measured(stage: Deployed, cloudwatch: Any) -> None:
    resources = stage.sandbox.client("cloudformation").describe_stack_resources(
        StackName="spendfuse-ledger"
    )["StackResources"]
    (function,) = (
        each["PhysicalResourceId"]
        for each in resources
        if each["LogicalResourceId"].startswith("WatchBudgetsFunction")
        and each["ResourceType"] == "AWS::Lambda::Function"
    )

    def measured(metric: str) -> list[float]:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=now - 10 * MINUTE,
            EndTime=now + MINUTE,
            Period=60,
            Statistics=["Sum"],
        )
        return [each["Sum"] for each in found["Datapoints"]]

    wait_until(lambda: bool(measured("Invocations")), 70)

    assert sum(measured("Invocations")) >= 1
    # Other tests may have made it fail; where it did not, that is measured too.
    assert measured("Errors")


def test_the_dashboard_is_deployed(cloudwatch: Any) -> None:
    body = json.loads(cloudwatch.get_dashboard(DashboardName="spendfuse")["DashboardBody"])

    assert len(body["widgets"]) > 15


def test_one_cause_rings_once_in_each_channel(heard: Any) -> None:
    for channel in CHANNELS:
        rang = [each for each in heard[channel] if "Resolved" not in each]
        assert len(rang) == 1


def test_it_names_what_set_it_off_and_its_runbook(heard: Any) -> None:
    for channel in CHANNELS:
        assert f":alarm:{INCIDENT}" in heard[channel][0]
        assert f"Set off by: {CHILD}" in heard[channel][0]
        assert "docs/runbooks/spend-incident.md" in heard[channel][0]
        assert "critical" in heard[channel][0]


def test_it_ends_once_in_each_channel(heard: Any, cloudwatch: Any) -> None:
    for channel in CHANNELS:
        assert len([each for each in heard[channel] if "Resolved" in each]) == 1
    assert states(cloudwatch)[INCIDENT] == "OK"


def test_an_alarm_on_a_band_is_kept_and_not_evaluated(cloudwatch: Any, heard: Any) -> None:
    assert states(cloudwatch)["spendfuse-spend-anomaly"] == "INSUFFICIENT_DATA"


def test_what_nobody_could_handle_is_told(stage: Deployed) -> None:
    alarm, sqs = "spendfuse-dead-letters-trip", stage.sandbox.client("sqs")
    queue_url = stage.outputs["TripDeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=queue_url, MessageBody="not an order")
    wait_until(lambda: all(told_of(stage, channel, alarm) for channel in CHANNELS), 20)
    heard = {channel: told_of(stage, channel, alarm) for channel in CHANNELS}
    sqs.purge_queue(QueueUrl=queue_url)

    for channel in CHANNELS:
        assert len(heard[channel]) == 1
        assert "docs/runbooks/dead-letters.md" in heard[channel][0]
