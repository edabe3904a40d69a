"""Names and descriptions too long, or with what the service refuses; days that logs stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stacks.preflight.assembly import Resource, shown
from stacks.preflight.rule import Rule

_QUOTAS = "https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html"
_RETENTION = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"


@dataclass(frozen=True, slots=True)
class _Name:
    property: str
    characters: int
    allowed: str
    """A regular expression's class."""
    spoken: str


_WORD = (r"[A-Za-z0-9_-]", "letters, digits, - and _")
_DOTTED = (r"[A-Za-z0-9._-]", "letters, digits, -, _ and .")
_NAMES = {
    "AWS::CloudWatch::Dashboard": _Name("DashboardName", 255, *_WORD),
    "AWS::CloudWatch::InsightRule": _Name("RuleName", 128, *_DOTTED),
    "AWS::DynamoDB::Table": _Name("TableName", 255, *_DOTTED),
    "AWS::Events::Rule": _Name("Name", 64, *_DOTTED),
    "AWS::IAM::Role": _Name("RoleName", 64, r"[\w+=,.@-]", "letters, digits and +=,.@-_"),
    "AWS::Lambda::Function": _Name("FunctionName", 64, *_WORD),
    "AWS::Logs::LogGroup": _Name("LogGroupName", 512, r"[\w./#-]", "letters, digits and ./#-_"),
    "AWS::SNS::Topic": _Name("TopicName", 256, *_DOTTED),
    "AWS::SQS::Queue": _Name("QueueName", 80, *_DOTTED),
    "AWS::Scheduler::Schedule": _Name("Name", 64, *_DOTTED),
}
_DESCRIPTIONS = {
    "AWS::Events::Rule": 512,
    "AWS::IAM::ManagedPolicy": 1000,
    "AWS::IAM::Role": 1000,
    "AWS::KMS::Key": 8192,
    "AWS::Lambda::Function": 256,
    "AWS::Scheduler::Schedule": 512,
}
_LOG_GROUP = "AWS::Logs::LogGroup"
# fmt: off
_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)
# fmt: on


def _name(resource: Resource) -> Iterator[str]:
    rule = _NAMES[resource.type]
    name = resource.rendered(resource.properties.get(rule.property))
    if name is None:
        return
    if not re.fullmatch(f"{rule.allowed}{{1,{rule.characters}}}", name, re.ASCII):
        yield (
            f"is named {name[:80]!r} ({len(name)} characters); {resource.type} takes 1 to "
            f"{rule.characters} {rule.spoken} (ValidationException): name it otherwise, or leave "
            "the name to CloudFormation"
        )


def _description(resource: Resource) -> Iterator[str]:
    limit = _DESCRIPTIONS[resource.type]
    description = resource.rendered(resource.properties.get("Description"))
    if description is not None and len(description) > limit:
        yield (
            f"its description has {len(description)} characters; {resource.type} takes {limit} "
            "(ValidationException): shorten it"
        )


def _retention(log_group: Resource) -> Iterator[str]:
    days = log_group.number("RetentionInDays")
    if days is not None and days not in _DAYS:
        yield (
            f"keeps its logs for {shown(days)} days; CloudWatch Logs takes "
            f"{', '.join(map(str, _DAYS))} (InvalidParameterException): write one of those"
        )


RULES = (
    Rule("name", _QUOTAS, tuple(_NAMES), _name),
    Rule("description", _QUOTAS, tuple(_DESCRIPTIONS), _description),
    Rule("log retention", _RETENTION, (_LOG_GROUP,), _retention),
)
