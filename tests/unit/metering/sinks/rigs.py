"""Each kind of sink with a target that can be broken, mended and read."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import prometheus_client
from botocore.exceptions import EndpointConnectionError
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.metrics import MetricWrapperBase

from spendfuse.metering.record import Record
from spendfuse.metering.sinks import Sink, Wiring, open_sinks
from spendfuse.metering.usage import Usage

NOW = datetime(2026, 11, 21, 12, 0, 3, 125000, tzinfo=UTC)
USAGE = Usage(input_tokens=1200, output_tokens=300)


def a_record(id: str = "r-1", **over: Any) -> Record:
    given = {
        "id": id,
        "at": NOW,
        "provider": "openai",
        "model": "gpt-4o",
        "usage": USAGE,
        "cost_nano_usd": 6_000_000,
        "attributes": {"user": "u1", "feature": "search", "environment": "prod"},
        "price_version": "2026-11-01",
        "latency_ms": 420,
    }
    return Record(**{**given, **over})


class Stream(io.StringIO):
    """A stream that can be out of order."""

    is_broken = False

    def write(self, text: str) -> int:
        if self.is_broken:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


class Rig:
    """A sink of one kind over a stand-in target."""

    kind: str
    options: ClassVar[dict[str, Any]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sink = self.open()

    def open(self) -> Sink:
        (sink,) = open_sinks([{"kind": self.kind, **self.options}], self.wiring())
        return sink

    def wiring(self) -> Wiring:
        return Wiring(now=lambda: NOW)

    def break_target(self) -> None:
        raise NotImplementedError

    def mend_target(self) -> None:
        raise NotImplementedError

    def arrived(self) -> int:
        """Return how many records the target has."""
        raise NotImplementedError

    def costs(self) -> list[Any]:
        """Return all that the target has been told about costs, None aside."""
        raise NotImplementedError

    def text(self) -> str:
        """Return all that the target shows."""
        raise NotImplementedError


class Streamed(Rig):
    def wiring(self) -> Wiring:
        self.stream = Stream()
        return Wiring(stream=self.stream)

    def break_target(self) -> None:
        self.stream.is_broken = True

    def mend_target(self) -> None:
        self.stream.is_broken = False

    def text(self) -> str:
        return self.stream.getvalue()

    def arrived(self) -> int:
        return len(self.text().splitlines())


class PrintRig(Streamed):
    kind, options = "print", {}

    def costs(self) -> list[Any]:
        lines = self.text().splitlines()
        return [line.split("  ")[3] for line in lines if "no price" not in line]


class EmfRig(Streamed):
    kind, options = "emf", {}

    def costs(self) -> list[Any]:
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [line["EstimatedCost"] for line in lines if "EstimatedCost" in line]


class LoggingRig(Rig):
    kind = "logging"

    def __init__(self, folder: Path) -> None:
        self.options = {"logger": f"app.usage.{id(self)}"}
        self.is_broken = False
        self.messages: list[str] = []
        self.logger = logging.getLogger(self.options["logger"])
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        handler = logging.Handler()
        handler.emit = self._emit  # type: ignore[method-assign]
        self.logger.addHandler(handler)
        super().__init__(folder)

    def _emit(self, log_record: logging.LogRecord) -> None:
        if self.is_broken:
            raise RuntimeError("this handler is broken")
        self.messages.append(log_record.getMessage())

    def break_target(self) -> None:
        self.is_broken = True

    def mend_target(self) -> None:
        self.is_broken = False

    def text(self) -> str:
        return "\n".join(self.messages)

    def arrived(self) -> int:
        return len(self.messages)

    def costs(self) -> list[Any]:
        return _costs(json.loads(message) for message in self.messages)


class JsonlRig(Rig):
    kind = "jsonl"

    def __init__(self, folder: Path) -> None:
        self.target = folder / "usage"
        self.options = {"folder": str(self.target)}
        super().__init__(folder)

    def break_target(self) -> None:
        self.target.rename(self.folder / "aside")
        self.target.write_text("in the way", encoding="utf-8")

    def mend_target(self) -> None:
        self.target.unlink()
        (self.folder / "aside").rename(self.target)

    def text(self) -> str:
        return "".join(path.read_text("utf-8") for path in sorted(self.target.glob("*.jsonl")))

    def arrived(self) -> int:
        return len(self.text().splitlines())

    def costs(self) -> list[Any]:
        return _costs(json.loads(line) for line in self.text().splitlines())


class Queue:
    """What the SQS sink needs of a boto3 client."""

    def __init__(self) -> None:
        self.is_broken = False
        self.packs: dict[str, dict[str, Any]] = {}

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        if self.is_broken:
            raise EndpointConnectionError(endpoint_url=QueueUrl)
        for entry in Entries:
            pack = json.loads(entry["MessageBody"].encode())
            self.packs[pack["id"]] = pack
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries], "Failed": []}


class SqsRig(Rig):
    kind = "sqs"
    options: ClassVar = {"queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/usage"}

    def wiring(self) -> Wiring:
        self.queue = Queue()
        return Wiring(sqs=self.queue, now=lambda: NOW)

    def break_target(self) -> None:
        self.queue.is_broken = True

    def mend_target(self) -> None:
        self.queue.is_broken = False

    def text(self) -> str:
        return json.dumps(list(self.queue.packs.values()))

    def _records(self) -> Iterator[dict[str, Any]]:
        return (record for pack in self.queue.packs.values() for record in pack["records"])

    def arrived(self) -> int:
        return len(list(self._records()))

    def costs(self) -> list[Any]:
        return _costs(self._records())


class PrometheusRig(Rig):
    """What can fail there is making a new series, when multiprocess mode's folder is gone."""

    kind, options = "prometheus", {}
    labels = staticmethod(MetricWrapperBase.labels)

    def wiring(self) -> Wiring:
        self.registry = prometheus_client.CollectorRegistry()
        return Wiring(registry=self.registry, now=lambda: NOW)

    def break_target(self) -> None:
        def fail(*_: object) -> None:
            raise FileNotFoundError(2, "No such file or directory")

        MetricWrapperBase.labels = fail  # type: ignore[assignment, method-assign]

    def mend_target(self) -> None:
        MetricWrapperBase.labels = self.labels  # type: ignore[method-assign]

    def text(self) -> str:
        return prometheus_client.generate_latest(self.registry).decode()

    def _samples(self, name: str) -> list[float]:
        families = self.registry.collect()
        return [each.value for family in families for each in family.samples if each.name == name]

    def arrived(self) -> int:
        return round(sum(self._samples("llm_requests_total")))

    def costs(self) -> list[Any]:
        return [*self._samples("llm_cost_dollars_total"), *self._samples("llm_cost_rate_per_hour")]


