"""An app that meters its calls, to be killed: ``python -m tests.faults.queue_app JSON``.

Two threads emit while the main thread flushes and forks. What a flush said was safe is written
to the journal at once, a line ``[thread, count]`` for each thread; a line survives the process.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import multiprocessing.util
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import Pace
from spendfuse.metering.sinks.sqs import SqsSink
from spendfuse.metering.usage import Usage
from tests.faults.queue_stand_in import StandInClient

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/usage"
PACE = Pace(
    linger_seconds=0.05,
    first_retry_seconds=0.01,
    longest_retry_seconds=0.1,
    settings_retry_seconds=0.1,
)
THREADS = 2
_MOST_UNFLUSHED = 20_000
_RECORDS_OF_A_CHILD = 300
_USAGE = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)


@dataclass(frozen=True)
class Plan:
    name: str
    port: int
    folder: str
    records: int
    """Of each thread."""
    seed: int

    @property
    def journal(self) -> Path:
        return Path(self.folder) / "journal"


def a_sink(plan: Plan) -> SqsSink:
    spill = Path(plan.folder) / "spill"
    return SqsSink(lambda: StandInClient(plan.port), URL, spill_folder=spill, pace=PACE)


class App:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.sink = a_sink(plan)
        self.emitted = [0] * THREADS
        self.flushed = 0

    def run(self) -> None:
        threads = [threading.Thread(target=self.emit, args=(each,)) for each in range(THREADS)]
        for each in threads:
            each.start()
        children: list[BaseProcess] = []
        while any(each.is_alive() for each in threads):
            self.flush(self.plan.name)
            if self.random.random() < 0.6:
                children.append(self.fork(f"{self.plan.name}f{len(children)}"))
            time.sleep(self.random.uniform(0, 0.2))
        for each in children:
            each.join()
        # The rest is drained at exit: that it comes to 0 is written down before.
        write_down(self.plan, self.plan.name, self.emitted, "if it exits with 0")

    def emit(self, thread: int) -> None:
        stem = f"{self.plan.name}.{thread}"
        for number in range(self.plan.records):
            while sum(self.emitted) - self.flushed > _MOST_UNFLUSHED:
                time.sleep(0.005)
            self.sink.emit(a_record(f"{stem}.{number}"))
            self.emitted[thread] = number + 1
            if not number % 100:
                time.sleep(0)

    def flush(self, name: str) -> bool:
        emitted = list(self.emitted)
        is_safe = self.sink.flush(2)
        if is_safe:
            write_down(self.plan, name, emitted, "flushed")
            self.flushed = sum(emitted)
        return is_safe

    def fork(self, name: str) -> BaseProcess:
        """Fork among the emitting threads; the child emits, and ends in its way."""
        way = self.random.choice([self.end_by_flush, self.end_by_kill, self.end_by_drain])
        write_down(self.plan, name, [], "forked")
        child = multiprocessing.get_context("fork").Process(target=way, args=(name,))
        child.start()
        return child

    def emit_as_child(self, name: str) -> list[int]:
        for number in range(_RECORDS_OF_A_CHILD):
            for thread in range(THREADS):
                self.sink.emit(a_record(f"{name}.{thread}.{number}"))
        return [_RECORDS_OF_A_CHILD] * THREADS

    def end_by_kill(self, name: str) -> None:
        self.emit_as_child(name)
        time.sleep(random.Random(name).uniform(0, 0.1))
        os.kill(os.getpid(), signal.SIGKILL)

    def end_by_flush(self, name: str) -> None:
        self.emitted = self.emit_as_child(name)
        while not self.flush(name):
            pass
        os._exit(0)

    def end_by_drain(self, name: str) -> None:
        emitted = self.emit_as_child(name)
        # Lower than the sinks' own, so that it runs when they are closed.
        multiprocessing.util.Finalize(
            None, write_down, (self.plan, name, emitted, "drained"), exitpriority=-200
        )


def a_record(id: str) -> Record:
    attributes = {"user": "user-12345", "team": "search", "feature": "ask"}
    return Record(id, datetime.now(UTC), "openai", "gpt-4o", _USAGE, 1_234_567, attributes)


def write_down(plan: Plan, name: str, counts: list[int], how: str) -> None:
    line = json.dumps([name, counts, how]) + "\n"
    file = os.open(plan.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, line.encode())
    os.close(file)


if __name__ == "__main__":
    # Half of all requests fail here: everybody knows.
    logging.getLogger("spendfuse").setLevel(logging.CRITICAL)
    App(Plan(**json.loads(sys.argv[1]))).run()
