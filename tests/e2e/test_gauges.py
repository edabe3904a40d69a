"""What the ledger counted, as CloudWatch has it: to the dollar, under the deployed role."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e.sandbox_probes import eventually

from spendfuse import metrics
from spendfuse.clock import utc_text
from spendfuse.money import usd
from spendfuse.period import Period
from spendfuse.sandbox.demo.ledger import counted, wait_until_counted
from spendfuse.sandbox.demo.stage import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BUDGET = "llm"
BEDROCK_MODEL = "anthropic.claude-haiku-4-5"
METERED_TOKENS, COUNTED_TOKENS = 1_200, 51_200
USER = "who-is-in-no-metric"
"""Whose name no budget of another deployment in the account has, either."""


def month() -> str:
    return Period.containing("month", datetime.now(UTC)).key


def statistics(
    stage: Deployed, name: str, statistic: str, *, since: datetime | None = None, **by: str
) -> float:
    """Return a metric's statistic of all that it has of the last day."""
    now = datetime.now(UTC)
    dimensions = {metrics.DEPLOYMENT: "spendfuse", **by}
    found = stage.sandbox.client("cloudwatch").get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=since or now - timedelta(days=1),
        EndTime=now + timedelta(hours=1),
        Period=86_400,
        Statistics=[statistic],
    )["Datapoints"]
    return sum(float(point[statistic]) for point in found)


@pytest.fixture(scope="module")
def function(stage: Deployed) -> str:
    functions = stage.sandbox.client("lambda").list_functions()["Functions"]
    names = [each["FunctionName"] for each in functions]
    (name,) = [each for each in names if each.startswith("spendfuse-ledger-PublishGauges")]
    return str(name)


@pytest.fixture(scope="module")
def metered(stage: Deployed) -> None:
    """Two calls, one of Bedrock; and Bedrock's own count, which knows of more."""
    before = counted(stage, BUDGET, month())
    now = datetime.now(UTC)
    an_hour_of_late = now - timedelta(minutes=40)

    def record(number: int, **over: Any) -> dict[str, Any]:
        return {"id": f"gauges-{number}-{uuid.uuid4().hex}", "at": utc_text(now), **over}

    pack = {
        "schema": 1,
        "id": f"gauges-{uuid.uuid4().hex}",
        "sent_at": utc_text(now),
        "records": [
            record(
                1,
                cost_nano_usd=1_000_000,
                provider="openai",
                model="gpt-gauges",
                attributes={"feature": "gauges", "user": USER},
                tokens={"input_tokens": 70, "output_tokens": 7},
                latency_ms=1_500,
            ),
            record(
                2,
                at=utc_text(an_hour_of_late),
                cost_nano_usd=2_000_000,
                provider="aws",
                model=BEDROCK_MODEL,
                attributes={"feature": "gauges"},
                tokens={"input_tokens": METERED_TOKENS, "output_tokens": 0},
                status="error",
            ),
        ],
    }
    stage.sandbox.client("sqs").send_message(
        QueueUrl=stage.outputs["UsageQueueUrl"], MessageBody=json.dumps(pack)
    )
    wait_until_counted(stage, BUDGET, month(), requests=before.requests + 2, timeout_seconds=60)
    stage.sandbox.client("cloudwatch").put_metric_data(
        Namespace="AWS/Bedrock",
        MetricData=[
            {
                "MetricName": "InputTokenCount",
                "Dimensions": [{"Name": "ModelId", "Value": BEDROCK_MODEL}],
                "Timestamp": an_hour_of_late,
                "Value": COUNTED_TOKENS,
            }
        ],
    )


@pytest.fixture(scope="module")
def published(stage: Deployed, metered: None, function: str) -> None:
    """A run of the function, in a process that has compared nothing yet in this quarter."""
    functions = stage.sandbox.client("lambda")
    functions.update_function_configuration(FunctionName=function, MemorySize=513)
    functions.get_waiter("function_updated_v2").wait(FunctionName=function)
    answer = functions.invoke(FunctionName=function, Payload=b'{"source": "test"}')

    assert "FunctionError" not in answer, answer["Payload"].read().decode()


def test_the_heart_beats_by_the_schedule_alone(stage: Deployed) -> None:
    assert eventually(lambda: statistics(stage, metrics.HEARTBEAT, "Sum"), seconds=150) >= 1


def test_the_metrics_add_up_to_what_the_ledger_has(stage: Deployed, published: None) -> None:
    # Of this month alone: other tests send usage of the last one, too old for a flow.
    this = Period.containing("month", datetime.now(UTC))
    total = counted(stage, BUDGET, this.key)

    assert statistics(stage, metrics.REQUESTS, "Sum", since=this.start) == total.requests
    # Doubles, added up: the ledger itself has it to the nano-dollar.
    exact = pytest.approx(float(usd(total.nano_usd)), rel=1e-12)
    assert statistics(stage, metrics.COST_USD, "Sum", since=this.start) == exact
    assert statistics(stage, metrics.MONTH_TO_DATE_USD, "Maximum") == exact


def test_a_budget_s_use_is_what_the_ledger_says(stage: Deployed, published: None) -> None:
    spent = counted(stage, BUDGET, month()).nano_usd

    used = statistics(stage, metrics.BUDGET_USED_PERCENT, "Maximum", Budget=BUDGET)
    assert used == pytest.approx(float(usd(spent)) / 50 * 100)


def test_models_and_features_have_their_own_sums(stage: Deployed, published: None) -> None:
    assert statistics(stage, metrics.COST_USD, "Sum", Model="gpt-gauges") == 0.001
    assert statistics(stage, metrics.OUTPUT_TOKENS, "Sum", Model="gpt-gauges") == 7
    assert statistics(stage, metrics.ERRORS, "Sum", Model=BEDROCK_MODEL) == 1
    assert statistics(stage, metrics.REQUESTS, "Sum", Feature="gauges") == 2
    slowest = statistics(stage, metrics.LATENCY_MS, "Maximum", Feature="gauges")
    assert slowest == pytest.approx(1_500, rel=0.05)


def test_what_bedrock_counted_and_nobody_metered_is_seen(stage: Deployed, published: None) -> None:
    unmetered = statistics(stage, metrics.UNMETERED_TOKENS, "Maximum")

    assert unmetered == COUNTED_TOKENS - METERED_TOKENS


def test_addresses_that_wait_for_their_owner_are_counted(stage: Deployed, published: None) -> None:
    sns = stage.sandbox.client("sns")
    (topic,) = [
        each["TopicArn"]
        for each in sns.list_topics()["Topics"]
        if "spendfuse-alerts-TopicsMail" in each["TopicArn"]
    ]
    pending = [
        each
        for each in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        if each["SubscriptionArn"] == "PendingConfirmation"
    ]

    counted_here = statistics(stage, metrics.UNCONFIRMED_EMAILS, "SampleCount")
    assert counted_here >= 1
    assert statistics(stage, metrics.UNCONFIRMED_EMAILS, "Maximum") == len(pending)


def test_no_user_is_in_any_metric(stage: Deployed, published: None) -> None:
    pages = stage.sandbox.client("cloudwatch").get_paginator("list_metrics")
    found = [
        each for page in pages.paginate(Namespace=metrics.NAMESPACE) for each in page["Metrics"]
    ]

    assert found
    assert USER not in json.dumps(found)
    assert {one["Name"] for each in found for one in each["Dimensions"]} == {
        metrics.DEPLOYMENT,
        metrics.BUDGET,
        metrics.MODEL,
        metrics.FEATURE,
    }
