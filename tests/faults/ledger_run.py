"""One fault run of the ledger: handlers in processes that die, AWS that fails, packs twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.budget import Budget, Rung
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.tally import ShareBy
from tests.faults.ledger_crew import Crew
from tests.faults.ledger_packs import METERED_BY_USER, POISON, USERS, Sender, Sums
from tests.faults.ledger_stage import Stage, asset_of, process, staged, until

STUCK_SECONDS = 25
"""A little more than a pending rung waits until another watcher publishes it."""
CLAIM_SECONDS = 65
"""A little more than a folder that was killed keeps others from its fold."""
FAULTS: list[dict[str, Any]] = [
    {
        "service": "dynamodb",
        "probability": 0.05,
        "error": {"code": "ProvisionedThroughputExceededException"},
    },
    {"service": "dynamodb", "probability": 0.03, "error": {"code": "InternalServerError"}},
    {
        "service": "dynamodb",
        "operation": "TransactWriteItems",
        "probability": 0.10,
        "error": {
            "code": "TransactionCanceledException",
            "status": 400,
            "fields": {"CancellationReasons": [{"Code": "TransactionConflict"}]},
        },
    },
    {"service": "dynamodb", "probability": 0.02, "latency": {"min": 200, "max": 1_500}},
    # The answer is lost, what was asked for is done.
    {"service": "dynamodb", "probability": 0.02, "response": {"abort_bytes": 0}},
    {"service": "dynamodb", "probability": 0.01, "reset": True},
    # Longer than publish_gauges waits for an answer; and than record_usage does.
    {"service": "dynamodb", "probability": 0.001, "timeout_ms": 4_000},
    {
        "service": "dynamodb",
        "operation": "TransactWriteItems",
        "probability": 0.1,
        "times": 2,
        "timeout_ms": 11_000,
    },
    {"service": "sns", "probability": 0.2, "error": {"code": "Throttling"}},
    {"service": "sns", "probability": 0.1, "response": {"abort_bytes": 0}},
    {"service": "sqs", "probability": 0.1, "error": {"code": "InternalError"}},
    {"service": "monitoring", "probability": 0.2, "error": {"code": "InternalServiceFault"}},
]
LADDER = (Rung(50, ("email",)), Rung(80, ("slack",)), Rung(100, ("slack",), trips=True))


@dataclass(frozen=True)
class Trial:
    packs: int
    records: int = 200
    """A pack."""
    recorders: int = 3
    watchers: int = 2
    duplicates: float = 0.05
    """The share of packs that are sent a second time, some while later."""
    visibility_seconds: int = 6
    kill_after: tuple[float, float] = (0.5, 2.5)
    seed: int = 7
    most_seconds: float = 240.0


@dataclass
class Found:
    """What the run came to, and what it should have."""

    sums: Sums
    counted: dict[tuple[str, str, str], tuple[int, int, int]] = field(default_factory=dict)
    """Nano-dollars, requests and unpriced ones, as the table's counters have them."""
    by_value: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    by_day: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    due: set[str] = field(default_factory=set)
    """The ids of the alerts that should have come."""
    alerts: list[Alert] = field(default_factory=list)
    dead_letters: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    posted_seconds: float = 0.0
    seconds: float = 0.0


def run(trial: Trial, folder: Path) -> Found:
    """Send, kill, wait until all is quiet, and read what is there."""
    begun = time.monotonic()
    deadline = begun + trial.most_seconds
    now = datetime.now(UTC)
    sender = Sender(_budgets(), now, trial.seed)
    packs = list(sender.packs(trial.packs, trial.records))
    definitions = _definitions(sender.sums, now)
    found = Found(sender.sums, due=_due(definitions, sender.sums))
    with staged(folder) as stage, _crew(trial, stage, definitions, now) as let_live:
        stage.fail_by(FAULTS)
        sent = time.monotonic()
        _send(stage, packs, trial)
        until(lambda: _is_empty(stage), deadline, "the usage queue is not empty")
        found.posted_seconds = time.monotonic() - sent
        found.kills = let_live()
        found.faults = stage.fired()
        stage.fail_by([])
        time.sleep(STUCK_SECONDS)
        _read(found, stage)
    found.seconds = time.monotonic() - begun
    return found


