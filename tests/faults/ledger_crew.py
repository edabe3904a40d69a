"""The ledger's Lambdas as processes that get killed: ``python -m tests.faults.ledger_crew JSON``.

Each worker is a fork that runs the real handlers on what it receives, as Lambda would, and is
killed outright at a random moment; another takes its place. It ends when its stdin does.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lambdas.publish_gauges import handler as publish_gauges
from lambdas.record_usage import handler as record_usage
from lambdas.watch_budgets import handler as watch_budgets

BATCH = 10
_LOOKS_EVERY_SECONDS = 0.1
_HANDLED_TWICE = 0.03
"""The share of deliveries that come again though they were handled."""


@dataclass(frozen=True)
class Crew:
    """What the crew is told by whoever starts it."""

    queue_url: str
    aws_url: str
    """Past the proxy: what AWS does for a Lambda is not the Lambda's to survive."""
    streamed: list[str]
    """The partitions whose changes wake the watcher."""
    recorders: int
    watchers: int
    visibility_seconds: int
    kill_after: tuple[float, float]
    """Seconds between two kills: at least, at most."""
    calm_file: str
    """Once it is there, nobody is killed any more."""
    seed: int


def record(crew: Crew, chance: random.Random) -> None:
    """Take messages, as the queue's poller does, and run the handler on each batch."""
    sqs = boto3.client(
        "sqs", endpoint_url=crew.aws_url, config=Config(retries={"mode": "standard"})
    )
    while True:
        messages = sqs.receive_message(
            QueueUrl=crew.queue_url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=1,
            VisibilityTimeout=crew.visibility_seconds,
            AttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            continue
        answer = record_usage.handler({"Records": [_lambdas(each) for each in messages]}, None)
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        done = [
            {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]}
            for number, each in enumerate(messages)
            if each["MessageId"] not in failed and chance.random() >= _HANDLED_TWICE
        ]
        if done:
            sqs.delete_message_batch(QueueUrl=crew.queue_url, Entries=done)


def _lambdas(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }


def watch(crew: Crew, chance: random.Random) -> None:
    """Wake the watcher as stream and schedule do; many of the stream's records get lost."""
    while True:
        event: dict[str, Any] = {"source": "schedule"}
        if chance.random() < 0.5:
            touched = chance.sample(crew.streamed, k=chance.randint(1, len(crew.streamed)))
            keys = [{"pk": {"S": partition}} for partition in touched]
            event = {"Records": [{"dynamodb": {"Keys": each}} for each in keys]}
        _as_lambda(lambda: watch_budgets.handler(event, None))  # noqa: B023
        time.sleep(chance.uniform(0.2, 1.0))


def gauge(_: Crew, chance: random.Random) -> None:
    """Wake the publisher of metrics more often than its schedule would."""
    while True:
        _as_lambda(lambda: publish_gauges.handler({}, None))
        time.sleep(chance.uniform(1.0, 2.0))


def _as_lambda(invoke: Callable[[], None]) -> None:
    try:
        invoke()
    except Exception:
        logging.getLogger(__name__).exception("an invocation failed")


Work = Callable[[Crew, random.Random], None]


@dataclass
class Shift:
    """Keeps every place of the crew filled."""

    crew: Crew
    chance: random.Random
    places: list[Work]
    kills: int = 0
    pids: dict[int, Work] = field(default_factory=dict)

    def fill(self) -> None:
        missing = Counter(self.places) - Counter(self.pids.values())
        for work in missing.elements():
            self.pids[self._fork(work)] = work

    def kill_one(self) -> None:
        self.kills += 1
        self._kill(self.chance.choice(list(self.pids)))

    def end(self) -> None:
        for pid in list(self.pids):
            self._kill(pid)

    def _kill(self, pid: int) -> None:
        # A child that nobody has waited for keeps its pid, so this is no other process's.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        del self.pids[pid]

    def _fork(self, work: Work) -> int:
        seed = self.chance.random()
        pid = os.fork()
        if pid:
            return pid
        try:
            work(self.crew, random.Random(seed))
        except BaseException:
            logging.getLogger(__name__).exception("a worker ended by itself")
        finally:
            os._exit(1)


def main(text: str) -> None:
    """Work, and die, until a file says that all may live; then only work, until stdin ends."""
    crew = Crew(**json.loads(text))
    chance = random.Random(crew.seed)
    places: list[Work] = [record] * crew.recorders + [watch] * crew.watchers + [gauge]
    for service in ("sqs", "sns", "dynamodb", "cloudwatch"):
        # What a client is made of is read once here, and every fork has it.
        boto3.client(service)
    shift = Shift(crew, chance, places)
    calm = Path(crew.calm_file)
    was_told = False
    next_kill = time.monotonic() + chance.uniform(*crew.kill_after)
    try:
        while True:
            shift.fill()
            if select.select([sys.stdin], [], [], _LOOKS_EVERY_SECONDS)[0]:
                break
            if not calm.exists():
                if time.monotonic() >= next_kill:
                    shift.kill_one()
                    next_kill = time.monotonic() + chance.uniform(*crew.kill_after)
            elif not was_told:
                sys.stdout.write(json.dumps({"kills": shift.kills}) + "\n")
                sys.stdout.flush()
                was_told = True
    finally:
        shift.end()


if __name__ == "__main__":
    main(sys.argv[1])
