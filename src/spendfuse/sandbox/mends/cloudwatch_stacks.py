"""CloudFormation's alarms: composite ones, those on metric math, detectors; and dashboards.

A composite alarm goes through the emulator's own PutCompositeAlarm, which evaluates it. An
alarm on metric math or on an anomaly band is checked and kept.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from spendfuse.sandbox.alarm_checks import dashboard_refusal, detector_refusal, math_refusal

Properties = Mapping[str, Any]
Provisioned = tuple[str, dict[str, str]]

COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
DETECTOR = "AWS::CloudWatch::AnomalyDetector"
_OF_ONE_METRIC = (
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Period",
    "Dimensions",
    "Unit",
    "Threshold",
)


class AlarmRefusedError(Exception):
    """CloudWatch's answer, which CloudFormation gives as the reason."""


def mend() -> None:
    """Take the place of the emulator's own."""
    plain_record, body_of = provisioners._cw_metric_alarm_record, provisioners._cw_dashboard_body

    def metric_alarm_record(name: str, properties: Properties) -> dict[str, Any]:
        if not properties.get("Metrics"):
            return dict(plain_record(name, properties))
        _refuse(math_refusal(properties))
        # The rest is as in any alarm: what it wants of these three is put in and taken out again.
        stand_ins = {"MetricName": "-", "Namespace": "-", "Threshold": 0, "Metrics": None}
        record = plain_record(name, {**properties, **stand_ins})
        kept = {key: value for key, value in record.items() if key not in _OF_ONE_METRIC}
        for key in ("Metrics", "Threshold", "ThresholdMetricId"):
            if properties.get(key) is not None:
                kept[key] = properties[key]
        return kept

    def dashboard_body(properties: Properties) -> str:
        body = str(body_of(properties))
        _refuse(dashboard_refusal(body))
        return body

    provisioners._cw_metric_alarm_record = metric_alarm_record
    provisioners._cw_dashboard_body = dashboard_body
    provisioners._RESOURCE_HANDLERS[COMPOSITE] = {
        "create": create_composite,
        "update": update_composite,
        "update_with_logical_id": True,
        "delete": delete_composite,
    }
    provisioners._RESOURCE_HANDLERS[DETECTOR] = {
        "create": create_detector,
        "delete": delete_detector,
    }


def create_composite(logical_id: str, properties: Properties, stack: str) -> Provisioned:
    """Make the alarm; its name is its physical id."""
    name = properties.get("AlarmName") or provisioners._physical_name(
        stack, logical_id, max_len=255
    )
    request = {key: value for key, value in properties.items() if key != "Tags"}
    request |= {"AlarmName": name, "Tags": list(properties.get("Tags") or ())}
    status, _headers, body = cloudwatch._put_composite_alarm(
        {}, request, is_cbor=False, is_json=True
    )
    if status != HTTPStatus.OK:
        raise AlarmRefusedError(json.loads(body).get("message", body))
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def update_composite(
    physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Provisioned:
    """Change the alarm in place; a new name is a new alarm."""
    if old.get("AlarmName") == new.get("AlarmName"):
        return create_composite(logical_id, {**new, "AlarmName": physical_id}, stack)
    created = create_composite(logical_id, new, stack)
    delete_composite(physical_id, old)
    return created


def delete_composite(physical_id: str, _properties: Properties) -> None:
    """Delete the alarm; one that is gone already is deleted."""
    cloudwatch._composite_alarms.pop(physical_id, None)
    cloudwatch._composite_triggers.pop(physical_id, None)


def create_detector(_logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    """Check what AWS checks; nothing here learns from the metric."""
    _refuse(detector_refusal(properties))
    detector = str(uuid.uuid4())
    return detector, {"Id": detector}


def delete_detector(_physical_id: str, _properties: Properties) -> None:
    """Forget the detector."""


def _refuse(why: str | None) -> None:
    if why is not None:
        raise AlarmRefusedError(why)
