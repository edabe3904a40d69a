"""What CloudWatch says a dashboard's body must be, and what a reader needs of its lines.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
An unknown property is a mistake here, though CloudWatch would pass over it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from spendfuse import metrics

_GRID, _MOST_HEIGHT, _MOST_WIDGETS = 24, 1000, 500
_MOST_METRICS_A_WIDGET, _MOST_METRICS, _MOST_ALARMS = 500, 2500, 100

_TOP = {"widgets", "start", "end", "periodOverride", "variables"}
_WIDGET = {"type", "x", "y", "width", "height", "properties"}
_PROPERTIES = {
    "text": ({"markdown"}, {"background"}),
    "alarm": ({"alarms"}, {"title", "sortBy", "states"}),
    "log": ({"query", "region"}, {"title", "view", "stacked", "accountId"}),
    "metric": (
        {"region", "metrics", "view"},
        {
            "accountId",
            "annotations",
            "end",
            "legend",
            "liveData",
            "period",
            "setPeriodToTimeRange",
            "singleValueFullPrecision",
            "sparkline",
            "stacked",
            "start",
            "stat",
            "table",
            "timezone",
            "title",
            "yAxis",
        },
    ),
}
_VIEWS = {
    "metric": {"timeSeries", "singleValue", "gauge", "bar", "pie", "table"},
    "log": {"table", "timeSeries", "bar", "pie"},
}
_RENDERING = {
    "accountId",
    "color",
    "expression",
    "id",
    "label",
    "period",
    "region",
    "stat",
    "visible",
    "yAxis",
}
_STATISTIC = re.compile(r"SampleCount|Average|Sum|Minimum|Maximum|p(\d{1,2}(\.\d+)?|100)")
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_USED_IDS = re.compile(r"\b[a-z][a-zA-Z0-9_]*\b")
_QUOTED = re.compile(r"'[^']*'")
_RELATIVE = re.compile(r"-P(T\d+[MH]|\d+[DWM])")

OUR_NAMES = {
    value
    for name, value in vars(metrics).items()
    if name.isupper() and isinstance(value, str) and value != metrics.NAMESPACE
}
METRICS = {
    metrics.NAMESPACE: OUR_NAMES,
    "AWS/Lambda": {"Invocations", "Duration", "Errors", "Throttles", "IteratorAge"},
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfEmptyReceives",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesReceived",
        "NumberOfMessagesSent",
    },
    "AWS/SNS": {"NumberOfMessagesPublished"},
    "AWS/DynamoDB": {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"},
    "AWS/Logs": {"IncomingBytes"},
}
DIMENSIONS = {
    "AWS/Lambda": {"FunctionName"},
    "AWS/SQS": {"QueueName"},
    "AWS/SNS": {"TopicName"},
    "AWS/DynamoDB": {"TableName"},
    "AWS/Logs": {"LogGroupName"},
    metrics.NAMESPACE: {metrics.DEPLOYMENT, metrics.BUDGET, metrics.MODEL, metrics.FEATURE},
}

Widget = Mapping[str, Any]


def problems(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a dashboard's body."""
    if body.keys() - _TOP:
        yield f"unknown: {sorted(body.keys() - _TOP)}"
    if body.get("periodOverride") not in (None, "auto", "inherit"):
        yield f"periodOverride {body['periodOverride']!r}"
    yield from _time_problems(body)
    widgets = body["widgets"]
    if len(widgets) > _MOST_WIDGETS:
        yield f"{len(widgets)} widgets"
    for widget in widgets:
        for problem in widget_problems(widget):
            yield f"{title(widget)}: {problem}"
    for one, other in combinations(widgets, 2):
        if _overlap(one, other):
            yield f"{title(one)} and {title(other)} lie over each other"
    in_all = sum(len(each["properties"].get("metrics", ())) for each in widgets)
    if in_all > _MOST_METRICS:
        yield f"{in_all} metrics"


def title(widget: Widget) -> str:
    properties = widget.get("properties", {})
    return str(properties.get("title") or properties.get("markdown", "?")[:30])


def widget_problems(widget: Widget) -> Iterator[str]:
    if widget.keys() != _WIDGET:
        yield f"has {sorted(widget.keys() ^ _WIDGET)} too much or too little"
    if widget["type"] not in _PROPERTIES:
        yield f"type {widget['type']!r}"
        return
    yield from _place_problems(widget)
    required, optional = _PROPERTIES[widget["type"]]
    properties = widget["properties"]
    if required - properties.keys():
        yield f"lacks {sorted(required - properties.keys())}"
    if properties.keys() - required - optional:
        yield f"unknown: {sorted(properties.keys() - required - optional)}"
    if "region" in required and not properties.get("region"):
        yield "has no region"
    if properties.get("view", "table") not in _VIEWS.get(widget["type"], {"table"}):
        yield f"view {properties['view']!r}"
    yield from _BY_TYPE[widget["type"]](properties)


