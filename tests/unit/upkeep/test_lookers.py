"""What watch_budgets and publish_gauges read at each look, and what recording logs: as counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aws_tables import aws, make_queue, make_table
from charged_table import ChargedClient
from moto import mock_aws
from packs import NOW, a_pack
from unit.upkeep.posted_packs import MEASURED

from lambdas.publish_gauges.handler import Flows, PublishGauges
from lambdas.record_usage.handler import DeadLetters, RecordUsage
from lambdas.watch_budgets.handler import WatchBudgets, touched_budgets
from lambdas.watch_budgets.limits_in_force import LimitsInForce
from spendfuse.budget import Budget, Rung
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_named_values import DynamoNamedValues
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.tallies import SHARES_LOOK
from spendfuse.upkeep.bill import gauge_units, watch_units

LADDER = (Rung(50, ("email",)), Rung(100, ("slack",), trips=True))
BUDGETS = (
    Budget("llm", 10**12, "month", LADDER),
    Budget("search", 10**11, "day", LADDER, {"team": "search"}),
)
CLOUDWATCH_LINES = 26
"""Bytes that CloudWatch adds to each line."""


def definitions(count: int) -> Definitions:
    return Definitions("acme", BUDGETS[:count], (), FuseDefinition("acme", "armed", (), 10, 10))


@pytest.fixture
def client() -> Iterator[ChargedClient]:
    with mock_aws():
        yield ChargedClient(aws("dynamodb"))


@pytest.mark.parametrize("count", [1, 2])
def test_a_look_at_the_rungs_reads_what_estimate_counts_with(
    client: ChargedClient, count: int
) -> None:
    ledger, fuse, known = make_table("ledger"), make_table("fuse"), definitions(count)
    watch = WatchBudgets(
        ledger=DynamoLedger(client, ledger),
        fuse=DynamoFuse(client, fuse, "acme"),
        definitions=known,
        limits=LimitsInForce(DynamoOverrides(client, ledger), known),
        publish=lambda *_: None,
        now=lambda: NOW,
    )
    keys = [{"pk": {"S": f"budget#{b.name}#{b.period_at(NOW).key}"}} for b in known.budgets]
    event = {"Records": [{"dynamodb": {"Keys": each}} for each in keys]}
    # The first look at a limit writes it down.
    watch(touched_budgets(event, known))
    client.reset()
    watch(touched_budgets(event, known))

    assert (client.written, client.read) == (0, watch_units(count).read)


class Silence:
    """CloudWatch, Bedrock's metrics and the topic of e-mails, of which nothing is wanted here."""

    def put(self, data: Any) -> int:
        return len(data) * 0

    put_once = put

    def tokens(self, *_: object) -> int:
        return 0

    def unconfirmed(self) -> int:
        return 0


def test_a_minute_in_which_nothing_waits_reads_what_estimate_counts_with(
    client: ChargedClient,
) -> None:
    ledger, known, silence = make_table("ledger"), definitions(2), Silence()
    gauges: Any = PublishGauges
    publish = gauges(
        tallies=DynamoTallies(client, ledger),
        ledger=DynamoLedger(client, ledger),
        overrides=DynamoOverrides(client, ledger),
        flows=Flows(silence, DynamoNamedValues(client, ledger)),
        metrics=silence,
        bedrock=silence,
        mail=silence,
        definitions=known,
        now=lambda: NOW,
    )
    publish()
    client.reset()
    # A run that looks at shares too; most don't.
    replace(publish, now=lambda: NOW + SHARES_LOOK)()

    modelled = gauge_units(2, MEASURED)
    assert client.written == modelled.written == 0
    # A month's state of the series takes a unit more than this empty one.
    assert client.read == modelled.read - 1


def test_recording_logs_as_much_as_estimate_counts_with(
    client: ChargedClient, caplog: pytest.LogCaptureFixture
) -> None:
    record = RecordUsage(
        ledger=DynamoLedger(client, make_table("ledger")),
        budgets=BUDGETS,
        dead_letters=DeadLetters(aws("sqs"), make_queue("dead")),
        now=lambda: NOW,
    )
    milliseconds = str(int(NOW.timestamp() * 1000))
    message = {"messageId": "m", "body": a_pack(), "attributes": {"SentTimestamp": milliseconds}}
    with caplog.at_level(logging.INFO):
        record([message])

    written = sum(len(_lambda_line(each)) + CLOUDWATCH_LINES for each in caplog.records)
    assert MEASURED.record_log_bytes * 0.8 <= written <= MEASURED.record_log_bytes


def _lambda_line(record: logging.LogRecord) -> str:
    """Return the line that Lambda's JSON format makes of a log record."""
    return json.dumps(
        {
            "timestamp": "2026-11-21T12:00:00Z",
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": "01234567-89ab-cdef-0123-456789abcdef",
        }
    )
