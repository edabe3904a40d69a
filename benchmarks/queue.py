"""What the usage queue's sink costs the app: on the caller's thread, and beside it.

The queue takes everything at once here, so that the figures are the sink's own. That nothing is
lost when it does not is another program: ``python -m tests.faults.queue_sink``.
"""

from __future__ import annotations

import gc
import logging
import logging.handlers
import queue
import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, write
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import Pace, gently
from spendfuse.metering.sinks.packing import by_key, pack_records
from spendfuse.metering.sinks.sqs import SqsSink
from spendfuse.metering.usage import Usage

RECORDS = 1_000_000
_BURST = 20_000
_ROUNDS = 7
_TRIAL_SECONDS = 8.0
_WAIT_SECONDS, _WORK_SECONDS = 0.003, 0.0005
_RATE = 8_000
"""Records a second in the test of what a busy background costs a request."""


class InstantQueue:
    """A client that stores nothing and answers at once."""

    def __init__(self) -> None:
        self.bytes = 0

    def send_message_batch(
        self,
        *,
        QueueUrl: str,  # noqa: ARG002, N803
        Entries: Sequence[dict[str, str]],  # noqa: N803
    ) -> dict[str, Any]:
        self.bytes += sum(len(each["MessageBody"]) for each in Entries)
        return {"Successful": [{"Id": each["Id"]} for each in Entries]}

    def close(self) -> None:
        """Nothing is open."""


def a_record() -> Record:
    usage = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)
    attributes = {
        "user": "user-12345",
        "team": "search",
        "feature": "ask",
        "environment": "production",
        "query_type": "rag",
    }
    return Record(
        "0123456789abcdef0123-123456",
        datetime.now(UTC),
        "openai",
        "gpt-4o-2024-08-06",
        usage,
        1_234_567,
        attributes,
        price_version="genai-prices 0.2.3",
        latency_ms=420,
    )


def a_sink(client: InstantQueue, *, max_waiting: int = 1_000_000) -> SqsSink:
    return SqsSink(lambda: client, "https://queue/usage", pace=Pace(max_waiting=max_waiting))


def run() -> None:
    write(
        "queue",
        [
            # Memory first: what others leave behind would hide it.
            *_through(),
            *_emit(),
            _encode(),
            *_beside_requests(),
        ],
    )


def _emit() -> list[Figure]:
    sink = a_sink(InstantQueue())
    record = a_record()
    sink.emit(record)
    sink.flush(5)
    plain: queue.Queue[Record] = queue.Queue()
    handler = logging.handlers.QueueHandler(queue.Queue())
    logged = logging.LogRecord("usage", logging.INFO, __file__, 1, "%s", (record,), None)
    with_thread = _thread_time(lambda: sink.emit(record), between=lambda: sink.flush(30))
    peers = {
        "queue.Queue.put": _thread_time(lambda: plain.put_nowait(record)),
        "logging.QueueHandler": _thread_time(lambda: handler.emit(logged)),
    }
    sink.close(5)
    return [Figure("emit, on the caller's thread", "us", with_thread, peers)]


def _thread_time(call: Callable[[], object], between: Callable[[], object] = gc.collect) -> float:
    """Return the µs of CPU time of one call; the background works at the same time."""
    rounds = []
    for _ in range(_ROUNDS):
        started = time.thread_time()
        for _ in range(_BURST):
            call()
        rounds.append((time.thread_time() - started) / _BURST * 1e6)
        between()
    return round(statistics.median(rounds), 3)


def _encode() -> Figure:
    records = [a_record()] * 5_000
    rounds = []
    for _ in range(_ROUNDS):
        started = time.thread_time()
        pack_records(
            gently(by_key(records)),
            created_at=datetime.now(UTC),
            new_id=lambda: "p",
            refuse=_fail,
        )
        rounds.append((time.thread_time() - started) / len(records) * 1e6)
    return Figure("pack, on the background thread", "us", round(statistics.median(rounds), 2))


def _fail(error: Exception) -> None:
    raise error


def _through() -> list[Figure]:
    client = InstantQueue()
    sink = a_sink(client, max_waiting=50_000)
    record = a_record()
    sink.emit(record)
    sink.flush(5)
    before = peak = _memory_mb()
    started = time.monotonic()
    for number in range(RECORDS):
        sink.emit(record._replace(id=f"r-{number}"))
        if not number % 10_000:
            peak = max(peak, _memory_mb())
            sink.flush(60)
    sink.flush(60)
    seconds = time.monotonic() - started
    health = sink.health()
    sink.close(5)
    if health.delivered != RECORDS + 1:
        raise RuntimeError(f"not all arrived: {health}")
    return [
        Figure("records a second, emitted to sent", "/s", round(RECORDS / seconds)),
        Figure("bytes a record, packed", "B", round(client.bytes / RECORDS)),
        Figure("memory grown, 10,000 records waiting", "MB", round(peak - before, 1)),
        Figure("memory grown after 1 M records", "MB", round(_memory_mb() - before, 1)),
    ]


def _beside_requests() -> list[Figure]:
    alone = _request_times(None)
    sink = a_sink(InstantQueue())
    beside = _request_times(sink)
    sink.close(5)
    return [
        Figure(f"a request late by, {_RATE}/s: {name}", "ms", _at(beside, part), peers)
        for name, part in (("median", 0.5), ("95 %", 0.95), ("99 %", 0.99))
        for peers in [{"no metering": _at(alone, part)}]
    ]


def _request_times(sink: SqsSink | None) -> list[float]:
    """Return how late a thread's short pieces of work were done, in ms.

    Each waits as a request waits for its provider; then it needs the interpreter.
    """
    over = threading.Event()
    record = a_record()
    times: list[float] = []

    def work() -> None:
        while not over.is_set():
            due = time.perf_counter() + _WAIT_SECONDS
            time.sleep(_WAIT_SECONDS)
            end = time.thread_time() + _WORK_SECONDS
            while time.thread_time() < end:
                pass
            times.append((time.perf_counter() - due - _WORK_SECONDS) * 1e3)

    worker = threading.Thread(target=work)
    worker.start()
    ends = time.monotonic() + _TRIAL_SECONDS
    while time.monotonic() < ends:
        for _ in range(_RATE // 20):
            if sink is not None:
                sink.emit(record)
        time.sleep(0.05)
    over.set()
    worker.join()
    return times


def _at(values: list[float], part: float) -> float:
    return round(sorted(values)[int(len(values) * part)], 2)


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20