def _place_problems(widget: Widget) -> Iterator[str]:
    x, y, width, height = (widget[name] for name in ("x", "y", "width", "height"))
    whole = all(isinstance(each, int) for each in (x, y, width, height))
    if not whole or x < 0 or y < 0 or width < 1 or x + width > _GRID:
        yield f"lies at {x}, {y} with a width of {width}"
    if not 1 <= height <= _MOST_HEIGHT:
        yield f"is {height} high"


def _overlap(one: Widget, other: Widget) -> bool:
    return (
        one["x"] < other["x"] + other["width"]
        and other["x"] < one["x"] + one["width"]
        and one["y"] < other["y"] + other["height"]
        and other["y"] < one["y"] + one["height"]
    )


def _text_problems(properties: Mapping[str, Any]) -> Iterator[str]:
    if not properties["markdown"]:
        yield "says nothing"
    if properties.get("background") not in (None, "solid", "transparent"):
        yield f"background {properties['background']!r}"


def _alarm_problems(properties: Mapping[str, Any]) -> Iterator[str]:
    if not 1 <= len(properties["alarms"]) <= _MOST_ALARMS:
        yield f"{len(properties['alarms'])} alarms"
    if len(set(properties["alarms"])) < len(properties["alarms"]):
        yield "shows an alarm twice"


def _log_problems(properties: Mapping[str, Any]) -> Iterator[str]:
    if not re.match(r"SOURCE '[^']+'( \| SOURCE '[^']+')* \| ", properties["query"]):
        yield f"query {properties['query']!r}"


def _metric_problems(properties: Mapping[str, Any]) -> Iterator[str]:
    rows = properties["metrics"]
    if not 1 <= len(rows) <= _MOST_METRICS_A_WIDGET:
        yield f"{len(rows)} metrics"
    for row in rows:
        yield from row_problems(row)
    yield from _id_problems(rows)
    yield from _time_problems(properties)
    left = properties.get("yAxis", {}).get("left", {})
    if properties["view"] == "gauge" and not {"min", "max"} <= left.keys():
        yield "a gauge without an end"
    if "table" in properties and properties["view"] != "table":
        yield "a table that is none"


def row_problems(row: Sequence[Any]) -> Iterator[str]:
    """Yield what is wrong with one metric, or with one expression."""
    rendering = row[-1] if isinstance(row[-1], Mapping) else {}
    texts = [each for each in row if not isinstance(each, Mapping)]
    if rendering.keys() - _RENDERING:
        yield f"unknown: {sorted(rendering.keys() - _RENDERING)}"
    if not _STATISTIC.fullmatch(rendering.get("stat", "Average")):
        yield f"stat {rendering['stat']!r}"
    period = rendering.get("period", 300)
    if not isinstance(period, int) or period < 60 or period % 60:
        yield f"period {period!r}"
    if "expression" in rendering:
        if texts:
            yield f"an expression and a metric at once: {row}"
        return
    if len(texts) < 2 or len(texts) % 2 or not all(isinstance(each, str) for each in texts):
        yield f"no metric: {row}"
        return
    namespace, name, dimensions = texts[0], texts[1], texts[2::2]
    if name not in METRICS.get(namespace, ()):
        yield f"no metric {namespace} {name}"
    if not dimensions or set(dimensions) - DIMENSIONS.get(namespace, set()):
        yield f"{name} has no dimensions {dimensions}"


def _id_problems(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    renderings = [row[-1] for row in rows if isinstance(row[-1], Mapping)]
    ids = Counter(each["id"] for each in renderings if "id" in each)
    for id_, count in ids.items():
        if count > 1:
            yield f"id {id_} is there {count} times"
        if not _ID.fullmatch(id_):
            yield f"id {id_!r} is none"
    used = {
        id_
        for each in renderings
        for id_ in _USED_IDS.findall(_QUOTED.sub("", each.get("expression", "")))
    }
    if used - ids.keys():
        yield f"nothing has the ids {sorted(used - ids.keys())}"
    hidden = {each["id"] for each in renderings if each.get("visible") is False}
    if hidden - used:
        yield f"nobody needs {sorted(hidden - used)}"


def _time_problems(properties: Mapping[str, Any]) -> Iterator[str]:
    start = properties.get("start")
    if start is not None and not _RELATIVE.fullmatch(start):
        yield f"start {start!r}"
    if "end" in properties and start is None:
        yield "an end without a start"


_BY_TYPE = {
    "text": _text_problems,
    "alarm": _alarm_problems,
    "log": _log_problems,
    "metric": _metric_problems,
}
