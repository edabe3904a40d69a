"""What goes wrong: bad packs, a Slack that does not answer, a stream that is off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from packs import a_pack, a_record

from spendfuse.alerts.alert import Alert
from spendfuse.clock import utc_text
from spendfuse.period import Period
from spendfuse.sandbox.demo.ledger import counted, wait_until_counted
from spendfuse.sandbox.demo.stage import Deployed
from spendfuse.sandbox.demo.story import BUDGET, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def eventually(check: Callable[[], Any], timeout_seconds: float = 30.0) -> Any:
    """Return what ``check`` returns, once that is true."""
    deadline = time.monotonic() + timeout_seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return found


def send(stage: Deployed, body: str) -> None:
    stage.sandbox.client("sqs").send_message(
        QueueUrl=stage.outputs["UsageQueueUrl"], MessageBody=body
    )


def a_pack_now(id: str, *records: dict[str, Any]) -> str:
    now = utc_text(datetime.now(UTC))
    return a_pack(id, *[record | {"at": now} for record in records], created_at=now, sent_at=now)


def this_month() -> str:
    return Period.containing("month", datetime.now(UTC)).key


def publish(stage: Deployed, id: str) -> str:
    """Publish an alert of our own as a Lambda would; its headline is its id."""
    alert = Alert(
        id=id,
        deployment="spendfuse",
        source="cli",
        severity="info",
        headline=id,
        at=datetime.now(UTC),
        channels=("slack", "email"),
    )
    stage.sandbox.client("sns").publish(
        TopicArn=stage.outputs["AlertsTopicArn"], Message=alert.to_json()
    )
    return id


def delivered(stage: Deployed, channel: str, text: str) -> int:
    return sum(text in text_of(each) for each in stage.sandbox.inbox.messages(channel))


def test_a_pack_that_is_no_json_is_a_dead_letter_and_a_bad_record_is_quarantined(
    stage: Deployed,
) -> None:
    before = counted(stage, BUDGET, this_month())
    send(stage, "{this is no pack")
    good, bad = a_record("good", cost_nano_usd=3), a_record("bad", cost_nano_usd=-7)
    send(stage, a_pack_now("mixed", good, bad))
    send(stage, a_pack_now("mixed", good, bad))
    send(stage, a_pack_now("whole", a_record("r", cost_nano_usd=4)))
    after = wait_until_counted(
        stage, BUDGET, this_month(), requests=before.requests + 2, timeout_seconds=30
    )
    letters = eventually(
        lambda: (
            stage.sandbox.client("sqs")
            .receive_message(
                QueueUrl=stage.outputs["UsageDeadLetterQueueUrl"],
                MessageAttributeNames=["All"],
            )
            .get("Messages")
        )
    )
    quarantine = stage.sandbox.client("dynamodb").scan(
        TableName=stage.outputs["LedgerTableName"],
        FilterExpression="begins_with(pk, :quarantine)",
        ExpressionAttributeValues={":quarantine": {"S": "quarantine#"}},
    )["Items"]

    assert after.nano_usd - before.nano_usd == 7
    assert [letter["Body"] for letter in letters] == ["{this is no pack"]
    assert "is not JSON" in letters[0]["MessageAttributes"]["reason"]["StringValue"]
    assert ["-7 is negative" in row["reason"]["S"] for row in quarantine] == [True]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "retry_after": 2},
        {"status": 500, "times": 2},
        {"hang_seconds": 60},
    ],
    ids=["429 with Retry-After", "500 twice", "nothing for a minute"],
)
def test_what_slack_refuses_arrives_once_afterwards(
    stage: Deployed, fault: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    refused = len(stage.sandbox.inbox.refused("slack"))
    stage.sandbox.inbox.answer("slack", **fault)
    headline = publish(stage, f"Fault {request.node.callspec.id}")
    eventually(lambda: delivered(stage, "slack", headline), timeout_seconds=90)
    eventually(lambda: delivered(stage, "email", headline))
    marker = publish(stage, f"After {headline}")
    eventually(lambda: delivered(stage, "slack", marker))

    assert len(stage.sandbox.inbox.refused("slack")) - refused == fault.get("times", 1)
    # Twice: in its own message, and in the marker's.
    assert delivered(stage, "slack", headline) == 2


@pytest.fixture
def stream_off(stage: Deployed) -> Iterator[None]:
    """Switch the ledger table's stream off, and on again."""
    functions = stage.sandbox.client("lambda")
    sources = [
        each
        for each in functions.list_event_source_mappings()["EventSourceMappings"]
        if ":dynamodb:" in each["EventSourceArn"]
    ]
    assert sources
    for source in sources:
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    yield
    for source in sources:
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)


@pytest.mark.usefixtures("stream_off")
def test_without_the_stream_the_schedule_rings_within_its_minute(stage: Deployed) -> None:
    # Usage that comes late: last month's rungs have not fired, and they only inform.
    last_month = Period.containing("month", datetime.now(UTC)).previous
    late = a_record("late", cost_nano_usd=26 * 10**9)
    late["at"] = utc_text(last_month.end - timedelta(hours=1))
    now = utc_text(datetime.now(UTC))
    send(stage, a_pack("late", late, created_at=now, sent_at=now))
    headline = f"50 % of $50.00 is spent ({last_month.key})"
    eventually(lambda: delivered(stage, "slack", headline), timeout_seconds=100)
    eventually(lambda: delivered(stage, "email", headline))

    assert delivered(stage, "slack", headline) == 1
