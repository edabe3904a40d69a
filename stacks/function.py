"""A Lambda of ours, with its own role and its own log group.

Its permissions are a list of ``Grant``s and nothing else: no managed policy, no ``grant_*``
that brings more than was asked for. What it needs to run at all, to write to its own log
group, is added here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

MEMORY_MB = 512


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions allowed on one resource, perhaps on conditions."""

    actions: Sequence[str]
    resource: str
    string_equals: Mapping[str, str] = field(default_factory=dict)

    def statement(self) -> iam.PolicyStatement:
        conditions = {"StringEquals": dict(self.string_equals)} if self.string_equals else None
        return iam.PolicyStatement(
            actions=list(self.actions), resources=[self.resource], conditions=conditions
        )


class Function(Construct):
    """The function ``lambdas.<name>``, allowed just what ``grants`` says.

    ``dead_letters`` takes the events that it failed on three times where it is called
    asynchronously; its role needs a grant for that.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        description: str,
        asset: Path,
        environment: Mapping[str, str],
        timeout: Duration,
        grants: Sequence[Grant],
        dead_letters: sqs.IQueue | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        writes_logs = Grant(("logs:CreateLogStream", "logs:PutLogEvents"), log_group.log_group_arn)
        self.role = iam.Role(
            self,
            "Role",
            description=f"What spendfuse's {name} may do",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            # In the role itself, so that the function never starts before its permissions.
            inline_policies={"Grants": _policy([*grants, writes_logs])},
        )
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"lambdas.{name}.handler.handler",
            code=lambda_.Code.from_asset(str(asset)),
            environment=dict(environment),
            timeout=timeout,
            memory_size=MEMORY_MB,
            role=self.role.without_policy_updates(),
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            dead_letter_queue=dead_letters,
        )

    def consume(
        self, queue_arn: str, *, batch_size: int, max_concurrency: int | None = None
    ) -> None:
        """Read the queue; a message that failed comes again, without those beside it."""
        lambda_.EventSourceMapping(
            self,
            "QueueSource",
            target=self.function,
            event_source_arn=queue_arn,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            report_batch_item_failures=True,
        )


def consumes(queue_arn: str) -> Grant:
    """Return what Lambda needs of the role to poll a queue in its name."""
    actions = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    return Grant(actions, queue_arn)


def _policy(grants: Sequence[Grant]) -> iam.PolicyDocument:
    return iam.PolicyDocument(statements=[grant.statement() for grant in grants])
