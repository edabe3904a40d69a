"""The alerts stack: who hears what, and the memory of what was said.

Topics → queue → ``notify`` → Slack and the topic ``mail``. A queue lies between, because
SNS would give up on a function after two retries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import ArnFormat, CfnOutput, Duration, Stack
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.function import Function, Grant, consumes
from stacks.nag import ENCRYPTED_PUBLISH, acknowledge_wildcards
from stacks.queue import QueueWithDeadLetters
from stacks.table import RetainedTable
from stacks.topics import Topics

_VISIBILITY = Duration.seconds(180)
_TIMEOUT = Duration.seconds(60)
_BATCH_SIZE = 5


class AlertsStack(Stack):
    """Topics, their key and subscribers, ``notify`` and its incidents."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        asset: Path,
        emails: Sequence[str],
        slack_webhook_secret: str | None,
    ) -> None:
        super().__init__(
            scope, construct_id, description="spendfuse: topics, their key, and who hears of it"
        )
        self.topics = Topics(self, "Topics")
        self.incidents = RetainedTable(self, "IncidentTable")
        self.queue = QueueWithDeadLetters(self, "NotifyQueue", visibility=_VISIBILITY)
        self.queue.subscribe({"Alerts": self.topics.alerts, "Trips": self.topics.trips})
        for email in emails:
            self.topics.mail.add_subscription(subscriptions.EmailSubscription(email))
        self.notify = self._notify(asset, slack_webhook_secret)
        set_up = {"email": bool(emails), "slack": bool(slack_webhook_secret)}
        self._outputs([channel for channel, is_set_up in set_up.items() if is_set_up])

    def _notify(self, asset: Path, slack_webhook_secret: str | None) -> Function:
        queue = self.queue.queue
        grants = [
            Grant(("dynamodb:Query", "dynamodb:UpdateItem"), self.incidents.table_arn),
            *self.topics.publish(self.topics.mail),
            consumes(queue.queue_arn),
            Grant(("sqs:ChangeMessageVisibility",), queue.queue_arn),
        ]
        if slack_webhook_secret:
            secret = self._secret_arn(slack_webhook_secret)
            grants.append(Grant(("secretsmanager:GetSecretValue",), secret))
        notify = Function(
            self,
            "Notify",
            name="notify",
            description="Tells people: Slack, and finished text for the topic mail",
            asset=asset,
            environment={
                "INCIDENT_TABLE": self.incidents.table_name,
                "MAIL_TOPIC_ARN": self.topics.mail.topic_arn,
                "NOTIFY_QUEUE_URL": queue.queue_url,
                "SLACK_WEBHOOK_SECRET": slack_webhook_secret or "",
            },
            timeout=_TIMEOUT,
            grants=grants,
        )
        # Slack takes one message a second and channel: more readers would only be refused.
        acknowledge_wildcards(notify.role, ENCRYPTED_PUBLISH)
        notify.consume(queue.queue_arn, batch_size=_BATCH_SIZE, max_concurrency=2)
        return notify

    def _secret_arn(self, name: str) -> str:
        # Secrets Manager ends a secret's ARN with a dash and six characters of its own.
        return self.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{name}-??????",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _outputs(self, channels: Sequence[str]) -> None:
        topics: dict[str, sns.Topic] = {
            "AlertsTopicArn": self.topics.alerts,
            "TripsTopicArn": self.topics.trips,
            "MailTopicArn": self.topics.mail,
        }
        for id_, topic in topics.items():
            CfnOutput(self, id_, value=topic.topic_arn)
        CfnOutput(self, "NotifyQueueUrl", value=self.queue.queue.queue_url)
        CfnOutput(self, "NotifyDeadLetterQueueUrl", value=self.queue.dead_letters.queue_url)
        CfnOutput(self, "IncidentTableName", value=self.incidents.table_name)
        CfnOutput(self, "AlertChannels", value=",".join(channels))
