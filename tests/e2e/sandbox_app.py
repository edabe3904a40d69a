"""A small CDK app that uses what spendfuse's own stacks use, to try the sandbox with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct


def may_publish(topic: sns.Topic, account: str) -> None:
    """Let AWS Budgets, for this account alone, publish to the topic."""
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
            conditions={"StringEquals": {"aws:SourceAccount": account}},
        )
    )


class TryStack(cdk.Stack):
    """A topic that allows, one that denies, one whose key denies; a queue's echo; a budget."""

    def __init__(self, scope: Construct, id: str, *, percent: int, fixed_name: bool) -> None:
        super().__init__(scope, id)
        open_key = kms.Key(self, "OpenKey", removal_policy=cdk.RemovalPolicy.DESTROY)
        open_key.grant(
            iam.ServicePrincipal("budgets.amazonaws.com"), "kms:Decrypt", "kms:GenerateDataKey*"
        )
        closed_key = kms.Key(self, "ClosedKey", removal_policy=cdk.RemovalPolicy.DESTROY)
        allowing = sns.Topic(self, "Allowing", master_key=open_key, enforce_ssl=True)
        denying = sns.Topic(self, "Denying", enforce_ssl=True)
        locked = sns.Topic(self, "Locked", master_key=closed_key, enforce_ssl=True)
        may_publish(allowing, self.account)
        may_publish(locked, self.account)
        allowing.add_subscription(subscriptions.EmailSubscription("team@example.com"))

        queue = sqs.Queue(self, "Queue", visibility_timeout=cdk.Duration.seconds(30))
        allowing.add_subscription(subscriptions.SqsSubscription(queue))
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            stream=dynamodb.StreamViewType.KEYS_ONLY,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        echo = lambda_.Function(
            self,
            "Echo",
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="echo.handler",
            code=lambda_.Code.from_asset(str(Path(__file__).parent / "sandbox_echo")),
            environment={"TABLE": table.table_name},
            timeout=cdk.Duration.seconds(10),
        )
        table.grant_write_data(echo)
        echo.add_event_source(sources.SqsEventSource(queue, batch_size=1))
        self._budget({"allow": allowing, "deny": denying, "lock": locked}, percent, fixed_name)
        for name, value in {"Table": table.table_name, "Queue": queue.queue_url}.items():
            cdk.CfnOutput(self, f"{name}Name", value=value)

    def _budget(self, topics: dict[str, sns.Topic], percent: int, fixed_name: bool) -> None:
        rungs = {percent: topics["allow"], 90: topics["deny"], 95: topics["lock"]}
        ladder = json.dumps(sorted(rungs)).encode()
        name = "fixed" if fixed_name else f"try-{hashlib.sha256(ladder).hexdigest()[:8]}"
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=1000, unit="USD"),
            ),
            notifications_with_subscribers=[_rung(at, topic) for at, topic in rungs.items()],
        )
        cdk.CfnOutput(self, "BudgetName", value=name)


def _rung(percent: int, topic: sns.Topic) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
    subscriber = budgets.CfnBudget.SubscriberProperty
    return budgets.CfnBudget.NotificationWithSubscribersProperty(
        notification=budgets.CfnBudget.NotificationProperty(
            comparison_operator="GREATER_THAN",
            notification_type="ACTUAL",
            threshold=percent,
            threshold_type="PERCENTAGE",
        ),
        subscribers=[
            subscriber(subscription_type="SNS", address=topic.topic_arn),
            subscriber(subscription_type="EMAIL", address="boss@example.com"),
        ],
    )


app = cdk.App()
TryStack(
    app,
    "try",
    percent=int(app.node.try_get_context("percent") or 80),
    fixed_name=app.node.try_get_context("fixed_name") == "true",
)
app.synth()
