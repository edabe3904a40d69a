"""Alarms look at their own dimensions and periods, and publish only where a policy lets them.

The emulator adds up all dimensions, looks at alarms only when a metric arrives, and publishes
without asking. Alarms on metric math stay out: it refuses to deploy those.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import get_account_id, request_scope
from ministack.services import cloudwatch

from spendfuse.sandbox.alarm_state import AlarmRule, next_state
from spendfuse.sandbox.permission import Publisher, refusal

_TICK_SECONDS = 1.0
_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
_SERVICE = "cloudwatch.amazonaws.com"

logger = logging.getLogger("spendfuse.sandbox")


def mend() -> None:
    """Take the place of the emulator's own, and look at every alarm once a second."""
    dispatch = cloudwatch._dispatch_alarm_actions

    def dispatch_where_allowed(alarm: Mapping[str, Any], *change: Any) -> None:
        dispatch({**alarm, **{name: _allowed(alarm, name) for name in _ACTIONS}}, *change)

    cloudwatch._dispatch_alarm_actions = dispatch_where_allowed
    cloudwatch._evaluate_alarm = evaluate
    threading.Thread(target=_watch, name="alarms", daemon=True).start()


def evaluate(alarm: dict[str, Any]) -> None:
    """Bring the alarm into the state that its metric calls for."""
    if not alarm.get("MetricName") or alarm.get("Metrics"):
        return
    rule = rule_of(alarm)
    before = alarm["StateValue"]
    after = next_state(rule, _values(alarm, rule.periods + 1), before)
    if after == before:
        return
    reason = f"Threshold Crossed: {alarm['MetricName']} {rule.comparison} {rule.threshold}"
    alarm["StateValue"], alarm["StateReason"] = after, reason
    alarm["StateUpdatedTimestamp"] = int(time.time())
    cloudwatch._record_history(alarm["AlarmName"], before, after, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, after, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


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
