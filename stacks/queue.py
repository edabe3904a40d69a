"""A queue that never loses what it could not deliver.

SQS deletes a message at the end of its retention, dead-lettered or not. So a message must
use up its receives well before: ``max_receives`` x ``visibility`` < ``retention``.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

RETENTION = Duration.days(14)  # The longest that SQS keeps anything.


class QueueWithDeadLetters(Construct):
    """An encrypted queue; what failed ``max_receives`` times waits in ``dead_letters``."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        visibility: Duration,
        max_receives: int = 100,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=RETENTION,
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=RETENTION,
            visibility_timeout=visibility,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=max_receives
            ),
        )

    def subscribe(self, topics: Mapping[str, sns.ITopic]) -> None:
        """Listen to the topics, by the id of each subscription.

        Messages come in SNS's JSON envelope, which keeps their subject and their topic. What
        SNS can't deliver, because of a policy say, waits in ``dead_letters`` too.
        """
        policy = self.queue.add_to_resource_policy(self._takes_from(topics)).policy_dependable
        for id_, topic in topics.items():
            subscription = sns.Subscription(
                self,
                id_,
                topic=topic,
                protocol=sns.SubscriptionProtocol.SQS,
                endpoint=self.queue.queue_arn,
                dead_letter_queue=self.dead_letters,
            )
            if policy:
                subscription.node.add_dependency(policy)

    def _takes_from(self, topics: Mapping[str, sns.ITopic]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid="TopicsSend",
            actions=["sqs:SendMessage"],
            resources=[self.queue.queue_arn],
            principals=[iam.ServicePrincipal("sns.amazonaws.com")],
            # Else a topic in anyone's account could send here.
            conditions={
                "ArnEquals": {"aws:SourceArn": [topic.topic_arn for topic in topics.values()]}
            },
        )
