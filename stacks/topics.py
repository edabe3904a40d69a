"""The three topics, their key, and every word of who may publish to them.

All of it stands here: a topic has one policy, and a second one would replace the first.
A publisher needs two permissions, on the topic and on its key. Without the second its
messages vanish and nobody is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.function import Grant

BUDGETS = "budgets.amazonaws.com"
COST_ANOMALY = "costalerts.amazonaws.com"
CLOUDWATCH = "cloudwatch.amazonaws.com"
PUBLISHERS = (BUDGETS, COST_ANOMALY, CLOUDWATCH)

_USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey*")
_OWNER_ACTIONS = (
    "sns:GetTopicAttributes",
    "sns:ListSubscriptionsByTopic",
    "sns:Publish",
    "sns:SetTopicAttributes",
    "sns:Subscribe",
)


class Topics(Construct):
    """``alerts`` informs, ``trips`` blows the fuse, ``mail`` carries finished text."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            description="Encrypts the alerts of spendfuse on their way",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.key.add_to_resource_policy(_may_use_key(self))
        self.alerts = self._topic("Alerts", publishers=PUBLISHERS)
        # Only a budget may blow the fuse from outside; an alarm or an anomaly informs.
        self.trips = self._topic("Trips", publishers=(BUDGETS,))
        # Alarms about what tells people go past it: JSON by mail, rather than nothing.
        self.mail = self._topic("Mail", publishers=(CLOUDWATCH,))

    def publish(self, topic: sns.Topic) -> list[Grant]:
        """Return what a role of ours needs to publish to the topic."""
        return [
            Grant(("sns:Publish",), topic.topic_arn),
            Grant(_USE_KEY, self.key.key_arn),
        ]

    def _topic(self, construct_id: str, *, publishers: Sequence[str]) -> sns.Topic:
        topic = sns.Topic(self, construct_id, master_key=self.key, enforce_ssl=True)
        topic.add_to_resource_policy(_owner_may(topic))
        topic.add_to_resource_policy(_services_may_publish(topic, publishers))
        return topic


def _may_use_key(scope: Construct) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="PublishersEncrypt",
        actions=list(_USE_KEY),
        resources=["*"],  # In a key's policy this is the key itself.
        principals=[iam.ServicePrincipal(each) for each in PUBLISHERS],
        conditions=_from_this_account(scope),
    )


def _owner_may(topic: sns.Topic) -> iam.PolicyStatement:
    # SNS's default statement, which any policy of ours replaces.
    return iam.PolicyStatement(
        sid="Owner",
        actions=list(_OWNER_ACTIONS),
        resources=[topic.topic_arn],
        principals=[iam.AccountRootPrincipal()],
    )


def _services_may_publish(topic: sns.Topic, publishers: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="ServicesPublish",
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        principals=[iam.ServicePrincipal(each) for each in publishers],
        conditions=_from_this_account(topic),
    )


def _from_this_account(scope: Construct) -> dict[str, dict[str, str]]:
    # Else a budget or an alarm in anyone's account could publish here.
    return {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
