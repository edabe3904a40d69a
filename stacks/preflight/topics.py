"""Topics that AWS's services publish to: both their policy and their key must let the service in.

Where one does not, nothing fails: the alarm shows ALARM, the budget is over, and no message ever
arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from stacks.preflight.alarms import ALARMS
from stacks.preflight.anomalies import SUBSCRIPTION
from stacks.preflight.assembly import Resource, listed, mapping, objects, text
from stacks.preflight.budgets import BUDGET
from stacks.preflight.rule import Rule

TOPIC, TOPIC_POLICY, KEY = "AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::KMS::Key"

_KEYS = (
    "https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html"
    "#compatibility-with-aws-services"
)
_POLICIES = "https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html"

BUDGETS = "budgets.amazonaws.com"
COST_ANOMALY = "costalerts.amazonaws.com"
CLOUDWATCH = "cloudwatch.amazonaws.com"
_KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
_MANAGED_KEY = "alias/aws/sns"


def _lets_publishers_in(topic: Resource) -> Iterator[str]:
    statements = _topic_statements(topic)
    for service in sorted(_used_by(topic)):
        # A topic without a policy of its own lets its account's alarms in, and nothing else.
        let_in = service in _allowed(statements, "sns:Publish") or (
            service == CLOUDWATCH and not statements
        )
        if not let_in:
            yield (
                f"is published to by {service}, and its policy does not let that in; AWS drops "
                "such messages and tells nobody: allow the service sns:Publish, with "
                "aws:SourceAccount as the condition"
            )


def _key_lets_publishers_in(topic: Resource) -> Iterator[str]:
    value = topic.properties.get("KmsMasterKeyId")
    services = sorted(_publishers(topic))
    managed = _MANAGED_KEY in (topic.rendered(value) or "")
    if managed and services:
        yield (
            f"has the key {_MANAGED_KEY}, and {', '.join(services)} publish to it; that key's "
            "policy is AWS's own and lets no service in, so their messages vanish: give the topic "
            "a key of yours"
        )
    key = topic.referred(value)
    if key is None or key.type != KEY:
        return
    statements = objects(mapping(key.properties.get("KeyPolicy")).get("Statement"))
    for service in services:
        lacking = [each for each in _KEY_ACTIONS if service not in _allowed(statements, each)]
        if lacking:
            yield (
                f"has the key {key}, whose policy does not let {service} {' and '.join(lacking)}; "
                "the service's messages vanish and nobody is told: allow it kms:Decrypt and "
                "kms:GenerateDataKey* in the key's policy"
            )


RULES = (
    Rule("topic policy", _POLICIES, (TOPIC,), _lets_publishers_in),
    Rule("topic key", _KEYS, (TOPIC,), _key_lets_publishers_in),
)


def _publishers(topic: Resource) -> set[str]:
    """Return the services that publish here, or are let in to do so."""
    return _used_by(topic) | {
        service
        for service in _allowed(_topic_statements(topic), "sns:Publish")
        if service in {BUDGETS, COST_ANOMALY, CLOUDWATCH}
    }


def _used_by(topic: Resource) -> set[str]:
    """Return the services that have a resource in this assembly which publishes to the topic."""
    found = set()
    for each in topic.assembly.resources(BUDGET, SUBSCRIPTION, *ALARMS):
        service, targets = _targets(each)
        if any(_is(each.referred(target), topic) for target in targets):
            found.add(service)
    return found


def _targets(resource: Resource) -> tuple[str, list[Any]]:
    """Return the service that publishes for a resource, and where it publishes to."""
    properties = resource.properties
    if resource.type == BUDGET:
        rungs = objects(properties.get("NotificationsWithSubscribers"))
        subscribers = [each for rung in rungs for each in objects(rung.get("Subscribers"))]
        return BUDGETS, [each.get("Address") for each in subscribers]
    if resource.type == SUBSCRIPTION:
        subscribers = objects(properties.get("Subscribers"))
        return COST_ANOMALY, [each.get("Address") for each in subscribers]
    states = ("AlarmActions", "OKActions", "InsufficientDataActions")
    return CLOUDWATCH, [each for state in states for each in listed(properties.get(state))]


def _topic_statements(topic: Resource) -> list[Mapping[str, Any]]:
    return [
        statement
        for policy in topic.assembly.resources(TOPIC_POLICY)
        if any(
            _is(policy.referred(each), topic) for each in listed(policy.properties.get("Topics"))
        )
        for statement in objects(mapping(policy.properties.get("PolicyDocument")).get("Statement"))
    ]


def _allowed(statements: list[Mapping[str, Any]], action: str) -> set[str]:
    """Return the services that some statement lets do that, whatever its conditions."""
    return {
        service
        for statement in statements
        if statement.get("Effect") == "Allow"
        and any(_covers(each, action) for each in listed(statement.get("Action")))
        for service in listed(mapping(statement.get("Principal")).get("Service"))
        if isinstance(service, str)
    }


def _covers(pattern: object, action: str) -> bool:
    written = text(pattern)
    return written is not None and fnmatchcase(action.lower(), written.lower())


def _is(one: Resource | None, other: Resource) -> bool:
    return one is not None and str(one) == str(other)
