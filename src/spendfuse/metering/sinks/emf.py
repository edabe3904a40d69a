"""CloudWatch metrics as log lines: the Embedded Metric Format, one line a call.

In a Lambda, standard output is enough. Elsewhere the CloudWatch agent or a log driver carries
the lines. They are written on the caller's thread, because a Lambda may be frozen right after
its answer.

Every dimension set makes metrics of its own, $0.30 a month each: so names are bounded, and a
user can be a property of the line but never a dimension.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TextIO

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.direct import DirectSink
from spendfuse.metering.sinks.labels import BoundedLabels, Labels
from spendfuse.metering.sinks.lines import LineStream, standard_output
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.wiring import Wiring
from spendfuse.money import usd_text

NAMESPACE = "RAG-App/Costs"
DIMENSIONS = ("model", "feature", "environment")
DIMENSION_SETS: tuple[tuple[str, ...], ...] = ((), ("environment",), ("model",), ("feature",))
"""The total first: an alarm on all spending can't search through dimensions."""
MAX_LABEL_SETS = 100
"""Fewer than elsewhere: each new model or feature is some two dollars a month."""

UNITS = {
    "TotalTokens": "Count",
    "InputTokens": "Count",
    "OutputTokens": "Count",
    "Errors": "Count",
    "CacheHits": "Count",
}
"""Of the metrics that every line has."""
RARE_UNITS = {"EstimatedCost": "None", "UnpricedRequests": "Count", "LatencyMs": "Milliseconds"}
_OWN_PROPERTIES = ("id", "provider", "status", "error_type", "cached")
RESERVED = frozenset({"_aws", *UNITS, *RARE_UNITS, *DIMENSIONS, *_OWN_PROPERTIES})
"""Names on a line that properties of the app can't take."""


def open_sink(
    wiring: Wiring,
    *,
    namespace: str = NAMESPACE,
    dimensions: Sequence[Sequence[str]] = DIMENSION_SETS,
    properties: Sequence[str] = (),
    max_label_sets: int = MAX_LABEL_SETS,
) -> Sink:
    lines = EmfLines(namespace, dimensions, properties, BoundedLabels(max_sets=max_label_sets))
    return emf_sink(wiring.stream or standard_output(), lines)


def emf_sink(stream: TextIO, lines: EmfLines) -> Sink:
    """Return a sink that writes EMF lines to ``stream``."""
    writer = LineStream(stream)
    return DirectSink("emf", lambda record: writer.write(lines.line(record)))


class EmfLines:
    """Makes a record's line. Put together from text, so that a cost is never a float."""

    def __init__(
        self,
        namespace: str,
        dimensions: Sequence[Sequence[str]],
        properties: Sequence[str],
        labels: BoundedLabels,
    ) -> None:
        self._properties = tuple(properties)
        self._labels = labels
        self._dimension_texts: dict[Labels, str] = {}
        self._directives = {
            (is_priced, is_timed): metrics_directive(
                namespace, dimensions, _units(is_priced=is_priced, is_timed=is_timed)
            )
            for is_priced in (True, False)
            for is_timed in (True, False)
        }

    def line(self, record: Record) -> bytes:
        usage, nano, latency_ms = record.usage, record.cost_nano_usd, record.latency_ms
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        text = (
            f'{{"_aws":{{"Timestamp":{round(record.at.timestamp() * 1000)},'
            f"{self._directives[nano is not None, latency_ms is not None]}}},"
            f"{self._dimensions(record)},"
            f'"TotalTokens":{input_tokens + output_tokens},'
            f'"InputTokens":{input_tokens},"OutputTokens":{output_tokens},'
            f'"Errors":{int(record.status == "error")},"CacheHits":{int(record.cached)}'
            f"{_rare(nano, latency_ms)}"
            f',"id":{_text(record.id)},"provider":{_text(record.provider)},'
            f'"status":"{record.status}","cached":{"true" if record.cached else "false"}'
        )
        if record.error_type:
            text += f',"error_type":{_text(record.error_type)}'
        return f"{text}{self._asked_for(record)}}}\n".encode()

    def _dimensions(self, record: Record) -> str:
        labels = self._labels.of(record)
        text = self._dimension_texts.get(labels)
        if text is None:
            text = ",".join(
                f'"{name}":{dimension_value(getattr(labels, name))}' for name in DIMENSIONS
            )
            self._dimension_texts[labels] = text
        return text

    def _asked_for(self, record: Record) -> str:
        text = ""
        for name in self._properties:
            value = record.attributes.get(name, record.fields.get(name))
            if value is not None:
                text += f",{_text(name)}:{_value(value)}"
        return text


def _units(*, is_priced: bool, is_timed: bool) -> dict[str, str]:
    """Return the metrics of a line, and their units: only those that it has."""
    cost = "EstimatedCost" if is_priced else "UnpricedRequests"
    units = UNITS | {cost: RARE_UNITS[cost]}
    if is_timed:
        units["LatencyMs"] = RARE_UNITS["LatencyMs"]
    return units


def metrics_directive(
    namespace: str, dimensions: Sequence[Sequence[str]], units: Mapping[str, str]
) -> str:
    """Return the part of ``_aws`` that names the metrics of a line."""
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(names) for names in dimensions],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    return f'"CloudWatchMetrics":[{json.dumps(directive, separators=(",", ":"))}]'


def _rare(nano: int | None, latency_ms: int | None) -> str:
    text = ',"UnpricedRequests":1' if nano is None else f',"EstimatedCost":{usd_text(nano)}'
    return text if latency_ms is None else f'{text},"LatencyMs":{latency_ms}'


def dimension_value(value: str) -> str:
    """Return a dimension's value as JSON."""
    # CloudWatch takes ASCII without control characters, and no value of blanks only.
    safe = value if value.isascii() and value.isprintable() else ascii(value)[1:-1]
    return json.dumps(safe if safe.strip() else "none")


_text = json.encoder.encode_basestring_ascii


def _value(value: str | float | bool) -> str:  # noqa: FBT001
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return "null"
