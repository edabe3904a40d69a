"""What CloudWatch refuses of alarms on several metrics, of detectors and of dashboards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_METRICS = 10
_MOST_WIDGETS = 500
_SINGLE = ("MetricName", "Namespace", "Stat")


def math_refusal(properties: Mapping[str, Any]) -> str | None:
    """Return why CloudWatch would not take this alarm on ``Metrics``, None if it would."""
    metrics = properties["Metrics"]
    ids = Counter(each.get("Id") for each in metrics)
    doubled = [str(each) for each, count in ids.items() if count > 1 or not each]
    if len(metrics) > _MOST_METRICS:
        return (
            f"an alarm takes {_MOST_METRICS} metrics and expressions, this one has {len(metrics)}"
        )
    if doubled:
        return f"the ids of the metrics must be given, and unique: {', '.join(doubled)}"
    if any("SEARCH" in str(each.get("Expression", "")) for each in metrics):
        return "SEARCH is not allowed in an alarm"
    return _threshold_refusal(properties)


def _threshold_refusal(properties: Mapping[str, Any]) -> str | None:
    returned = [each["Id"] for each in properties["Metrics"] if each.get("ReturnData", True)]
    threshold, band = properties.get("Threshold"), properties.get("ThresholdMetricId")
    if (threshold is None) == (band is None):
        return "one of Threshold and ThresholdMetricId is needed, and not both"
    if band is not None:
        return _band_refusal(properties["Metrics"], band, returned)
    return None if len(returned) == 1 else f"one metric must return data, not {returned}"


def _band_refusal(
    metrics: Sequence[Mapping[str, Any]], band: str, returned: Sequence[str]
) -> str | None:
    expressions = {each["Id"]: str(each.get("Expression", "")) for each in metrics}
    if not expressions.get(band, "").startswith("ANOMALY_DETECTION_BAND("):
        return f"ThresholdMetricId {band!r} is no ANOMALY_DETECTION_BAND of this alarm"
    if band not in returned or len(returned) != 2:  # noqa: PLR2004 (the metric and its band)
        return f"the metric and its band must return data, not {returned}"
    return None


def detector_refusal(properties: Mapping[str, Any]) -> str | None:
    """Return why CloudWatch would not take this anomaly detector, None if it would."""
    single = properties.get("SingleMetricAnomalyDetector")
    given = [
        name
        for name, is_given in {
            "MetricName, Namespace and Stat": any(properties.get(each) for each in _SINGLE),
            "SingleMetricAnomalyDetector": bool(single),
            "MetricMathAnomalyDetector": bool(properties.get("MetricMathAnomalyDetector")),
        }.items()
        if is_given
    ]
    if len(given) != 1:
        return f"one metric must be named, in one of AWS's three ways; here: {given}"
    if given[0] != "MetricMathAnomalyDetector":
        lacking = [each for each in _SINGLE if not (single or properties).get(each)]
        if lacking:
            return f"{', '.join(lacking)} not given"
    return None


def dashboard_refusal(body: str) -> str | None:
    """Return why CloudWatch would not take this dashboard, None if it would."""
    try:
        parsed = json.loads(body)
    except ValueError as error:
        return f"The field DashboardBody must be a valid JSON object ({error})"
    widgets = parsed.get("widgets") if isinstance(parsed, Mapping) else None
    if not isinstance(widgets, list) or len(widgets) > _MOST_WIDGETS:
        return f"The dashboard must have an array of at most {_MOST_WIDGETS} widgets"
    for number, widget in enumerate(widgets):
        if not isinstance(widget, Mapping) or not widget.get("type"):
            return f"widgets/{number}: a type is needed"
        if not isinstance(widget.get("properties"), Mapping):
            return f"widgets/{number}: properties are needed"
    return None
