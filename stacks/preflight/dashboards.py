"""Dashboards: a body that CloudWatch can read, and not too much in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.preflight.assembly import Resource, listed, mapping, objects
from stacks.preflight.rule import Rule

DASHBOARD = "AWS::CloudWatch::Dashboard"
_BODY = (
    "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/"
    "CloudWatch-Dashboard-Body-Structure.html"
)
_QUOTAS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"
_WIDGETS, _METRICS_A_WIDGET, _METRICS = 500, 500, 2500


def _is_json(dashboard: Resource) -> Iterator[str]:
    written = dashboard.rendered(dashboard.properties.get("DashboardBody"))
    if written is None:
        return
    try:
        body = json.loads(written)
    except ValueError as error:
        yield f"has a body that is no JSON ({error}); {_REFUSED}: mend it there"
        return
    if not isinstance(mapping(body).get("widgets"), list):
        yield f'has a body without a list of "widgets"; {_REFUSED}: write one, empty if need be'


def _is_not_too_full(dashboard: Resource) -> Iterator[str]:
    widgets = _widgets(dashboard)
    counts = [len(listed(mapping(each.get("properties")).get("metrics"))) for each in widgets]
    if len(widgets) > _WIDGETS:
        yield f"has {len(widgets)} widgets; CloudWatch takes {_WIDGETS} {_TOO_FULL}"
    if max(counts, default=0) > _METRICS_A_WIDGET:
        yield (
            f"has a widget of {max(counts)} metrics; CloudWatch takes {_METRICS_A_WIDGET} in one "
            f"{_TOO_FULL}"
        )
    if sum(counts) > _METRICS:
        yield f"shows {sum(counts)} metrics; CloudWatch takes {_METRICS:,} {_TOO_FULL}"


_REFUSED = "CloudWatch refuses it (InvalidParameterInput)"
_TOO_FULL = "on a dashboard (InvalidParameterInput): make a second dashboard"

RULES = (
    Rule("dashboard body", _BODY, (DASHBOARD,), _is_json),
    Rule("dashboard size", _QUOTAS, (DASHBOARD,), _is_not_too_full),
)


def _widgets(dashboard: Resource) -> list[Mapping[str, Any]]:
    written = dashboard.rendered(dashboard.properties.get("DashboardBody"))
    try:
        body = json.loads(written or "")
    except ValueError:
        return []
    return objects(mapping(body).get("widgets"))
