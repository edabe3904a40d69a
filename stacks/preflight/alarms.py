"""Alarms: CloudWatch's limits on what they look at, how long, and whom they tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from stacks.preflight.assembly import Resource, listed, mapping, number, objects, shown, text
from stacks.preflight.rule import Rule

ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
ALARMS = (ALARM, COMPOSITE)

_PUT = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
_PUT_COMPOSITE = (
    "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html"
)
_QUERY = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html"
_LIMITS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html"
_SEARCH = (
    "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-search-expressions.html"
)

_HIGH_RESOLUTION_PERIODS = (10, 20, 30)
_MINUTE, _HOUR, _DAY, _WEEK = 60, 3600, 86_400, 604_800
_INSIGHTS_SECONDS = 3 * _HOUR
_METRICS = 10
_CHILDREN = 100
_RULE_CHARACTERS = 10_240
_ACTIONS = 5
_NAME_CHARACTERS = 255
_DESCRIPTION_CHARACTERS = 1024
_STATES = ("AlarmActions", "OKActions", "InsufficientDataActions")

_CALLS_SEARCH = re.compile(r"\bSEARCH\s*\(", re.IGNORECASE)
_IS_QUERY = re.compile(r"\s*SELECT\b", re.IGNORECASE)
_CHILD = re.compile(r"\b(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*[\"']?([^\"')]+)", re.IGNORECASE)
_ALARM_ARN = re.compile(r"arn:[^:]+:cloudwatch:[^:]*:\d*:alarm:")


def _window(alarm: Resource) -> Iterator[str]:
    periods, evaluated = _periods(alarm), alarm.number("EvaluationPeriods")
    if not periods or evaluated is None:
        return
    seconds = max(periods) * evaluated
    said = (
        f"looks back over {shown(evaluated)} periods of {shown(max(periods))} s, {shown(seconds)} s"
    )
    if seconds > _WEEK:
        yield (
            f"{said}; CloudWatch takes {_WEEK:,} s, seven days, at most (ValidationError): publish "
            "a gauge of the longer time, such as month to date, and alarm on its maximum"
        )
    elif min(periods) < _HOUR and seconds > _DAY:
        yield (
            f"{said}; with a period below an hour CloudWatch takes {_DAY:,} s, one day, at most "
            "(ValidationError): write a period of 3600 s or more, or fewer periods"
        )


def _valid_period(alarm: Resource) -> Iterator[str]:
    for period in sorted(_periods(alarm)):
        if period not in _HIGH_RESOLUTION_PERIODS and (period <= 0 or period % _MINUTE):
            yield (
                f"has a period of {shown(period)} s; CloudWatch takes 10, 20, 30 and multiples of "
                "60 (ValidationError): write one of those"
            )


def _datapoints(alarm: Resource) -> Iterator[str]:
    wanted, evaluated = alarm.number("DatapointsToAlarm"), alarm.number("EvaluationPeriods")
    if wanted is not None and evaluated is not None and wanted > evaluated:
        yield (
            f"wants {shown(wanted)} datapoints of {shown(evaluated)} periods; CloudWatch takes "
            "DatapointsToAlarm up to EvaluationPeriods (ValidationError): lower the one, or raise "
            "the other"
        )


def _search(alarm: Resource) -> Iterator[str]:
    for expression in _expressions(alarm):
        if _CALLS_SEARCH.search(expression):
            yield (
                f"has the expression {expression!r}; CloudWatch takes no SEARCH in an alarm, nor "
                "inside a formula (ValidationError): name the metrics, publish their sum as a "
                "metric of its own, or write a Metrics Insights query"
            )


def _few_metrics(alarm: Resource) -> Iterator[str]:
    count = sum("MetricStat" in each for each in objects(alarm.properties.get("Metrics")))
    if count > _METRICS:
        yield (
            f"reads {count} metrics; CloudWatch takes {_METRICS} in an alarm, and raises that for "
            "nobody (ValidationError): add them up in a metric of its own, or join several "
            "alarms in a composite one"
        )


def _insights(alarm: Resource) -> Iterator[str]:
    periods, evaluated = _periods(alarm), alarm.number("EvaluationPeriods")
    if evaluated is None or not any(_IS_QUERY.match(each) for each in _expressions(alarm)):
        return
    seconds = max(periods, default=0) * evaluated
    if seconds > _INSIGHTS_SECONDS:
        yield (
            f"looks back over {shown(seconds)} s with a Metrics Insights query; CloudWatch "
            "evaluates those over the latest 3 hours (ValidationError: MetricsInsights monitors "
            "cannot be checked across more than 3 hours): write fewer or shorter periods, or "
            "alarm on a metric"
        )
    if any(period % _MINUTE for period in periods):
        yield (
            f"has a period of {shown(min(periods))} s with a Metrics Insights query; CloudWatch "
            "has no such data below a minute, and gives the minute's without a word: write a "
            "multiple of 60"
        )


def _one_result(alarm: Resource) -> Iterator[str]:
    queries = objects(alarm.properties.get("Metrics"))
    # An anomaly's alarm returns its band beside the metric.
    if not queries or "ThresholdMetricId" in alarm.properties:
        return
    returned = [each.get("ReturnData", True) for each in queries]
    if all(isinstance(each, bool) for each in returned) and sum(returned) != 1:
        yield (
            f"returns the data of {sum(returned)} of its {len(queries)} metrics; CloudWatch "
            "compares just one with the threshold (ValidationError): set ReturnData to false on "
            "all others"
        )


def _few_actions(alarm: Resource) -> Iterator[str]:
    for state in _STATES:
        count = len(listed(alarm.properties.get(state)))
        if count > _ACTIONS:
            yield (
                f"has {count} {state}; CloudWatch takes {_ACTIONS} for a state (ValidationError): "
                "publish to one topic, and subscribe the others to that"
            )


def _short_name(alarm: Resource) -> Iterator[str]:
    name = alarm.rendered(alarm.properties.get("AlarmName"))
    if name is not None and not 1 <= len(name) <= _NAME_CHARACTERS:
        yield (
            f"has a name of {len(name)} characters; CloudWatch takes 1 to {_NAME_CHARACTERS} "
            "(ValidationError): shorten the deployment's name, or the budget's"
        )


def _own_name(alarm: Resource) -> Iterator[str]:
    name = alarm.known(alarm.properties.get("AlarmName"))
    if name is None:
        return
    names = Counter(
        each.known(each.properties.get("AlarmName"))
        for each in alarm.assembly.resources(*ALARMS)
        if each.stack.region == alarm.stack.region
    )
    if names[name] > 1:
        yield (
            f"is named {name!r}, as another alarm is; to CloudWatch that is one alarm, and the "
            "second takes the place of the first without a word (PutMetricAlarm): name them apart"
        )


def _short_description(alarm: Resource) -> Iterator[str]:
    description = alarm.rendered(alarm.properties.get("AlarmDescription"))
    if description is not None and len(description) > _DESCRIPTION_CHARACTERS:
        yield (
            f"has a description of {len(description)} characters; CloudWatch takes "
            f"{_DESCRIPTION_CHARACTERS} (ValidationError): say the rest in its runbook"
        )


def _short_rule(alarm: Resource) -> Iterator[str]:
    rule = alarm.rendered(alarm.properties.get("AlarmRule"))
    if rule is not None and not 1 <= len(rule) <= _RULE_CHARACTERS:
        yield (
            f"has a rule of {len(rule)} characters; CloudWatch takes 1 to {_RULE_CHARACTERS:,} "
            "(ValidationError): name its alarms and not their ARNs, or join composites in another"
        )


def _few_children(alarm: Resource) -> Iterator[str]:
    rule = alarm.rendered(alarm.properties.get("AlarmRule")) or ""
    children = {_ALARM_ARN.sub("", each).strip() for each in _CHILD.findall(rule)}
    if len(children) > _CHILDREN:
        yield (
            f"joins {len(children)} alarms; CloudWatch takes {_CHILDREN} in a composite alarm "
            "(ValidationError): join some in a composite of their own first"
        )


RULES = (
    Rule("alarm window", _PUT, (ALARM,), _window),
    Rule("alarm period", _PUT, (ALARM,), _valid_period),
    Rule("alarm datapoints", _PUT, (ALARM,), _datapoints),
    Rule("alarm search", _SEARCH, (ALARM,), _search),
    Rule("alarm metrics", _LIMITS, (ALARM,), _few_metrics),
    Rule("alarm query", _LIMITS, (ALARM,), _insights),
    Rule("alarm result", _QUERY, (ALARM,), _one_result),
    Rule("alarm actions", _PUT, ALARMS, _few_actions),
    Rule("alarm name", _PUT, ALARMS, _short_name),
    Rule("alarm name twice", _PUT, ALARMS, _own_name),
    Rule("alarm description", _PUT, ALARMS, _short_description),
    Rule("composite rule", _PUT_COMPOSITE, (COMPOSITE,), _short_rule),
    Rule("composite children", _PUT_COMPOSITE, (COMPOSITE,), _few_children),
)


def _periods(alarm: Resource) -> set[float]:
    """Return the periods of an alarm's metrics and formulas, in seconds."""
    found = [alarm.properties.get("Period")]
    for query in objects(alarm.properties.get("Metrics")):
        found += [query.get("Period"), mapping(query.get("MetricStat")).get("Period")]
    return {period for period in map(number, found) if period is not None}


def _expressions(alarm: Resource) -> list[str]:
    queries = objects(alarm.properties.get("Metrics"))
    found = (text(alarm.rendered(each.get("Expression"))) for each in queries)
    return [each for each in found if each]
