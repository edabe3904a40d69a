import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spendfuse.alerts.cloudwatch import alarm_notice
from spendfuse.sandbox.alarm_message import Change, message, subject

ENVELOPES = Path(__file__).parents[2] / "envelopes"
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
CHANGE = Change(
    old="OK",
    new="ALARM",
    reason="Threshold Crossed",
    at=datetime(2026, 11, 21, 10, 2, 11, 640_000, tzinfo=UTC),
    account="123456789012",
    region_name="US East (N. Virginia)",
)


def an_alarm(**changes):
    return {
        "AlarmName": "acme-high-daily-cost",
        "AlarmArn": f"{ARN}acme-high-daily-cost",
        "AlarmDescription": "More than $100 a day.",
        "AlarmConfigurationUpdatedTimestamp": 1_790_000_000,
        "MetricName": "DayToDateUSD",
        "Namespace": "Spendfuse/Ledger",
        "Statistic": "Maximum",
        "Dimensions": [{"Name": "Deployment", "Value": "acme"}],
        "Period": 300,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 100.0,
        "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:alerts"],
        **changes,
    }


def a_composite(**changes):
    alarm = {name: value for name, value in an_alarm().items() if name.startswith("Alarm")}
    child = {"value": "ALARM", "timestamp": "2026-11-21T10:02:11.000+0000"}
    return {
        **alarm,
        "AlarmRule": 'ALARM("acme-high-daily-cost")',
        "StateReasonData": json.dumps(
            {"triggeringAlarms": [{"arn": f"{ARN}acme-high-daily-cost", "state": child}]}
        ),
        **changes,
    }


def recorded(name):
    return json.loads((ENVELOPES / name).read_text())


def test_a_metric_alarms_message_has_what_a_recorded_one_has():
    ours, theirs = message(an_alarm(), CHANGE), recorded("alarm-metric.json")

    assert ours.keys() == theirs.keys()
    assert ours["Trigger"].keys() == theirs["Trigger"].keys()
    assert ours["Trigger"]["Statistic"] == theirs["Trigger"]["Statistic"]
    assert ours["StateChangeTime"] == theirs["StateChangeTime"]


def test_a_composite_alarms_message_has_its_rule_and_no_trigger():
    ours, theirs = message(a_composite(), CHANGE), recorded("alarm-composite.json")

    assert ours.keys() == theirs.keys()
    assert ours["TriggeringChildren"][0].keys() == theirs["TriggeringChildren"][0].keys()


@pytest.mark.parametrize("alarm", [an_alarm(), a_composite(), an_alarm(AlarmDescription="")])
def test_the_notifier_can_read_each(alarm):
    notice = alarm_notice(message(alarm, CHANGE))

    assert notice.arn == alarm["AlarmArn"]
    assert notice.state == "ALARM"
    assert notice.composite == ("AlarmRule" in alarm)


def test_an_alarm_without_a_description_has_null():
    assert message(an_alarm(AlarmDescription=""), CHANGE)["AlarmDescription"] is None


def test_a_percentile_is_named_as_aws_names_it():
    trigger = message(an_alarm(ExtendedStatistic="p95"), CHANGE)["Trigger"]

    assert (trigger["StatisticType"], trigger["ExtendedStatistic"]) == ("ExtendedStatistic", "p95")


def test_an_alarm_on_metric_math_names_its_metrics_instead():
    metrics = [{"Id": "m", "Expression": "1+1", "ReturnData": True}]
    alarm = an_alarm(Metrics=metrics)
    trigger = message({k: v for k, v in alarm.items() if k != "MetricName"}, CHANGE)["Trigger"]

    assert trigger["Metrics"] == metrics
    assert "MetricName" not in trigger


def test_the_subject_is_awss_and_short_enough_for_sns():
    assert subject(an_alarm(), CHANGE) == 'ALARM: "acme-high-daily-cost" in US East (N. Virginia)'
    assert len(subject(an_alarm(AlarmName="a" * 255), CHANGE)) == 100
