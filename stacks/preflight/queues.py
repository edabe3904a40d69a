"""Queues: nothing is dropped before it was dead-lettered, nothing is read twice at once."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.preflight.assembly import Resource, mapping, number, shown
from stacks.preflight.functions import FUNCTION
from stacks.preflight.rule import Rule

QUEUE, SOURCE = "AWS::SQS::Queue", "AWS::Lambda::EventSourceMapping"
_DEAD_LETTERS = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
    "sqs-dead-letter-queues.html"
)
_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
# What AWS takes where nothing is written.
_VISIBILITY, _RETENTION, _TIMEOUT = 30, 345_600, 3


def _outlives_its_receives(queue: Resource) -> Iterator[str]:
    receives = number(mapping(queue.properties.get("RedrivePolicy")).get("maxReceiveCount"))
    visibility = _seconds(queue, "VisibilityTimeout", _VISIBILITY)
    retention = _seconds(queue, "MessageRetentionPeriod", _RETENTION)
    if receives is None or visibility is None or retention is None:
        return
    if receives * visibility >= retention:
        yield (
            f"{shown(receives)} receives of {shown(visibility)} s take "
            f"{shown(receives * visibility)} s, and it keeps messages for "
            f"{shown(retention)} s; SQS drops what is too old, and never dead-letters it: "
            "write fewer receives, or a longer retention"
        )


def _is_patient(source: Resource) -> Iterator[str]:
    """A queue must not hand a message to a second function while the first may still run."""
    queue = source.referred(source.properties.get("EventSourceArn"))
    function = source.referred(source.properties.get("FunctionName"))
    if queue is None or queue.type != QUEUE or function is None or function.type != FUNCTION:
        return
    visibility = _seconds(queue, "VisibilityTimeout", _VISIBILITY)
    timeout = _seconds(function, "Timeout", _TIMEOUT)
    if visibility is not None and timeout is not None and visibility < timeout:
        yield (
            f"the queue hides a message for {shown(visibility)} s and the function may run for "
            f"{shown(timeout)} s; Lambda refuses the source (InvalidParameterValueException): hide "
            "messages for longer"
        )


RULES = (
    Rule("queue retention", _DEAD_LETTERS, (QUEUE,), _outlives_its_receives),
    Rule("queue visibility", _LAMBDA, (SOURCE,), _is_patient),
)


def _seconds(resource: Resource, name: str, default: int) -> float | None:
    """Return what is written, what AWS takes where nothing is, None where it is a reference."""
    return resource.number(name) if name in resource.properties else default
