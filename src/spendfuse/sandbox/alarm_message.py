"""What CloudWatch publishes when an alarm changes its state, as it words it on AWS.

A metric alarm's message has a ``Trigger``; a composite one's has its ``AlarmRule`` and the
children that set it off instead. Messages recorded from AWS are in ``tests/envelopes``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_SUBJECT_LENGTH = 100
_ACTIONS = ("OKActions", "AlarmActions", "InsufficientDataActions")
_TRIGGER = ("Period", "EvaluationPeriods", "DatapointsToAlarm", "ComparisonOperator")


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm's change of state."""

    old: str
    new: str
    reason: str
    at: datetime
    account: str
    region_name: str
    """As people read it: ``US East (N. Virginia)``."""


def subject(alarm: Mapping[str, Any], change: Change) -> str:
    return f'{change.new}: "{alarm["AlarmName"]}" in {change.region_name}'[:_SUBJECT_LENGTH]


def message(alarm: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Return the message's JSON; ``alarm`` is as the emulator keeps it."""
    common = {
        "AlarmName": alarm["AlarmName"],
        # AWS sends null for an alarm without a description, never an empty text.
        "AlarmDescription": alarm.get("AlarmDescription") or None,
        "AWSAccountId": change.account,
        "NewStateValue": change.new,
        "NewStateReason": change.reason,
        "StateChangeTime": _timestamp(change.at),
        "Region": change.region_name,
        "AlarmArn": alarm["AlarmArn"],
        **{name: list(alarm.get(name) or ()) for name in _ACTIONS},
        "OldStateValue": change.old,
    }
    if "AlarmRule" in alarm:
        children = _triggering_children(alarm)
        return {**common, "AlarmRule": alarm["AlarmRule"], "TriggeringChildren": children}
    configured = datetime.fromtimestamp(alarm["AlarmConfigurationUpdatedTimestamp"], UTC)
    return {
        **common,
        "AlarmConfigurationUpdatedTimestamp": _timestamp(configured),
        "Trigger": _trigger(alarm),
    }


def _trigger(alarm: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: alarm[name] for name in _TRIGGER if alarm.get(name) is not None}
    asked |= {
        "Threshold": alarm.get("Threshold"),
        "TreatMissingData": alarm.get("TreatMissingData") or "missing",
        "EvaluateLowSampleCountPercentile": "",
    }
    if alarm.get("Metrics"):
        return {**asked, "Metrics": alarm["Metrics"]}
    return {
        "MetricName": alarm["MetricName"],
        "Namespace": alarm["Namespace"],
        **_statistic(alarm),
        "Unit": alarm.get("Unit"),
        "Dimensions": [
            {"value": each["Value"], "name": each["Name"]} for each in alarm.get("Dimensions") or ()
        ],
        **asked,
    }


def _statistic(alarm: Mapping[str, Any]) -> dict[str, str]:
    if alarm.get("ExtendedStatistic"):
        extended = str(alarm["ExtendedStatistic"])
        return {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": extended}
    statistic = str(alarm.get("Statistic") or "Average")
    return {"StatisticType": "Statistic", "Statistic": statistic.upper()}


def _triggering_children(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = json.loads(alarm.get("StateReasonData") or "{}")
    return [
        {
            "Arn": each["arn"],
            "State": {"Value": each["state"]["value"], "Timestamp": each["state"]["timestamp"]},
        }
        for each in data.get("triggeringAlarms", ())
    ]


def _timestamp(at: datetime) -> str:
    in_utc = at.astimezone(UTC)
    return f"{in_utc:%Y-%m-%dT%H:%M:%S}.{in_utc.microsecond // 1000:03d}+0000"
