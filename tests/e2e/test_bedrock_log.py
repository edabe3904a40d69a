"""Bedrock's log, deployed: what Bedrock writes about calls is in the ledger, to the nano-dollar."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bedrock_deliveries import PERMISSIONS, a_delivery, an_entry
from botocore.exceptions import ClientError
from e2e.role_proof import BY_LAMBDA, WRITES_LOGS, Excuse, Proof, proves_each_right

from spendfuse.clock import utc_text
from spendfuse.period import Period
from spendfuse.sandbox import cdk
from spendfuse.sandbox.demo.block import DEMO_BLOCK
from spendfuse.sandbox.demo.ledger import counted, wait_until_counted
from spendfuse.sandbox.demo.stage import Deployed, script

PROJECT = Path(__file__).parents[2]
GROUP = "/metered/bedrock"
STREAM = "aws/bedrock/modelinvocations"
NOW = datetime.now(UTC)
MONTH = Period.containing("month", NOW).key
BLOCK: dict[str, Any] = {
    **DEMO_BLOCK,
    "name": "metered",
    "budgets": [
        {"name": "llm", "limit_usd": 1_000_000},
        {"name": "search", "match": {"team": "search"}, "limit_usd": 1_000_000},
        {"name": "dana", "match": {"user": "dana@example.com"}, "limit_usd": 1_000_000},
    ],
    "bedrock_log": {
        "log_group": GROUP,
        "identity": {
            "roles": {"search-service": {"team": "search"}},
            "principal_as": "user",
        },
        "models": {"a1b2c3d4e5f6": "anthropic.claude-3-haiku-20240307-v1:0"},
        "skip_roles": ["metered-by-its-sdk"],
    },
}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def metered(stage: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """A second deployment beside the demo's, in its account."""
    folder = tmp_path_factory.mktemp("metered")
    play = script(PROJECT, block=BLOCK)
    (folder / "cdk.json").write_text(json.dumps(play.cdk_json))
    stacks = cdk.deploy(
        stage.sandbox,
        f"python3 {shlex.quote(str(PROJECT / 'app.py'))}",
        project=PROJECT,
        # Without its AWS Budget: the demo knows the one of its own.
        stacks=("metered-alerts", "metered-fuse", "metered-ledger"),
        cwd=folder,
        output=folder / "cdk.out",
    )
    return Deployed(stage.sandbox, {k: v for each in stacks.values() for k, v in each.items()})


@pytest.fixture(scope="module")
def function(metered: Deployed) -> str:
    functions = metered.sandbox.client("lambda").list_functions()["Functions"]
    (name,) = [each["FunctionName"] for each in functions if "BedrockMeter" in each["FunctionName"]]
    return str(name)


def a_call(name: str, **over: Any) -> str:
    return json.dumps(an_entry(name, timestamp=utc_text(NOW), **over))


def write(metered: Deployed, *lines: str) -> None:
    """Write to the log as Bedrock does."""
    at = int(NOW.timestamp() * 1000)
    metered.sandbox.client("logs").put_log_events(
        logGroupName=GROUP,
        logStreamName=STREAM,
        logEvents=[{"timestamp": at, "message": line} for line in lines],
    )


def test_the_ledger_has_what_the_logged_calls_cost(metered: Deployed) -> None:
    metered.sandbox.client("logs").create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    write(metered, PERMISSIONS)
    by_its_sdk = {"arn": "arn:aws:sts::123456789012:assumed-role/metered-by-its-sdk/s"}
    write(
        metered,
        a_call("converse-stream"),
        a_call("invoke-stream-cached"),
        '{"schemaType": "ModelInvocationLog", "cut',
        a_call("converse-stream", requestMetadata={"spendfuse": "metered"}),
        a_call("converse-stream", identity=by_its_sdk),
        a_call("converse-cached-1h"),
        a_call("converse-without-bodies"),
        a_call("invoke-image"),
        a_call("refused"),
    )
    write(metered, a_call("invoke-embedding"))
    after = wait_until_counted(metered, "llm", MONTH, requests=7, timeout_seconds=60)

    # In nano-dollars, worked out in tests/unit/metering/test_bedrock_log.py.
    assert after.nano_usd == 480_000 + 77_119_500 + 55_029_150 + 707_000 + 400
    assert unpriced(metered) == 1
    # Its cached Converse, an embedding, an image without a price and a refused call.
    assert counted(metered, "search", MONTH).nano_usd == 55_029_150 + 400
    assert counted(metered, "search", MONTH).requests == 4
    assert counted(metered, "dana", MONTH).nano_usd == 77_119_500


def unpriced(metered: Deployed) -> int:
    item = metered.sandbox.client("dynamodb").get_item(
        TableName=metered.outputs["LedgerTableName"],
        Key={"pk": {"S": f"budget#llm#{MONTH}"}, "sk": {"S": "total"}},
    )["Item"]
    return int(item["unpriced"]["N"])


def test_a_delivery_that_lambda_repeats_counts_once(metered: Deployed, function: str) -> None:
    before = counted(metered, "llm", MONTH)
    twice = a_delivery(a_call("converse-stream", requestId="twice"))
    for delivery in (twice, twice, a_delivery(a_call("invoke-embedding", requestId="once"), {})):
        answer = metered.sandbox.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(delivery)
        )
        assert json.loads(answer["Payload"].read())["metered"] == 1
    after = wait_until_counted(
        metered, "llm", MONTH, requests=before.requests + 2, timeout_seconds=60
    )

    assert after.nano_usd - before.nano_usd == 480_000 + 400


def test_no_other_log_group_may_call_the_function(metered: Deployed, function: str) -> None:
    logs, functions = metered.sandbox.client("logs"), metered.sandbox.client("lambda")
    arn = functions.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    logs.create_log_group(logGroupName="/other")

    with pytest.raises(ClientError, match="Could not execute the lambda function"):
        logs.put_subscription_filter(
            logGroupName="/other", filterName="f", filterPattern="", destinationArn=arn
        )


def test_the_function_has_no_right_that_it_does_not_use(metered: Deployed, function: str) -> None:
    def scenario() -> None:
        proof.invoke(a_delivery(a_call("invoke-embedding", requestId="roles")))

    # What failed three times goes there.
    by_lambda = Excuse("sqs:SendMessage", BY_LAMBDA, of="DeadLetters")
    proof = Proof(metered, function, scenario, excuses=(*WRITES_LOGS, by_lambda))
    proves_each_right(proof)


def test_the_function_leaves_no_dead_letters(metered: Deployed) -> None:
    attributes = metered.sandbox.client("sqs").get_queue_attributes(
        QueueUrl=metered.outputs["UsageDeadLetterQueueUrl"],
        AttributeNames=["ApproximateNumberOfMessages"],
    )["Attributes"]

    assert attributes["ApproximateNumberOfMessages"] == "0"
