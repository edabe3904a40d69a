"""The toolkit's own parts, as its alarms and its dashboard see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sns as sns

from stacks.function import Function
from stacks.queue import QueueWithDeadLetters


@dataclass(frozen=True, slots=True)
class Watched:
    """The parts, by their names in alarms and on the dashboard."""

    functions: Mapping[str, Function]
    """``record_usage``, ``watch_budgets``, ``publish_gauges``, ``notify``, ``trip_fuse``."""
    removable: Mapping[str, Function]
    """``meter_bedrock``, where it is deployed.

    No other stack may refer to one of these: CloudFormation would refuse to take it away, for as
    long as the other stack imports its name.
    """
    queues: Mapping[str, QueueWithDeadLetters]
    """``usage``, ``notify``, ``trip``."""
    topics: Mapping[str, sns.ITopic]
    """``alerts``, ``trips``, ``mail``."""
    tables: Mapping[str, dynamodb.ITable]
    """``ledger``, ``guard``, ``fuse``, ``incidents``."""
