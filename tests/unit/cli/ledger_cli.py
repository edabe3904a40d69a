"""A deployment in moto that the tests of ``spendfuse ledger`` spend in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from aws_tables import aws, make_queue, make_table
from click.testing import CliRunner, Result
from moto import mock_aws
from packs import a_pack, a_record

from lambdas.record_usage.handler import DeadLetters, RecordUsage
from spendfuse.cli.context import Context
from spendfuse.cli.main import main
from spendfuse.config import load
from spendfuse.definitions import Definitions
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_tallies import DynamoTallies

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
USD = 10**9
ME = "arn:aws:sts::123456789012:user/moto"
BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": dict.fromkeys(("Project", "Environment", "Team", "CostCenter", "Owner"), "x"),
    "alerts": {"emails": ["a@b.co"], "slack": {"webhook_secret": "acme/slack"}},
    "budgets": [
        {"name": "llm", "limit_usd": 1000},
        {"name": "user-day", "per": "user", "period": "day", "limit_usd": 10},
        {"name": "pilot", "match": {"project": "pilot"}, "period": "total", "limit_usd": 5000},
        {"name": "search", "match": {"team": "search"}, "limit_usd": "25.50", "ladder": [80]},
    ],
}


@contextmanager
def a_deployment() -> Iterator[Context]:
    """Yield the way to a deployment that has written its budgets down, and spent nothing."""
    with mock_aws():
        context = Context(deployment="acme", aws=aws, now=lambda: NOW)
        context._outputs.update(
            LedgerTableName=make_table("ledger"),
            UsageQueueUrl=make_queue("usage"),
            UsageQueueArn="arn:aws:sqs:us-east-1:123456789012:usage",
            UsageDeadLetterQueueUrl=make_queue("dead-letters"),
        )
        text = definitions()
        row = {"version": {"S": text.version}, "json": {"S": text.to_json()}}
        key = {"pk": {"S": "budgets"}, "sk": {"S": "definitions"}}
        aws("dynamodb").put_item(TableName="ledger", Item={**key, **row})
        yield context


def definitions() -> Definitions:
    return load({"spendfuse": BLOCK}).definitions


def ledger() -> DynamoLedger:
    return DynamoLedger(aws("dynamodb"), "ledger")


def record(*packs: str, at: datetime = NOW) -> None:
    """Let the recorder take packs, as it does on AWS."""
    dead = DeadLetters(aws("sqs"), aws("sqs").get_queue_url(QueueName="dead-letters")["QueueUrl"])
    recorder = RecordUsage(ledger(), definitions().budgets, dead, lambda: at)
    sent = str(int(at.timestamp() * 1000))
    messages = [
        {"messageId": f"m{number}", "body": pack, "attributes": {"SentTimestamp": sent}}
        for number, pack in enumerate(packs)
    ]
    assert recorder(messages) == []


def spend(id: str, usd: int | None, *, model: str = "gpt-4o", **attributes: str) -> None:
    """Spend whole dollars in one request."""
    cost = None if usd is None else usd * USD
    record(a_pack(id, a_record(id, cost_nano_usd=cost, model=model, attributes=attributes)))


def fold() -> None:
    """Take the minutes in, as publish_gauges does."""
    DynamoTallies(aws("dynamodb"), "ledger").take_series(NOW, lambda _: None)


def queued() -> list[str]:
    """Take what lies in the usage queue."""
    url, bodies = aws("sqs").get_queue_url(QueueName="usage")["QueueUrl"], []
    while (
        messages := aws("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages")
    ):
        for each in messages:
            bodies.append(each["Body"])
            aws("sqs").delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    return bodies


def run(context: Context, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["ledger", *arguments], obj=context, catch_exceptions=False)


def shown(context: Context, *arguments: str) -> Any:
    return json.loads(run(context, *arguments, "--json").stdout)
