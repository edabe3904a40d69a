"""What one emit costs its caller, by sink: CPU time of the calling thread, least of the rounds.

Lines go through a pipe to a process that throws them away, as in a container.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import prometheus_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from spendfuse.metering.record import Record
from spendfuse.metering.sinks import FanOut, Sink, Wiring, open_sinks
from spendfuse.metering.usage import Usage

ROUNDS, CALLS = 15, 1000
RECORD = Record(
    "0123456789abcdef0123-1",
    datetime(2026, 11, 21, 12, tzinfo=UTC),
    "openai",
    "gpt-4o",
    Usage(input_tokens=1200, output_tokens=300),
    6_000_000,
    {"user": "u1", "team": "search", "feature": "rag", "environment": "prod"},
    {"rag_chunks_used": 4},
    "2026-11-01",
    420,
)


class Taken:
    """A queue, or a table, that takes all."""

    def send_message_batch(self, *, Entries: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def insert_rows_json(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def close(self) -> None:
        pass


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as cat,
    ):
        assert cat.stdin is not None  # noqa: S101
        _log_to(cat.stdin)
        wiring = Wiring(
            stream=cast("TextIO", cat.stdin),
            sqs=Taken(),
            bigquery=Taken(),
            registry=prometheus_client.CollectorRegistry(),
            meter_provider=MeterProvider([InMemoryMetricReader()]),
        )
        specs = [
            {"kind": "jsonl", "folder": folder},
            {"kind": "sqs", "queue_url": "https://sqs.eu-central-1.amazonaws.com/1/usage"},
            {"kind": "bigquery", "table": "a.b.c"},
            {"kind": "print"},
            {"kind": "logging"},
            {"kind": "emf"},
            {"kind": "prometheus"},
            {"kind": "opentelemetry"},
        ]
        found = {str(spec["kind"]): _microseconds(*open_sinks([spec], wiring)) for spec in specs}
    print(json.dumps(found))


def _log_to(stream: Any) -> None:
    logger = logging.getLogger("spendfuse.usage")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(stream))


def _microseconds(sink: Sink) -> float:
    fan_out, rounds = FanOut([sink]), []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            fan_out.emit(RECORD)
        rounds.append(time.thread_time_ns() - began)
        fan_out.flush(10)
    health = sink.health()
    if health.delivered != ROUNDS * CALLS:
        sys.exit(f"{sink.name} lost records: {health}")
    fan_out.close(10)
    return min(rounds) / CALLS / 1000


if __name__ == "__main__":
    main()
