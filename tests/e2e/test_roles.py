"""Every right of every function's role is used: without it, something fails that was promised."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from e2e.role_proof import Proof, Role, excused, proves_each_right
from packs import a_pack, a_record

from spendfuse.alerts.alert import Alert
from spendfuse.clock import utc_text
from spendfuse.fuse_state import TripOrder
from spendfuse.period import Period
from spendfuse.sandbox.demo.stage import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NOW = datetime.now(UTC)
MONTH = Period.containing("month", NOW).key
BUDGET, FUSE = "llm", "spendfuse"
LIMIT_NANO_USD = 50_000_000_000


def a_name() -> str:
    """Return an id that nobody has seen before."""
    return f"role-{uuid.uuid4().hex}"


def named(stage: Deployed, part: str) -> str:
    functions = stage.sandbox.client("lambda").list_functions()["Functions"]
    (name,) = [
        each["FunctionName"]
        for each in functions
        if each["FunctionName"].startswith("spendfuse-") and part in each["FunctionName"]
    ]
    return str(name)


def sources(stage: Deployed) -> dict[str, dict[str, Any]]:
    """Every event source mapping of our functions, by its function's name."""
    found = stage.sandbox.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    mappings = {each["FunctionArn"].rpartition(":")[2]: each for each in found}
    return {name: each for name, each in mappings.items() if name.startswith("spendfuse-")}


@pytest.fixture(scope="module", autouse=True)
def quiet(stage: Deployed) -> Iterator[None]:
    """Let nothing but this file call the functions, and leave nothing behind for them."""
    with contextlib.ExitStack() as at_last:
        for each in sources(stage).values():
            switch_source(stage, each["UUID"], on=False)
            at_last.callback(switch_source, stage, each["UUID"], on=True)
        for name in ("Notify", "Trip", "Usage"):
            queue = stage.outputs[f"{name}QueueUrl"]
            at_last.callback(stage.sandbox.client("sqs").purge_queue, QueueUrl=queue)
        scheduler = stage.sandbox.client("scheduler")
        for each in scheduler.list_schedules()["Schedules"]:
            switch_schedule(scheduler, each["Name"], "DISABLED")
            at_last.callback(switch_schedule, scheduler, each["Name"], "ENABLED")
        yield


def switch_source(stage: Deployed, uuid: str, *, on: bool) -> None:
    stage.sandbox.client("lambda").update_event_source_mapping(UUID=uuid, Enabled=on)


def switch_schedule(scheduler: Any, name: str, state: str) -> None:
    schedule = scheduler.get_schedule(Name=name)
    kept = ("ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
    scheduler.update_schedule(
        Name=name, State=state, **{key: schedule[key] for key in kept if key in schedule}
    )


def proof_of(stage: Deployed, part: str) -> Proof:
    """The function's proof; its scenario is to be set."""
    name = named(stage, part)
    source = sources(stage).get(name, {}).get("EventSourceArn")
    return Proof(stage, name, lambda: None, source=source)


def sqs_event(*bodies: str, **over: Any) -> dict[str, Any]:
    attributes = {"SentTimestamp": str(int(NOW.timestamp() * 1000)), "ApproximateReceiveCount": "1"}
    record = {"receiptHandle": "none", "attributes": attributes, **over}
    return {"Records": [{**record, "messageId": f"m{n}", "body": b} for n, b in enumerate(bodies)]}


def failed(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def held_message(stage: Deployed, queue: str) -> str:
    """Put a message on a queue, take it for five minutes, and return its receipt."""
    sqs, url = stage.sandbox.client("sqs"), stage.outputs[queue]
    sqs.purge_queue(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=300)["Messages"]
    return str(message["ReceiptHandle"])


def comes_again(stage: Deployed, queue: str) -> bool:
    """Whether the message can be received again within two seconds."""
    sqs, url = stage.sandbox.client("sqs"), stage.outputs[queue]
    return bool(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2).get("Messages"))


# record_usage


def a_free_pack(*records: dict[str, Any]) -> str:
    """Return a pack that costs nothing: the sums of the demo stay as they are."""
    now = utc_text(datetime.now(UTC))
    free = [{"cost_nano_usd": 0, **each, "at": now} for each in records]
    return a_pack(a_name(), *free, created_at=now, sent_at=now)


def small_record(n: int = 0, **over: Any) -> dict[str, Any]:
    attributes = {"user": f"u{n}", "key_id": f"key-{n}", "feature": "roles"}
    return a_record(f"r{n}", attributes=attributes, cost_nano_usd=0, **over)


def test_record_usage_has_no_right_that_it_does_not_use(stage: Deployed) -> None:
    proves_each_right(recording(stage))


def test_a_right_that_nothing_uses_is_found(stage: Deployed) -> None:
    proof = recording(stage)
    table = f"arn:aws:dynamodb:*:*:table/{stage.outputs['LedgerTableName']}"
    actions = ["dynamodb:PutItem", "dynamodb:DeleteItem"]
    more = {"Effect": "Allow", "Action": actions, "Resource": table}
    with Role(stage, proof.function).with_more(more):
        unused = {str(each) for each in proof.unused() if not excused(each, proof.excuses)}

    # Twice the same right: each of the two could go.
    assert {each.partition(" ")[0] for each in unused} == set(actions)
    assert len(unused) == 3


def recording(stage: Deployed) -> Proof:
    """Packs that are malformed, in part rejected, and too large for one transaction."""
    proof = proof_of(stage, "RecordUsage")

    def scenario() -> None:
        malformed = "{this is no pack"
        mixed = a_free_pack(small_record(), a_record("bad", cost_nano_usd=-7))
        large = a_free_pack(*(small_record(n) for n in range(150)))
        assert failed(proof.invoke(sqs_event(malformed))) == []
        assert failed(proof.invoke(sqs_event(mixed))) == []
        assert failed(proof.invoke(sqs_event(large))) == []
        assert failed(proof.invoke(sqs_event(large))) == []

    proof.scenario = scenario
    return proof


# watch_budgets


def ledger_rows(stage: Deployed, period: str) -> list[dict[str, Any]]:
    """Return what rungs are about: the period's total, and what is known of its rungs."""
    query = stage.sandbox.client("dynamodb").get_paginator("query").paginate
    return [
        row
        for kind, prefix in (("budget", "total"), ("rungs", ""))
        for page in query(
            TableName=stage.outputs["LedgerTableName"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"{kind}#{BUDGET}#{period}"}},
        )
        for row in page["Items"]
        if row["sk"]["S"].startswith(prefix)
    ]


