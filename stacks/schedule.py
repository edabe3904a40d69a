"""A function that wakes every minute, whatever else wakes it."""

from __future__ import annotations

import json

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from stacks.function import Function, Grant

_EVENT = {"source": "schedule"}


class EveryMinute(Construct):
    """The schedule, and the role under which it calls the function.

    What failed is not tried again: the next minute looks at the same state.
    """

    def __init__(self, scope: Construct, construct_id: str, *, function: Function) -> None:
        super().__init__(scope, construct_id)
        function_arn = function.function.function_arn
        role = iam.Role(
            self,
            "Role",
            description="Lets a schedule wake one function of spendfuse",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            ),
            inline_policies={
                "Grants": iam.PolicyDocument(
                    statements=[Grant(("lambda:InvokeFunction",), function_arn).statement()]
                )
            },
        )
        scheduler.CfnSchedule(
            self,
            "Schedule",
            description="Wakes a function of spendfuse every minute",
            schedule_expression="rate(1 minute)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=function_arn,
                role_arn=role.role_arn,
                input=json.dumps(_EVENT),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=60, maximum_retry_attempts=0
                ),
            ),
        )
        function.function.configure_async_invoke(
            max_event_age=Duration.minutes(1), retry_attempts=0
        )
