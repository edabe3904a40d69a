"""Cost Anomaly Detection: who can be told how soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from stacks.preflight.assembly import Resource, objects, text
from stacks.preflight.rule import Rule

SUBSCRIPTION = "AWS::CE::AnomalySubscription"
_SOURCE = (
    "https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/"
    "API_AnomalySubscription.html"
)
_TOPICS, _EMAILS = 1, 10


def _frequency(subscription: Resource) -> Iterator[str]:
    topics, emails = _subscribers(subscription)
    frequency = subscription.text("Frequency")
    if frequency == "IMMEDIATE" and emails:
        yield (
            f"is IMMEDIATE and has {emails} e-mail addresses; Cost Anomaly Detection tells topics "
            "alone at once (ValidationException): subscribe the people to a topic, or write DAILY"
        )
    if frequency in {"DAILY", "WEEKLY"} and topics:
        yield (
            f"is {frequency} and has {topics} SNS topics; Cost Anomaly Detection sends its digests "
            "by e-mail alone (ValidationException): write IMMEDIATE, or addresses"
        )


def _few(subscription: Resource) -> Iterator[str]:
    topics, emails = _subscribers(subscription)
    if topics > _TOPICS or emails > _EMAILS:
        yield (
            f"has {topics} SNS topics and {emails} e-mail addresses; Cost Anomaly Detection takes "
            "1 topic, or 10 addresses (ValidationException): publish to one topic, and subscribe "
            "the others to that"
        )


RULES = (
    Rule("anomaly frequency", _SOURCE, (SUBSCRIPTION,), _frequency),
    Rule("anomaly subscribers", _SOURCE, (SUBSCRIPTION,), _few),
)


def _subscribers(subscription: Resource) -> tuple[int, int]:
    subscribers = objects(subscription.properties.get("Subscribers"))
    types = Counter(text(each.get("Type")) for each in subscribers)
    return types["SNS"], types["EMAIL"]
