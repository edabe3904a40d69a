"""What AWS would refuse, or do silently wrong, in a template that every other check passes.

cfn-lint and the CDK take eleven notifications on a budget, two topics on one rung or an
environment of five kilobytes; the deployment fails, or loses messages, hours later. These
rules read the synthesised templates, so they see what is deployed and not what was meant.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spendfuse.errors import SettingsError

Template = Mapping[str, Any]
Rule = Callable[[Mapping[str, Any]], Iterator[str]]

_ENVIRONMENT_BYTES = 4096
_REFERENCE_BYTES = 200
"""What a name, URL or ARN may come to that is only known when it is deployed."""
_DESCRIPTION_LENGTHS = {
    "AWS::IAM::ManagedPolicy": 1000,
    "AWS::IAM::Role": 1000,
    "AWS::KMS::Key": 8192,
    "AWS::Lambda::Function": 256,
    "AWS::Scheduler::Schedule": 512,
}
_STACK_DESCRIPTION_BYTES = 1024
_COMPILED = (".so", ".pyd", ".dylib")


def check(assembly: Path) -> list[str]:
    """Check a synthesised cloud assembly, the folder ``cdk.out``; return what is to be warned of.

    Raises:
        SettingsError: every problem, a line each.
    """
    found = []
    for file in sorted(assembly.glob("*.template.json")):
        stack = file.name.removesuffix(".template.json")
        template = json.loads(file.read_text(encoding="utf-8"))
        found += [f"  {stack}/{problem}" for problem in problems(template)]
    for asset in sorted(assembly.glob("asset.*")):
        found += [f"  {problem}" for problem in asset_problems(asset)]
    if found:
        raise SettingsError("\n".join(["AWS would not take this deployment:", *found]))
    return []


def problems(template: Template) -> Iterator[str]:
    """Yield what is wrong with one template, as ``<logical id>: <reason>``."""
    for logical_id, resource in template.get("Resources", {}).items():
        for rule in _RULES.get(resource["Type"], ()):
            for problem in rule(resource.get("Properties", {})):
                yield f"{logical_id}: {problem}"
    yield from _long_descriptions(template)
    yield from _impatient_queues(template)


def asset_problems(asset: Path) -> Iterator[str]:
    """Yield what in a Lambda's folder can't be imported on AWS."""
    for file in sorted(asset.rglob("*")):
        if file.name.endswith(_COMPILED):
            yield (
                f"{file.relative_to(asset)}: is compiled for this machine, and Lambda imports it "
                "on arm64 Linux; take a library in pure Python"
            )


def _one_topic_a_rung(budget: Mapping[str, Any]) -> Iterator[str]:
    for each in budget.get("NotificationsWithSubscribers", ()):
        types = Counter(subscriber["SubscriptionType"] for subscriber in each["Subscribers"])
        topics, emails = types["SNS"], types["EMAIL"]
        if topics > 1 or emails > 10:  # noqa: PLR2004 (AWS's numbers, said below)
            yield (
                f"the rung {_rung(each)} has {topics} SNS topics and {emails} e-mail addresses; "
                "AWS Budgets takes 1 topic and 10 addresses (CreationLimitExceededException)"
            )


def _ten_rungs(budget: Mapping[str, Any]) -> Iterator[str]:
    count = len(budget.get("NotificationsWithSubscribers", ()))
    if count > 10:  # noqa: PLR2004 (AWS's number, said below)
        yield (
            f"has {count} rungs, ACTUAL and FORECASTED together; AWS Budgets takes 10 "
            "notifications a budget (CreationLimitExceededException)"
        )


def _rungs_once(budget: Mapping[str, Any]) -> Iterator[str]:
    counts = Counter(_rung(each) for each in budget.get("NotificationsWithSubscribers", ()))
    for rung, count in counts.items():
        if count > 1:
            yield (
                f"has the rung {rung} {count} times; AWS Budgets refuses a notification that it "
                "has already (DuplicateRecordException)"
            )


def _rung(notification: Mapping[str, Any]) -> str:
    rung = notification["Notification"]
    unit = "USD" if rung.get("ThresholdType") == "ABSOLUTE_VALUE" else "%"
    operator = {"GREATER_THAN": ">", "LESS_THAN": "<", "EQUAL_TO": "="}[rung["ComparisonOperator"]]
    return f"{rung['NotificationType']} {operator} {rung['Threshold']:g} {unit}"


def _budget_name(budget: Mapping[str, Any]) -> Iterator[str]:
    name = budget["Budget"].get("BudgetName", "unnamed")
    if not 1 <= len(name) <= 100 or ":" in name or "\\" in name or "/action/" in name.lower():  # noqa: PLR2004
        yield (
            f"is named {name!r} ({len(name)} characters); AWS Budgets takes names of 1 to 100 "
            "characters without ':', '\\' and '/action/' (InvalidParameterException)"
        )


def _environment_size(function: Mapping[str, Any]) -> Iterator[str]:
    variables = function.get("Environment", {}).get("Variables", {})
    longest = {
        key: value if isinstance(value, str) else "x" * _REFERENCE_BYTES
        for key, value in variables.items()
    }
    size = len(json.dumps(longest, separators=(",", ":")).encode())
    if size > _ENVIRONMENT_BYTES:
        yield (
            f"its environment may come to {size} bytes; Lambda takes {_ENVIRONMENT_BYTES}, "
            "measured as JSON (InvalidParameterValueException): move values into the asset"
        )


def _queue_outlives_its_receives(queue: Mapping[str, Any]) -> Iterator[str]:
    receives = queue.get("RedrivePolicy", {}).get("maxReceiveCount", 0)
    visibility = queue.get("VisibilityTimeout", 30)
    retention = queue.get("MessageRetentionPeriod", 345_600)
    if receives * visibility >= retention:
        yield (
            f"{receives} receives of {visibility} s take {receives * visibility} s, and it keeps "
            f"messages for {retention} s; SQS drops what is too old, and never dead-letters it"
        )


_RULES: Mapping[str, tuple[Rule, ...]] = {
    "AWS::Budgets::Budget": (_one_topic_a_rung, _ten_rungs, _rungs_once, _budget_name),
    "AWS::Lambda::Function": (_environment_size,),
    "AWS::SQS::Queue": (_queue_outlives_its_receives,),
}


def _long_descriptions(template: Template) -> Iterator[str]:
    size = len(template.get("Description", "").encode())
    if size > _STACK_DESCRIPTION_BYTES:
        yield (
            f"Description: has {size} bytes; CloudFormation takes {_STACK_DESCRIPTION_BYTES} "
            "(ValidationError)"
        )
    for logical_id, resource in template.get("Resources", {}).items():
        limit = _DESCRIPTION_LENGTHS.get(resource["Type"])
        text = resource.get("Properties", {}).get("Description", "")
        if limit is not None and isinstance(text, str) and len(text) > limit:
            yield (
                f"{logical_id}: its description has {len(text)} characters; "
                f"{resource['Type']} takes {limit} (ValidationException)"
            )


def _impatient_queues(template: Template) -> Iterator[str]:
    """A queue must not hand a message to a second function while the first may still run."""
    resources = template.get("Resources", {})
    for logical_id, source in resources.items():
        if source["Type"] != "AWS::Lambda::EventSourceMapping":
            continue
        queue = _referred(resources, source["Properties"].get("EventSourceArn"))
        function = _referred(resources, source["Properties"].get("FunctionName"))
        if queue.get("Type") != "AWS::SQS::Queue" or not function:
            continue
        visibility = queue.get("Properties", {}).get("VisibilityTimeout", 30)
        timeout = function["Properties"].get("Timeout", 3)
        if visibility < timeout:
            yield (
                f"{logical_id}: the queue hides a message for {visibility} s and the function may "
                f"run for {timeout} s; Lambda refuses the source (InvalidParameterValueException)"
            )


def _referred(resources: Mapping[str, Any], reference: object) -> Mapping[str, Any]:
    if not isinstance(reference, Mapping):
        return {}
    logical_id = reference.get("Ref") or (reference.get("Fn::GetAtt") or [None])[0]
    referred: Mapping[str, Any] = resources.get(logical_id, {})
    return referred
