"""What posting usage takes: time of our own code, of the tables of this machine, and AWS's units.

The tables here are no AWS: moto runs in this process, the sandbox's in another one. What conflicts
cost is staged, because neither has any: a table on which two transactions about one item that
overlap in time cancel the later one, as DynamoDB does. Lost messages and dead workers are another
program: ``tests/faults/ledger_run.py``.
"""

from __future__ import annotations

import json
import logging
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from benchmarks.figures import Figure, write
from lambdas.record_usage.handler import DeadLetters, RecordUsage
from spendfuse import aws_prices
from spendfuse.budget import Budget
from spendfuse.clock import utc_text
from spendfuse.errors import UnavailableError
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting
from spendfuse.sandbox.machine import Sandbox
from spendfuse.upkeep.cost_table import bill_of
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import Counted, Workload
from spendfuse.upkeep.writes import posting_units

PACKS, RECORDS, USERS = 10, 200, 100
"""Of one invocation: as many packs as it takes, each with so many records and users."""
ROUNDS, WARM_UP = 9, 2
NAIVE_RECORDS = 200
RECORDERS, CONTENDED_SECONDS = 5, 6.0
TRANSACTION_SECONDS = 0.025
_TABLE = "ledger"
_BUDGET = Budget("llm", 10**15, "month")
_MILLION = 1_000_000
_numbers = count()


def run() -> None:
    """Measure, and write build/bench/ledger.json."""
    logging.getLogger("lambdas").setLevel(logging.WARNING)
    with mock_aws():
        moto = _posted(boto3.client("dynamodb", region_name="us-east-1"), "moto")
    with TemporaryDirectory() as folder, Sandbox.start(Path(folder)) as sandbox:
        sandboxed = _posted(sandbox.client("dynamodb"), "sandbox")
    write("ledger", [*_own(), *moto, *sandboxed, *_contended(), *_on_aws()])


def _own() -> Iterator[Figure]:
    """Yield the time of our own code, and of boto3's absence: a client that answers at once."""
    recorder = _recorder(InstantTable())
    packs, one = _messages(PACKS), _messages(1, records=1, users=1)
    large, small = _cpu_us(lambda: recorder(packs)), _cpu_us(lambda: recorder(one))
    read = _cpu_us(lambda: [json.loads(each["body"]) for each in packs])
    records = PACKS * RECORDS
    peers = {"json.loads of the packs": round(read / records, 2)}
    yield Figure("our code, a record", "us", round(large / records, 2), peers)
    yield Figure("our code, an invocation of 1 record", "us", round(small, 1))


