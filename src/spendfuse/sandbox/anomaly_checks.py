"""What AWS refuses of Cost Anomaly Detection's monitors and subscriptions.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_AnomalySubscription.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

_DIMENSIONS = ("SERVICE", "LINKED_ACCOUNT", "TAG", "COST_CATEGORY")
_THRESHOLDS = ("ANOMALY_TOTAL_IMPACT_ABSOLUTE", "ANOMALY_TOTAL_IMPACT_PERCENTAGE")
_LARGEST_THRESHOLD = 10_000_000_000
_MOST_EMAILS = 10


def monitor_refusal(properties: Mapping[str, Any]) -> str | None:
    """Return why AWS would not take this monitor, None if it would."""
    if not properties.get("MonitorName"):
        return "MonitorName is needed"
    kind, dimension = properties.get("MonitorType"), properties.get("MonitorDimension")
    if kind not in ("DIMENSIONAL", "CUSTOM"):
        return f"MonitorType must be DIMENSIONAL or CUSTOM, not {kind!r}"
    if kind == "DIMENSIONAL" and dimension not in _DIMENSIONS:
        return f"MonitorDimension must be one of {', '.join(_DIMENSIONS)}, not {dimension!r}"
    needs_specification = kind == "CUSTOM" or dimension in ("TAG", "COST_CATEGORY")
    if needs_specification != bool(properties.get("MonitorSpecification")):
        return "MonitorSpecification is for monitors of tags, cost categories and one's own"
    return None


def subscription_refusal(properties: Mapping[str, Any]) -> str | None:
    """Return why AWS would not take this subscription, None if it would."""
    for name in ("SubscriptionName", "MonitorArnList", "Subscribers"):
        if not properties.get(name):
            return f"{name} is needed"
    why = _subscribers_refusal(str(properties.get("Frequency")), properties["Subscribers"])
    if why is not None:
        return why
    expression, plain = properties.get("ThresholdExpression"), properties.get("Threshold")
    if (expression is None) == (plain is None):
        return "one of Threshold and ThresholdExpression is needed, and not both"
    return None if expression is None else _expression_refusal(expression)


def _subscribers_refusal(frequency: str, subscribers: list[Mapping[str, Any]]) -> str | None:
    types = [str(each.get("Type")) for each in subscribers]
    if frequency == "IMMEDIATE":
        if types != ["SNS"]:
            return f"IMMEDIATE alerts go to one SNS topic, not to {', '.join(types)}"
    elif frequency in ("DAILY", "WEEKLY"):
        if set(types) != {"EMAIL"} or len(types) > _MOST_EMAILS:
            return f"{frequency} alerts go to 1 to {_MOST_EMAILS} e-mail addresses, not to {types}"
    else:
        return f"Frequency must be IMMEDIATE, DAILY or WEEKLY, not {frequency!r}"
    return None


def _expression_refusal(text: object) -> str | None:
    try:
        expression = json.loads(str(text))
    except ValueError as error:
        return f"ThresholdExpression is no JSON: {error}"
    if not isinstance(expression, Mapping):
        return "ThresholdExpression is no JSON object"
    terms = expression.get("And") or expression.get("Or") or [expression]
    for term in terms:
        why = _term_refusal(term.get("Dimensions") if isinstance(term, Mapping) else None)
        if why is not None:
            return why
    return None


def _term_refusal(dimensions: object) -> str | None:
    if not isinstance(dimensions, Mapping) or dimensions.get("Key") not in _THRESHOLDS:
        return f"a threshold is a Dimensions object with a Key of {', '.join(_THRESHOLDS)}"
    if dimensions.get("MatchOptions") != ["GREATER_THAN_OR_EQUAL"]:
        return "the MatchOptions of a threshold are GREATER_THAN_OR_EQUAL"
    values = dimensions.get("Values")
    if not isinstance(values, list) or len(values) != 1 or not _is_amount(values[0]):
        return f"the threshold must be one number from 0 to {_LARGEST_THRESHOLD}, as text"
    return None


def _is_amount(value: object) -> bool:
    try:
        return isinstance(value, str) and 0 <= Decimal(value) <= _LARGEST_THRESHOLD
    except InvalidOperation:
        return False
