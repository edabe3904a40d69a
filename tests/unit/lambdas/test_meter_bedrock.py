"""Bedrock's log → usage queue: what is sent, what is logged, and what is tried again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from aws_tables import aws, make_queue, make_table
from bedrock_deliveries import PERMISSIONS, a_delivery, an_entry
from moto import mock_aws
from packs import NOW

from lambdas.meter_bedrock.handler import MeterBedrock, UsageQueue
from lambdas.meter_bedrock.settings import Settings
from spendfuse.bedrock_rules import BedrockRules
from spendfuse.budget import Budget
from spendfuse.errors import InputError, SettingsError
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting
from spendfuse.metering.price_book import PriceBook

ROOT = Budget("llm", 10**12, "month", ())
RULES = BedrockRules(skip_roles=("gateway",))


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    return PriceBook.standard()


@pytest.fixture
def meter(prices: PriceBook) -> Iterator[MeterBedrock]:
    with mock_aws():
        yield MeterBedrock(
            rules=RULES,
            prices=prices,
            queue=UsageQueue(aws("sqs"), make_queue("usage")),
            now=lambda: NOW,
        )


def sent(meter: MeterBedrock) -> list[str]:
    answer = aws("sqs").receive_message(
        QueueUrl=meter.queue.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [each["Body"] for each in answer.get("Messages", [])]


def test_the_calls_of_a_delivery_are_one_pack(meter: MeterBedrock) -> None:
    found = meter(a_delivery(an_entry("converse-stream"), an_entry("invoke-embedding")))
    (body,) = sent(meter)
    records = json.loads(body)["records"]

    assert [each["cost_nano_usd"] for each in records] == [480_000, 400]
    assert [each["attributes"].get("iam_user") for each in records] == ["dana", None]
    assert len(found.records) == 2


def test_nothing_is_sent_where_nothing_was_called(meter: MeterBedrock) -> None:
    found = meter(
        a_delivery(PERMISSIONS, "{broken", an_entry("converse-without-bodies"), {"other": 1})
    )

    assert sent(meter) == []
    assert (found.foreign, len(found.unreadable), found.metered_elsewhere) == (2, 1, 1)


def test_a_delivery_that_comes_again_counts_once_in_the_ledger(meter: MeterBedrock) -> None:
    delivery = a_delivery(an_entry("converse-stream"), an_entry("invoke-embedding"))
    meter(delivery)
    meter(delivery)
    first, second = (read_pack(body, received_at=NOW) for body in sent(meter))
    ledger = DynamoLedger(aws("dynamodb"), make_table("ledger"), sleep=lambda _: None)
    for pack in (first, second):
        ledger.post([posting(pack, (ROOT,))], NOW)

    assert ledger.total("llm", "2026-11") == Delta(480_400, 2)


class Refuses:
    """A queue that takes some messages, and then none."""

    def __init__(self, taken: int) -> None:
        self.taken = taken
        self.bodies: list[str] = []

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        if len(self.bodies) == self.taken:
            raise ConnectionError(QueueUrl)
        self.bodies.append(MessageBody)


def test_a_queue_that_can_t_be_reached_makes_the_whole_delivery_come_again(
    prices: PriceBook,
) -> None:
    entries = [
        an_entry("converse-stream", requestId=str(n), requestMetadata={"key_id": str(n)})
        for n in range(25)
    ]
    broken, whole = Refuses(taken=1), Refuses(taken=100)
    with pytest.raises(ConnectionError):
        MeterBedrock(RULES, prices, UsageQueue(broken, "queue"), lambda: NOW)(a_delivery(*entries))
    MeterBedrock(RULES, prices, UsageQueue(whole, "queue"), lambda: NOW)(a_delivery(*entries))

    # What was sent the first time is sent again under its id: the ledger knows it.
    assert [id_of(body) for body in broken.bodies] == [id_of(whole.bodies[0])]
    assert len(whole.bodies) == 3


def id_of(body: str) -> str:
    return str(json.loads(body)["id"])


def test_what_is_no_delivery_is_raised_and_so_kept(meter: MeterBedrock) -> None:
    with pytest.raises(InputError, match="no delivery of CloudWatch Logs"):
        meter({"Records": []})


def test_logs_hold_ids_and_reasons_and_nothing_that_was_said(
    meter: MeterBedrock, caplog: pytest.LogCaptureFixture
) -> None:
    broken = json.dumps(an_entry("converse-stream"))[:400]
    with caplog.at_level(logging.INFO):
        meter(a_delivery(an_entry("converse-stream"), broken, an_entry("invoke-image"), broken))
    log = caplog.text

    assert "'metered': 2, 'unpriced': 1" in log
    assert "log event 38471 can't be read" in log
    assert "log event 38473 can't be read" in log
    assert "1 calls without a price: the log has no token counts for it" in log
    assert "SECRET" not in log
    assert "dana" not in log


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="set USAGE_QUEUE_URL in the"):
        Settings.from_env({})