def _posted(client: Any, where: str) -> list[Figure]:
    client.create_table(
        TableName=_TABLE,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    recorder = _recorder(client)
    whole, single = [], []
    for number in range(ROUNDS + WARM_UP):
        seconds = _wall(partial(recorder, _messages(PACKS)))
        seconds_of_one = _wall(partial(recorder, _messages(1)))
        if number >= WARM_UP:
            whole.append(seconds)
            single.append(seconds_of_one)
    naive = _wall(lambda: _naive(client, NAIVE_RECORDS)) / NAIVE_RECORDS
    ours = statistics.median(whole) / (PACKS * RECORDS)
    peers = {"UpdateItem a record and counter": round(naive * 1e6, 1)}
    return [
        Figure(f"{where}: a record, {PACKS} packs of {RECORDS}", "us", round(ours * 1e6, 1), peers),
        Figure(f"{where}: records a second, one recorder", "/s", round(1 / ours)),
        Figure(
            f"{where}: an invocation of {PACKS} packs", "ms", round(statistics.median(whole) * 1e3)
        ),
        Figure(f"{where}: one of 1 pack", "ms", round(statistics.median(single) * 1e3, 1)),
    ]


def _naive(client: Any, records: int) -> None:
    """Count as many do: each record by itself, on the budget, its key and its user."""
    for number in range(records):
        for share in ("total", "key#k", f"user#u{number % USERS}"):
            client.update_item(
                TableName=_TABLE,
                Key={"pk": {"S": "naive#llm#2026-11"}, "sk": {"S": share}},
                UpdateExpression="ADD nano_usd :nano, requests :one",
                ExpressionAttributeValues={":nano": {"N": "12345"}, ":one": {"N": "1"}},
            )


def _contended() -> Iterator[Figure]:
    """Yield what recorders at once do to each other on the one total that all add to."""
    alone, crowd = _contention(1), _contention(RECORDERS)
    slow = f"{TRANSACTION_SECONDS * 1e3:g} ms a transaction"
    yield Figure(f"{slow}: records a second, one recorder", "/s", alone.records_a_second)
    yield Figure(f"{slow}: the same, {RECORDERS} recorders", "/s", crowd.records_a_second)
    cancelled = 100 * crowd.table.cancelled / crowd.table.asked
    yield Figure(f"{RECORDERS} recorders: transactions cancelled", "%", round(cancelled, 1))
    given_back = 100 * crowd.given_back / (crowd.posted + crowd.given_back)
    yield Figure(f"{RECORDERS} recorders: given back to the queue", "%", round(given_back, 1))


@dataclass
class Contention:
    table: ContendedTable
    posted: int = 0
    given_back: int = 0
    seconds: float = 0.0

    @property
    def records_a_second(self) -> int:
        return round(self.posted * PACKS * RECORDS / self.seconds)


def _contention(recorders: int) -> Contention:
    """Post as fast as recorders can that have read their packs already.

    Reading them here would keep them apart: threads share one interpreter, Lambdas don't.
    """
    outcome, lock = Contention(ContendedTable()), threading.Lock()
    postings = [
        posting(read_pack(each["body"], received_at=datetime.now(UTC)), (_BUDGET,))
        for each in _messages(PACKS, users=1)
    ]
    ends = time.monotonic() + CONTENDED_SECONDS

    def work(_: int) -> None:
        ledger = DynamoLedger(outcome.table, _TABLE)
        while time.monotonic() < ends:
            try:
                ledger.post(postings, datetime.now(UTC))
            except UnavailableError:
                with lock:
                    outcome.given_back += 1
            else:
                with lock:
                    outcome.posted += 1

    began = time.monotonic()
    with ThreadPoolExecutor(recorders) as pool:
        list(pool.map(work, range(recorders)))
    outcome.seconds = time.monotonic() - began
    return outcome


def _on_aws() -> Iterator[Figure]:
    """Yield what AWS would charge, by its prices and the model that the tests hold to the rows."""
    month = Workload(_MILLION, 10_000, RECORDS, USERS, Counted(1, 0, 0))
    units = posting_units(month, Measured()).written / RECORDS
    yield Figure(
        "write units a record", "", round(units, 3), {"UpdateItem a record and counter": 3}
    )
    ours = bill_of(10 * _MILLION, 10_000, RECORDS, USERS).per_million_requests_usd
    naive = aws_prices.DYNAMODB_WRITE.of(3 * _MILLION)
    yield Figure(
        "dollars a million requests",
        "usd",
        # For a table of figures: nothing is counted with it.
        round(float(ours or 0), 3),
        {
            "PutMetricData a request": float(aws_prices.METRIC_REQUEST.of(_MILLION)),
            "UpdateItem a record and counter": float(naive),
        },
    )


def _recorder(client: Any) -> RecordUsage:
    return RecordUsage(
        ledger=DynamoLedger(client, _TABLE),
        budgets=(_BUDGET,),
        dead_letters=DeadLetters(None, ""),
        now=lambda: datetime.now(UTC),
    )


def _messages(packs: int, *, records: int = RECORDS, users: int = USERS) -> list[dict[str, Any]]:
    """Return new packs as SQS delivers them: what was counted once would not be counted again."""
    now = datetime.now(UTC)
    attributes = {"SentTimestamp": str(int(now.timestamp() * 1000))}
    return [
        {
            "messageId": f"m{pack}",
            "body": _pack(f"{next(_numbers):032x}", utc_text(now), records, users),
            "attributes": attributes,
        }
        for pack in range(packs)
    ]


def _pack(pack_id: str, at: str, records: int, users: int) -> str:
    chance = random.Random(pack_id)  # noqa: S311
    return json.dumps(
        {
            "schema": 1,
            "sent_at": at,
            "id": pack_id,
            "created_at": at,
            "records": [
                {
                    "id": f"{pack_id[:20]}-{number:06d}",
                    "at": at,
                    "provider": "openai",
                    "model": "gpt-4o-2024-08-06",
                    "attributes": {
                        "user": f"user-{number % users:05d}",
                        "team": "search",
                        "feature": "ask",
                        "environment": "production",
                        "key_id": "k1",
                    },
                    "tokens": {"input": 2000, "cached_input": 1920, "output": 300},
                    "cost_nano_usd": 1_234_567 + number,
                    "price_version": "genai-prices 0.2.3",
                    "latency_ms": int(chance.lognormvariate(7, 0.8)),
                    "status": "ok",
                    "error_type": None,
                    "cached": False,
                }
                for number in range(records)
            ],
        },
        separators=(",", ":"),
    )


class InstantTable:
    """Takes everything at once and keeps nothing."""

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        return {"taken": len(TransactItems)}


@dataclass
class ContendedTable:
    """Cancels a transaction that meets another one about the same total; both take their time."""

    asked: int = 0
    cancelled: int = 0
    _open: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        with self._lock:
            self.asked += 1
            is_free, self._open = not self._open, True
            self.cancelled += not is_free
        time.sleep(TRANSACTION_SECONDS)
        if not is_free:
            reasons = [{"Code": "None"} for _ in TransactItems]
            reasons[-1] = {"Code": "TransactionConflict"}
            raise ClientError(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": "conflict"},
                    "CancellationReasons": reasons,
                },
                "TransactWriteItems",
            )
        with self._lock:
            self._open = False


def _cpu_us(work: Callable[[], object]) -> float:
    """Return the median µs of this thread's own work."""
    rounds = []
    for _ in range(ROUNDS + WARM_UP):
        began = time.thread_time()
        work()
        rounds.append(time.thread_time() - began)
    return statistics.median(rounds[WARM_UP:]) * 1e6


def _wall(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