def replace_rows(stage: Deployed, period: str, rows: list[dict[str, Any]]) -> None:
    dynamodb, table = stage.sandbox.client("dynamodb"), stage.outputs["LedgerTableName"]
    for row in ledger_rows(stage, period):
        dynamodb.delete_item(TableName=table, Key={"pk": row["pk"], "sk": row["sk"]})
    for row in rows:
        dynamodb.put_item(TableName=table, Item=row)


def overspent(period: str) -> dict[str, Any]:
    return {
        "pk": {"S": f"budget#{BUDGET}#{period}"},
        "sk": {"S": "total"},
        "nano_usd": {"N": str(LIMIT_NANO_USD * 1000)},
        "requests": {"N": "1"},
        "unpriced": {"N": "0"},
    }


def test_watch_budgets_has_no_right_that_it_does_not_use(stage: Deployed) -> None:
    proof = proof_of(stage, "WatchBudgets")
    before = {period: ledger_rows(stage, period) for period in (MONTH, "2001-01")}

    def scenario() -> None:
        # What is over only informs; of this month, an order goes to the trips.
        keys = []
        for period in before:
            replace_rows(stage, period, [overspent(period)])
            keys.append({"dynamodb": {"Keys": {"pk": {"S": f"budget#{BUDGET}#{period}"}}}})
        proof.invoke({"Records": keys})

    proof.scenario = scenario
    try:
        proves_each_right(proof)
    finally:
        for period, rows in before.items():
            replace_rows(stage, period, rows)


# publish_gauges


def release_folds(stage: Deployed) -> None:
    """End the claim on a fold that could not be finished; else the next run leaves it alone."""
    for log in ("series", "shares"):
        with contextlib.suppress(stage.sandbox.client("dynamodb").exceptions.ClientError):
            stage.sandbox.client("dynamodb").update_item(
                TableName=stage.outputs["LedgerTableName"],
                Key={"pk": {"S": f"fold#{log}"}, "sk": {"S": "plan"}},
                UpdateExpression="REMOVE claimed_at",
                ConditionExpression="attribute_exists(pk)",
            )


def test_publish_gauges_has_no_right_that_it_does_not_use(stage: Deployed) -> None:
    proof = proof_of(stage, "PublishGauges")
    proof.remembers = (
        "cloudwatch:ListMetrics",
        "cloudwatch:GetMetricData",
        "sns:ListSubscriptionsByTopic",
    )
    recorder = proof_of(stage, "RecordUsage")
    stage.sandbox.client("cloudwatch").put_metric_data(
        Namespace="AWS/Bedrock",
        MetricData=[
            {
                "MetricName": "InputTokenCount",
                "Dimensions": [{"Name": "ModelId", "Value": "anthropic.claude-3-haiku"}],
                "Value": 1000,
            }
        ],
    )

    def scenario() -> None:
        release_folds(stage)
        assert failed(recorder.invoke(sqs_event(a_free_pack(small_record())))) == []
        proof.invoke({"source": "schedule"})

    proof.scenario = scenario
    proves_each_right(proof)


