"""Where it is switched on: Bedrock's invocation log → ``meter_bedrock`` → the usage queue.

The log is one for the whole account in a region, and CloudFormation has no resource that switches
it on: somebody does that once, with the command among the stack's outputs. Data delivery is off
in it, because the counts are all that is metered.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from aws_cdk import ArnFormat, Aws, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.function import Function, Grant
from stacks.queue import QueueWithDeadLetters

_TIMEOUT = Duration.seconds(120)
_LOG_STREAM = "aws/bedrock/modelinvocations"
"""The one stream that Bedrock writes; AWS's name for it."""
_DATA = ("text", "image", "embedding", "video", "audio")


class BedrockLog(Protocol):
    """What the configuration says of Bedrock's log."""

    @property
    def log_group(self) -> str: ...
    @property
    def create(self) -> bool: ...


class BedrockMeter(Construct):
    """``meter_bedrock`` behind the log group; the group and Bedrock's role, if ours to make.

    It stands in the ledger's stack, so that it can be switched off again by a deployment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        asset: Path,
        log: BedrockLog,
        usage_queue: QueueWithDeadLetters,
    ) -> None:
        super().__init__(scope, construct_id)
        self._log_group_name = log.log_group
        self.meter = self._meter(asset, usage_queue)
        subscription = self._subscription()
        if log.create:
            subscription.node.add_dependency(self._log_group())
            role = self._role()
            self._outputs(deployment, role)

    def _meter(self, asset: Path, usage_queue: QueueWithDeadLetters) -> Function:
        return Function(
            self,
            "Meter",
            name="meter_bedrock",
            description="Prices the calls in Bedrock's invocation log, and sends them as usage",
            asset=asset,
            environment={"USAGE_QUEUE_URL": usage_queue.queue.queue_url},
            timeout=_TIMEOUT,
            grants=[
                Grant(("sqs:SendMessage",), usage_queue.queue.queue_arn),
                Grant(("sqs:SendMessage",), usage_queue.dead_letters.queue_arn),
            ],
            # CloudWatch Logs calls it asynchronously: Lambda would drop what failed three times.
            dead_letters=usage_queue.dead_letters,
        )

    def _subscription(self) -> logs.CfnSubscriptionFilter:
        function = self.meter.function
        function.add_permission(
            "LogsInvoke",
            principal=iam.ServicePrincipal("logs.amazonaws.com"),
            # Else a log group in anyone's account could have its lines counted here.
            source_arn=f"{self._log_group_arn()}:*",
            source_account=Aws.ACCOUNT_ID,
        )
        subscription = logs.CfnSubscriptionFilter(
            self,
            "Subscription",
            log_group_name=self._log_group_name,
            destination_arn=function.function_arn,
            # Everything: a line that a pattern does not understand would be missing unseen.
            filter_pattern="",
        )
        # With its permission: CloudWatch Logs tries the function when the filter is made.
        subscription.node.add_dependency(function)
        return subscription

    def _log_group(self) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=self._log_group_name,
            retention=logs.RetentionDays.ONE_MONTH,
            # What is in it was counted; prompts, if it has any, must not outlive their use.
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _role(self) -> iam.Role:
        writes = Grant(
            ("logs:CreateLogStream", "logs:PutLogEvents"),
            f"{self._log_group_arn()}:log-stream:{_LOG_STREAM}",
        )
        bedrock = f"arn:{Aws.PARTITION}:bedrock:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"
        return iam.Role(
            self,
            "Role",
            description="Lets Bedrock write its invocation log, for spendfuse to meter",
            assumed_by=iam.ServicePrincipal(
                "bedrock.amazonaws.com",
                # Else somebody else's Bedrock could be made to write here.
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnLike": {"aws:SourceArn": bedrock},
                },
            ),
            inline_policies={"Grants": iam.PolicyDocument(statements=[writes.statement()])},
        )

    def _outputs(self, deployment: str, role: iam.Role) -> None:
        stack = Stack.of(self)
        CfnOutput(
            stack,
            "BedrockLogRoleArn",
            value=role.role_arn,
            export_name=f"{deployment}:BedrockLogRoleArn",
        )
        CfnOutput(
            stack, "SwitchBedrockLogOn", value=_switch_on(self._log_group_name, role.role_arn)
        )

    def _log_group_arn(self) -> str:
        return Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=self._log_group_name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )


def _switch_on(log_group: str, role_arn: str) -> str:
    """Return the command that makes Bedrock write its log, without what was said."""
    config = {
        "cloudWatchConfig": {"logGroupName": log_group, "roleArn": role_arn},
        **{f"{kind}DataDeliveryEnabled": False for kind in _DATA},
    }
    return (
        f"aws bedrock put-model-invocation-logging-configuration --region {Aws.REGION} "
        f"--logging-config '{json.dumps(config)}'"
    )
