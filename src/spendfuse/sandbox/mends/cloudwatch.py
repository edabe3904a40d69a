"""Alarms look at their own dimensions and periods, and publish only where a policy lets them.

The emulator adds up all dimensions, looks at alarms only when a metric arrives, publishes
without asking and words all messages alike; and it takes data that AWS refuses. Alarms on
metric math and on anomaly bands are kept but not evaluated: they stay in INSUFFICIENT_DATA.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any

import botocore.session
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudwatch, sns

from spendfuse.sandbox import alarm_message, metric_limits
from spendfuse.sandbox.alarm_state import AlarmRule, next_state
from spendfuse.sandbox.permission import Publisher, refusal

_TICK_SECONDS = 1.0
_ACTIONS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}
_SERVICE = "cloudwatch.amazonaws.com"
_ONE_AT_A_TIME = threading.RLock()
"""A change that the watch and an arriving metric see at once is told once."""

logger = logging.getLogger("spendfuse.sandbox")


def mend() -> None:
    """Take the place of the emulator's own, and look at every alarm once a second."""
    put_metric_data = cloudwatch._put_metric_data

    def put_what_aws_takes(params: Any, request: Any, *encodings: bool) -> Any:
        why = _data_refusal(request or {})
        if why is not None:
            return cloudwatch._error(
                "InvalidParameterValue", why, HTTPStatus.BAD_REQUEST, use_cbor=True
            )
        return put_metric_data(params, request, *encodings)

    cloudwatch._put_metric_data = put_what_aws_takes
    cloudwatch._dispatch_alarm_actions = tell
    cloudwatch._evaluate_alarm = evaluate
    threading.Thread(target=_watch, name="alarms", daemon=True).start()


def _data_refusal(request: Mapping[str, Any]) -> str | None:
    data = [
        {**each, "Timestamp": _instant(each.get("Timestamp"))}
        for each in request.get("MetricData") or ()
    ]
    return metric_limits.refusal(data, datetime.now(UTC))


def _instant(timestamp: Any) -> datetime | None:
    seconds = cloudwatch._parse_ts(timestamp) if timestamp else None
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def evaluate(alarm: dict[str, Any]) -> None:
    """Bring the alarm into the state that its metric calls for."""
    if not alarm.get("MetricName") or alarm.get("Metrics"):
        return
    with _ONE_AT_A_TIME:
        rule = rule_of(alarm)
        before = alarm["StateValue"]
        after = next_state(rule, _values(alarm, rule.periods + 1), before)
        if after == before or (after == "ALARM" and _is_silent_and_young(alarm, rule)):
            return
        reason = f"Threshold Crossed: {alarm['MetricName']} {rule.comparison} {rule.threshold}"
        alarm["StateValue"], alarm["StateReason"] = after, reason
        alarm["StateUpdatedTimestamp"] = int(time.time())
        cloudwatch._record_history(alarm["AlarmName"], before, after, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, after, reason)
        cloudwatch._evaluate_parent_alarms(alarm)


def _is_silent_and_young(alarm: Mapping[str, Any], rule: AlarmRule) -> bool:
    """A stack takes minutes on AWS, and what it makes beats by then; here it takes seconds."""
    age = time.time() - alarm["AlarmConfigurationUpdatedTimestamp"]
    looks_back = rule.periods * int(alarm.get("Period") or 60)
    return age < looks_back and all(value is None for value in _values(alarm, rule.periods + 1))


def tell(alarm: Mapping[str, Any], old: str, new: str, reason: str) -> None:
    """Publish a change of state to the topics that the alarm names for it."""
    if not alarm.get("ActionsEnabled", True):
        return
    change = alarm_message.Change(
        old, new, reason, datetime.now(UTC), get_account_id(), _region_name(get_region())
    )
    text = json.dumps(alarm_message.message(alarm, change))
    for topic in _allowed(alarm, _ACTIONS[new]):
        if cloudwatch._is_sns_action_arn(topic):
            sns._fanout(topic, str(uuid.uuid4()), text, alarm_message.subject(alarm, change))


@cache
def _region_name(region: str) -> str:
    endpoints = botocore.session.get_session().get_data("endpoints")
    for partition in endpoints["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"])
    return region


def rule_of(alarm: Mapping[str, Any]) -> AlarmRule:
    """Return what the alarm asks of its metric."""
    periods = int(alarm.get("EvaluationPeriods") or 1)
    return AlarmRule(
        comparison=alarm["ComparisonOperator"],
        threshold=float(alarm.get("Threshold") or 0),
        periods=periods,
        to_alarm=int(alarm.get("DatapointsToAlarm") or periods),
        missing=alarm.get("TreatMissingData") or "missing",
    )


def _values(alarm: Mapping[str, Any], count: int) -> list[float | None]:
    """Return the statistic of the last periods, oldest first; the last one is not over yet."""
    dimensions = cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
    key = (alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions))
    length = int(alarm.get("Period") or 60)
    newest = int(time.time()) // length
    by_period: dict[int, list[Any]] = {}
    for point in list(cloudwatch._metrics.get(key) or ()):
        # An alarm that names a unit sees no data of another one.
        if alarm.get("Unit") in (None, "", point.get("Unit")):
            by_period.setdefault(int(point["Timestamp"]) // length, []).append(point)
    return [_statistic(alarm, by_period.get(newest - ago)) for ago in reversed(range(count))]


def _statistic(alarm: Mapping[str, Any], points: list[Any] | None) -> float | None:
    if not points:
        return None
    name = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), name, points)
    return None if value is None else float(value)


def _allowed(alarm: Mapping[str, Any], name: str) -> list[str]:
    kept = []
    for action in alarm.get(name) or ():
        publisher = Publisher(_SERVICE, str(alarm.get("AlarmArn", "")), get_account_id())
        why = refusal(action, publisher) if cloudwatch._is_sns_action_arn(action) else None
        if why is None:
            kept.append(action)
        else:
            logger.warning("dropped: alarm %s: %s", alarm.get("AlarmName"), why)
    return kept


def _watch() -> None:
    while True:
        time.sleep(_TICK_SECONDS)
        for (account, region, _name), alarm in cloudwatch._alarms.all_items():
            with request_scope(account, region):
                try:
                    evaluate(alarm)
                except Exception:
                    # The one place for it: a broken alarm must not silence the others.
                    logger.exception("alarm %s can't be evaluated", alarm.get("AlarmName"))
