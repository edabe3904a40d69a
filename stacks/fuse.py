"""The fuse stack: what blows it, and the record from which all of it is undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from aws_cdk import Aws, CfnOutput, Duration, Stack
from constructs import Construct

from spendfuse.definitions import FuseDefinition
from stacks.function import Function, Grant, consumes
from stacks.nag import ANY_KEY_OF_THE_FUSE, ENCRYPTED_PUBLISH, acknowledge_wildcards
from stacks.queue import QueueWithDeadLetters
from stacks.table import RetainedTable
from stacks.topics import Topics

# A trip that crashed is taken up again when its message reappears, so both are kept short;
# a plan too long for one invocation goes on in the next.
_TIMEOUT = Duration.minutes(5)
_VISIBILITY = Duration.minutes(6)

_FUSE_TAG = "spendfuse:fuse"


class FuseStack(Stack):
    """The fuse's table, and ``trip_fuse`` behind the topic ``trips``."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        asset: Path,
        fuse: FuseDefinition,
        topics: Topics,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="spendfuse: the fuse that disables API keys, and its record",
        )
        self.table = RetainedTable(self, "FuseTable")
        self.queue = QueueWithDeadLetters(self, "TripQueue", visibility=_VISIBILITY)
        self.queue.subscribe({"Trips": topics.trips})
        self.trip_fuse = self._trip_fuse(asset, fuse, topics)
        self._outputs(deployment, fuse)

    def _trip_fuse(self, asset: Path, fuse: FuseDefinition, topics: Topics) -> Function:
        queue = self.queue.queue
        trip_fuse = Function(
            self,
            "TripFuse",
            name="trip_fuse",
            description="Records the keys of the fuse, disables them and says how to restore them",
            asset=asset,
            environment={
                "FUSE_TABLE": self.table.table_name,
                "ALERTS_TOPIC_ARN": topics.alerts.topic_arn,
                "TRIPS_TOPIC_ARN": topics.trips.topic_arn,
                "TRIP_QUEUE_URL": queue.queue_url,
            },
            timeout=_TIMEOUT,
            grants=[
                Grant(
                    (
                        "dynamodb:GetItem",
                        "dynamodb:PutItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                    ),
                    self.table.table_arn,
                ),
                *(grant for store in fuse.key_stores for grant in _SWITCHES[store](fuse.name)),
                *topics.publish(topics.alerts),
                consumes(queue.queue_arn),
                Grant(("sqs:ChangeMessageVisibility",), queue.queue_arn),
            ],
        )
        acknowledge_wildcards(trip_fuse.role, ENCRYPTED_PUBLISH | ANY_KEY_OF_THE_FUSE)
        # The key store's rate is shared by all readers; 2 is the least that AWS takes.
        trip_fuse.consume(queue.queue_arn, batch_size=1, max_concurrency=2)
        return trip_fuse

    def _outputs(self, deployment: str, fuse: FuseDefinition) -> None:
        CfnOutput(
            self,
            "FuseTableName",
            value=self.table.table_name,
            export_name=f"{deployment}:FuseTableName",
        )
        CfnOutput(self, "FuseName", value=fuse.name)
        CfnOutput(self, "FuseMode", value=fuse.mode)
        CfnOutput(self, "TripQueueUrl", value=self.queue.queue.queue_url)
        CfnOutput(self, "TripDeadLetterQueueUrl", value=self.queue.dead_letters.queue_url)


def _switches_api_gateway_keys(fuse_name: str) -> list[Grant]:
    keys = f"arn:{Aws.PARTITION}:apigateway:{Aws.REGION}::/apikeys"
    return [
        Grant(("apigateway:GET",), keys),
        Grant(("apigateway:GET",), f"{keys}/*"),
        # A key that does not carry this fuse's tag is out of its reach, whatever the code does.
        Grant(("apigateway:PATCH",), f"{keys}/*", {f"aws:ResourceTag/{_FUSE_TAG}": fuse_name}),
    ]


_SWITCHES: Mapping[str, Callable[[str], list[Grant]]] = {
    "api_gateway": _switches_api_gateway_keys,
}
"""What each key store needs to disable the keys of the fuse with this name."""