class OpenTelemetryRig(Rig):
    kind, options = "opentelemetry", {}

    def wiring(self) -> Wiring:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        return Wiring(meter_provider=self.provider)

    def break_target(self) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("this exporter is broken")

        self.record = self.sink._tokens.record  # type: ignore[attr-defined]
        self.sink._tokens.record = fail  # type: ignore[attr-defined]

    def mend_target(self) -> None:
        self.sink._tokens.record = self.record  # type: ignore[attr-defined]

    def text(self) -> str:
        data = self.reader.get_metrics_data()
        return data.to_json() if data else ""

    def points(self, name: str) -> list[dict[str, Any]]:
        data = json.loads(self.text() or '{"resource_metrics": []}')
        return [
            point
            for resource in data["resource_metrics"]
            for scope in resource["scope_metrics"]
            for metric in scope["metrics"]
            if metric["name"] == name
            for point in metric["data"]["data_points"]
        ]

    def arrived(self) -> int:
        points = self.points("gen_ai.client.token.usage")
        return sum(
            point["count"]
            for point in points
            if point["attributes"]["gen_ai.token.type"] == "input"
        )

    def costs(self) -> list[Any]:
        return [point["value"] for point in self.points("spendfuse.client.cost")]


class Table:
    """What the BigQuery sink needs of a client."""

    def __init__(self) -> None:
        self.is_broken = False
        self.rows: dict[str, dict[str, Any]] = {}

    def insert_rows_json(
        self, _table: str, rows: list[dict[str, Any]], *, row_ids: list[str], **_: Any
    ) -> list[dict[str, Any]]:
        if self.is_broken:
            raise ConnectionError("reset by peer")
        json.dumps(rows, ensure_ascii=False, allow_nan=False).encode()
        self.rows.update(zip(row_ids, rows, strict=True))
        return []


class BigQueryRig(Rig):
    kind, options = "bigquery", {"table": "acme.billing.llm_calls"}

    def wiring(self) -> Wiring:
        self.table = Table()
        return Wiring(bigquery=self.table)

    def break_target(self) -> None:
        self.table.is_broken = True

    def mend_target(self) -> None:
        self.table.is_broken = False

    def text(self) -> str:
        return json.dumps(list(self.table.rows.values()))

    def arrived(self) -> int:
        return len(self.table.rows)

    def costs(self) -> list[Any]:
        rows = self.table.rows.values()
        return [row["cost_usd"] for row in rows if row["cost_usd"] is not None]


def _costs(lines: Iterator[dict[str, Any]]) -> list[Any]:
    found = [line.get(name) for line in lines for name in ("cost_nano_usd", "cost_usd")]
    return [cost for cost in found if cost is not None]


RIGS: dict[str, Callable[[Path], Rig]] = {
    rig.kind: rig
    for rig in (
        PrintRig,
        LoggingRig,
        JsonlRig,
        SqsRig,
        EmfRig,
        PrometheusRig,
        OpenTelemetryRig,
        BigQueryRig,
    )
}
METRICS = ("emf", "prometheus", "opentelemetry")
