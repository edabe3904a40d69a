"""The ledger stack: usage comes in, totals grow, and rungs that are due are published."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from spendfuse import metrics
from stacks.bedrock import BedrockLog, BedrockMeter
from stacks.function import Function, Grant, consumes
from stacks.nag import ALL_METRICS, ENCRYPTED_PUBLISH, LIST_STREAMS, acknowledge_wildcards
from stacks.queue import QueueWithDeadLetters
from stacks.schedule import EveryMinute
from stacks.table import RetainedTable
from stacks.topics import Topics

_RECORD_TIMEOUT = Duration.seconds(30)
_RECORD_VISIBILITY = Duration.seconds(180)
_RECORD_BATCH_SIZE = 10
_RECORD_CONCURRENCY = 5

_WATCH_TIMEOUT = Duration.seconds(50)
_WATCH_BATCH_SIZE = 100

_GAUGES_TIMEOUT = Duration.seconds(50)
"""A run that is cut off ends before the next begins, so that none publishes what another does."""

_HELD_INDEX = "Held"
"""As ``spendfuse.guard.stores.dynamodb_items`` names it."""


class LedgerStack(Stack):
    """The usage queue, the ledger table, ``record_usage`` and ``watch_budgets``.

    And the table of the apps' guards, and ``meter_bedrock``, where Bedrock's log is metered.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        asset: Path,
        topics: Topics,
        fuse_table: dynamodb.ITable,
        bedrock_log: BedrockLog | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="spendfuse: usage in, totals, and the rungs that are due",
        )
        self.table = RetainedTable(self, "LedgerTable", stream=dynamodb.StreamViewType.KEYS_ONLY)
        self.guard_table = self._guard_table()
        self.queue = QueueWithDeadLetters(self, "UsageQueue", visibility=_RECORD_VISIBILITY)
        self.record_usage = self._record_usage(asset)
        self.watch_budgets = self._watch_budgets(asset, topics, fuse_table)
        acknowledge_wildcards(self.watch_budgets.role, ENCRYPTED_PUBLISH | LIST_STREAMS)
        self._wake_on_change()
        self.publish_gauges = self._publish_gauges(asset, topics)
        acknowledge_wildcards(self.publish_gauges.role, ALL_METRICS)
        for function in (self.watch_budgets, self.publish_gauges):
            EveryMinute(function, "EveryMinute", function=function)
        self.app_policy = self._app_policy(fuse_table)
        self._outputs(deployment)
        self.meter_bedrock: Function | None = None
        if bedrock_log:
            self.meter_bedrock = BedrockMeter(
                self,
                "Bedrock",
                deployment=deployment,
                asset=asset,
                log=bedrock_log,
                usage_queue=self.queue,
            ).meter

    def _guard_table(self) -> RetainedTable:
        table = RetainedTable(self, "GuardTable")
        # Only what is held has these attributes, so whoever looks for expired holds reads no more.
        table.add_global_secondary_index(
            index_name=_HELD_INDEX,
            partition_key=dynamodb.Attribute(name="held_of", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="held_until", type=dynamodb.AttributeType.NUMBER),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        return table

    def _record_usage(self, asset: Path) -> Function:
        queue, dead_letters = self.queue.queue, self.queue.dead_letters
        record_usage = Function(
            self,
            "RecordUsage",
            name="record_usage",
            description="Adds packs of usage to the ledger, each once",
            asset=asset,
            environment={
                "LEDGER_TABLE": self.table.table_name,
                "DEAD_LETTER_QUEUE_URL": dead_letters.queue_url,
            },
            timeout=_RECORD_TIMEOUT,
            grants=[
                # A transaction's puts and updates are allowed, or not, as puts and updates.
                Grant(
                    ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
                    self.table.table_arn,
                ),
                Grant(("sqs:SendMessage",), dead_letters.queue_arn),
                consumes(queue.queue_arn),
            ],
        )
        # Few at once, so that the totals everybody adds to seldom conflict.
        record_usage.consume(
            queue.queue_arn, batch_size=_RECORD_BATCH_SIZE, max_concurrency=_RECORD_CONCURRENCY
        )
        return record_usage

    def _watch_budgets(self, asset: Path, topics: Topics, fuse_table: dynamodb.ITable) -> Function:
        return Function(
            self,
            "WatchBudgets",
            name="watch_budgets",
            description="Publishes the rungs that are due, and publishes again what is pending",
            asset=asset,
            environment={
                "LEDGER_TABLE": self.table.table_name,
                "FUSE_TABLE": fuse_table.table_name,
                "ALERTS_TOPIC_ARN": topics.alerts.topic_arn,
                "TRIPS_TOPIC_ARN": topics.trips.topic_arn,
            },
            timeout=_WATCH_TIMEOUT,
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
                Grant(("dynamodb:GetItem",), fuse_table.table_arn),
                Grant(("sns:Publish",), topics.alerts.topic_arn),
                *topics.publish(topics.trips),
                *_reads_stream(_stream_arn(self.table)),
            ],
        )

    def _wake_on_change(self) -> None:
        """Look at once when a total has changed; a lost record costs a minute, no more."""
        totals = {
            "pk": {"S": lambda_.FilterRule.begins_with("budget#")},
            "sk": {"S": lambda_.FilterRule.is_equal("total")},
        }
        lambda_.EventSourceMapping(
            self.watch_budgets,
            "StreamSource",
            target=self.watch_budgets.function,
            event_source_arn=_stream_arn(self.table),
            starting_position=lambda_.StartingPosition.LATEST,
            batch_size=_WATCH_BATCH_SIZE,
            bisect_batch_on_error=True,
            retry_attempts=3,
            filters=[lambda_.FilterCriteria.filter({"dynamodb": {"Keys": totals}})],
        )

    def _publish_gauges(self, asset: Path, topics: Topics) -> Function:
        return Function(
            self,
            "PublishGauges",
            name="publish_gauges",
            description="Folds what was counted, and publishes it as metrics",
            asset=asset,
            environment={
                "LEDGER_TABLE": self.table.table_name,
                "MAIL_TOPIC_ARN": topics.mail.topic_arn,
            },
            timeout=_GAUGES_TIMEOUT,
            grants=[
                Grant(
                    (
                        "dynamodb:BatchWriteItem",
                        "dynamodb:GetItem",
                        "dynamodb:PutItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                    ),
                    self.table.table_arn,
                ),
                # CloudWatch's metrics know no resource: AWS takes only "*" here.
                Grant(
                    ("cloudwatch:PutMetricData",),
                    "*",
                    string_equals={"cloudwatch:namespace": metrics.NAMESPACE},
                ),
                Grant(("cloudwatch:GetMetricData", "cloudwatch:ListMetrics"), "*"),
                Grant(("sns:ListSubscriptionsByTopic",), topics.mail.topic_arn),
            ],
        )

    def _app_policy(self, fuse_table: dynamodb.ITable) -> iam.ManagedPolicy:
        return iam.ManagedPolicy(
            self,
            "AppPolicy",
            description="What an app needs to send its usage, to guard its budgets and to see the "
            "fuse",
            statements=[
                Grant(("sqs:SendMessage",), self.queue.queue.queue_arn).statement(),
                Grant(("dynamodb:GetItem",), fuse_table.table_arn).statement(),
                # A transaction's puts and updates are allowed, or not, as puts and updates.
                Grant(
                    ("dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
                    self.guard_table.table_arn,
                ).statement(),
                Grant(
                    ("dynamodb:Query",), f"{self.guard_table.table_arn}/index/{_HELD_INDEX}"
                ).statement(),
                self._reads_budgets(),
            ],
        )

    def _reads_budgets(self) -> iam.PolicyStatement:
        """Limits, overrides and totals; neither packs nor alerts nor what is in quarantine."""
        return iam.PolicyStatement(
            actions=["dynamodb:GetItem", "dynamodb:Query"],
            resources=[self.table.table_arn],
            conditions={
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["budget#*", "budgets"]}
            },
        )

    def _outputs(self, deployment: str) -> None:
        exported = {
            "UsageQueueUrl": self.queue.queue.queue_url,
            "LedgerTableName": self.table.table_name,
            "GuardTableName": self.guard_table.table_name,
            "AppPolicyArn": self.app_policy.managed_policy_arn,
        }
        for id_, value in exported.items():
            CfnOutput(self, id_, value=value, export_name=f"{deployment}:{id_}")
        CfnOutput(self, "UsageQueueArn", value=self.queue.queue.queue_arn)
        CfnOutput(self, "UsageDeadLetterQueueUrl", value=self.queue.dead_letters.queue_url)


def _stream_arn(table: RetainedTable) -> str:
    arn = table.table_stream_arn
    if arn is None:
        raise ValueError("the ledger table has no stream; watch_budgets reads it")
    return arn


def _reads_stream(stream_arn: str) -> list[Grant]:
    actions = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
    # ListStreams knows no resource: AWS takes only "*" here.
    return [Grant(actions, stream_arn), Grant(("dynamodb:ListStreams",), "*")]