# notify


def an_alert() -> Alert:
    name = a_name()
    return Alert(
        id=name,
        deployment="spendfuse",
        source="cli",
        severity="info",
        headline=name,
        at=NOW,
        channels=("slack", "email"),
    )


def in_envelope(topic: str, message: str) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": a_name(),
            "TopicArn": topic,
            "Message": message,
            "Timestamp": utc_text(NOW),
        }
    )


def test_notify_has_no_right_that_it_does_not_use(stage: Deployed) -> None:
    proof = proof_of(stage, "Notify")
    proof.remembers = ("secretsmanager:GetSecretValue",)

    def tells() -> None:
        alert = in_envelope(stage.outputs["AlertsTopicArn"], an_alert().to_json())
        assert failed(proof.invoke(sqs_event(alert))) == []

    def puts_back() -> None:
        untellable = sqs_event(
            "{}",
            receiptHandle=held_message(stage, "NotifyQueueUrl"),
            attributes={"SentTimestamp": "never", "ApproximateReceiveCount": "0"},
        )
        assert failed(proof.invoke(untellable)) == ["m0"]
        assert comes_again(stage, "NotifyQueueUrl"), "it kept its visibility timeout"

    proof.scenario = tells
    proves_each_right(proof, replace(proof, scenario=puts_back))


# trip_fuse


def an_order(stage: Deployed) -> str:
    order = TripOrder(
        fuse=FUSE,
        budget=BUDGET,
        period=MONTH,
        percent=100,
        limit_nano_usd=LIMIT_NANO_USD,
        allowance=0,
        keys=(),
    )
    name = a_name()
    alert = Alert(
        id=name,
        deployment="spendfuse",
        source="ledger",
        severity="critical",
        headline=name,
        at=NOW,
        channels=("slack",),
        budget=BUDGET,
        period=MONTH,
        percent=100,
        spent_nano_usd=LIMIT_NANO_USD,
        limit_nano_usd=LIMIT_NANO_USD,
        trip=order,
    )
    return in_envelope(stage.outputs["TripsTopicArn"], alert.to_json())


def fuse_rows(stage: Deployed) -> list[dict[str, Any]]:
    found = stage.sandbox.client("dynamodb").scan(TableName=stage.outputs["FuseTableName"])
    return list(found["Items"])


def replace_fuse(stage: Deployed, rows: list[dict[str, Any]]) -> None:
    dynamodb, table = stage.sandbox.client("dynamodb"), stage.outputs["FuseTableName"]
    for row in fuse_rows(stage):
        dynamodb.delete_item(TableName=table, Key={"pk": row["pk"], "sk": row["sk"]})
    for row in rows:
        dynamodb.put_item(TableName=table, Item=row)


def switch_key(stage: Deployed, *, on: bool) -> None:
    operation = {"op": "replace", "path": "/enabled", "value": str(on).lower()}
    stage.sandbox.client("apigateway").update_api_key(
        apiKey=stage.outputs["WebKeyId"], patchOperations=[operation]
    )


def is_enabled(stage: Deployed) -> bool:
    gateway = stage.sandbox.client("apigateway")
    return bool(gateway.get_api_key(apiKey=stage.outputs["WebKeyId"])["enabled"])


def test_trip_fuse_has_no_right_that_it_does_not_use(stage: Deployed) -> None:
    proof = proof_of(stage, "TripFuse")
    before, was_enabled = fuse_rows(stage), is_enabled(stage)
    functions = stage.sandbox.client("lambda")

    def set_timeout(seconds: int) -> None:
        functions.update_function_configuration(FunctionName=proof.function, Timeout=seconds)

    def trips() -> None:
        replace_fuse(stage, [])
        switch_key(stage, on=True)
        assert failed(proof.invoke(sqs_event(an_order(stage)))) == []
        assert not is_enabled(stage)

    def has_no_time() -> None:
        # No key is begun, and the message comes again at once.
        replace_fuse(stage, [])
        switch_key(stage, on=True)
        set_timeout(60)
        event = sqs_event(an_order(stage), receiptHandle=held_message(stage, "TripQueueUrl"))
        assert failed(proof.invoke(event)) == ["m0"]
        assert comes_again(stage, "TripQueueUrl"), "it kept its visibility timeout"

    proof.scenario = trips
    try:
        proves_each_right(proof, replace(proof, scenario=has_no_time))
    finally:
        set_timeout(300)
        replace_fuse(stage, before)
        switch_key(stage, on=was_enabled)
