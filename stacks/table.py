"""A table of ours: on demand, recoverable to any second, and retained on destroy."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


class RetainedTable(dynamodb.Table):
    """Keys ``pk`` and ``sk``; an item with ``expires_at`` (epoch seconds) goes by itself."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stream: dynamodb.StreamViewType | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires_at",
            stream=stream,
            removal_policy=RemovalPolicy.RETAIN,
        )