@contextmanager
def _crew(
    trial: Trial, stage: Stage, definitions: Definitions, now: datetime
) -> Iterator[Callable[[], int]]:
    """Start the workers; what is yielded lets them live from then on, and returns the kills."""
    with_rungs = [each for each in definitions.budgets if each.per is None]
    calm_file = stage.folder / "calm"
    crew = Crew(
        queue_url=stage.places["queue"],
        aws_url=stage.aws.url,
        streamed=[f"budget#{each.name}#{each.period_at(now).key}" for each in with_rungs],
        recorders=trial.recorders,
        watchers=trial.watchers,
        visibility_seconds=trial.visibility_seconds,
        kill_after=trial.kill_after,
        calm_file=str(calm_file),
        seed=trial.seed,
    )
    command = [sys.executable, "-m", "tests.faults.ledger_crew", json.dumps(asdict(crew))]
    # Python looks into the folder that it starts in first: the asset, as in a Lambda.
    where = {"cwd": asset_of(stage.folder, definitions), "stdout": subprocess.PIPE}
    log = stage.folder / "crew.log"
    with process(command, stage.environment(), log, **where) as running:

        def let_live() -> int:
            assert running.stdout
            calm_file.touch()
            kills: int = json.loads(running.stdout.readline())["kills"]
            return kills

        yield let_live


def _budgets() -> tuple[Budget, ...]:
    return (
        Budget("llm", 1, "month", LADDER),
        Budget("search", 1, "day", LADDER, {"team": "search"}),
        Budget("ever", 1, "total", LADDER),
        Budget("person", 10**9, "day", match={"team": METERED_BY_USER}, per="user"),
    )


def _definitions(sums: Sums, now: datetime) -> Definitions:
    """Return budgets of which one trips, one stops before, and one has just begun."""
    reaches = {"llm": 104, "search": 85, "ever": 55}
    budgets = []
    for budget in _budgets():
        if budget.per is None:
            total = sums.nano_usd[budget.name, budget.period_at(now).key, "total"]
            limit = max(total * 100 // reaches[budget.name], 1)
            budgets.append(replace(budget, limit_nano_usd=limit))
        else:
            budgets.append(budget)
    return Definitions("faults", tuple(budgets), (), FuseDefinition("faults", "armed", (), 10, 10))


def _due(definitions: Definitions, sums: Sums) -> set[str]:
    return {
        f"rung/faults/{budget.name}/{period}/{rung.percent:04d}#{budget.limit_nano_usd}#0"
        for budget in definitions.budgets
        for (name, period, share), total in sums.nano_usd.items()
        if (name, share) == (budget.name, "total")
        for rung in budget.ladder
        if total >= rung.threshold_nano_usd(budget.limit_nano_usd)
    }


def _send(stage: Stage, packs: list[str], trial: Trial) -> None:
    """Send all packs and the poison, in any order, and some packs once more."""
    chance = random.Random(trial.seed)
    again = chance.sample(packs, k=int(len(packs) * trial.duplicates))
    messages = [*packs, *again, *POISON]
    chance.shuffle(messages)
    sqs = stage.aws.client("sqs")
    for message in messages:
        sqs.send_message(QueueUrl=stage.places["queue"], MessageBody=message)


def _is_empty(stage: Stage) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs, queue = stage.aws.client("sqs"), stage.places["queue"]
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    return all(int(answer["Attributes"][name]) == 0 for name in names)


def _read(found: Found, stage: Stage) -> None:
    dynamodb, table = stage.aws.client("dynamodb"), stage.places["ledger"]
    for item in _items(dynamodb, table):
        kind, _, rest = item["pk"]["S"].partition("#")
        if kind == "budget":
            name, period = rest.split("#")
            nano_usd, requests, unpriced = (
                int(item[each]["N"]) for each in ("nano_usd", "requests", "unpriced")
            )
            found.counted[name, period, item["sk"]["S"]] = (nano_usd, requests, unpriced)
        found.quarantined += kind == "quarantine"
    tallies = DynamoTallies(dynamodb, table)
    bys: tuple[ShareBy, ...] = ("user", "model", "feature")
    for budget, period in {(budget, period) for budget, period, _, _ in found.sums.by_value}:
        for by in bys:
            top = tallies.top(budget, period, by, most=USERS)
            found.by_value |= {(budget, period, by, v): d.nano_usd for v, d in top.entries}

    def fold_caught_up() -> bool:
        state = tallies.series_state()
        spent = {day: state.spent_on(date.fromisoformat(day)) for day in found.sums.by_day}
        found.by_day = spent
        return spent == dict(found.sums.by_day)

    # What they lack, or have too much of, is the test's to say.
    with suppress(TimeoutError):
        until(fold_caught_up, time.monotonic() + CLAIM_SECONDS, "the series differ")
    found.alerts = [alert_from_json(body) for body in _messages(stage, "rang")]
    found.dead_letters = Counter(_messages(stage, "dead_letters"))


def _items(dynamodb: Any, table: str) -> Iterator[Mapping[str, Any]]:
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def _messages(stage: Stage, queue: str) -> Iterator[str]:
    sqs, url = stage.aws.client("sqs"), stage.places[queue]
    while True:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        if not answer.get("Messages"):
            return
        for message in answer["Messages"]:
            yield message["Body"]
