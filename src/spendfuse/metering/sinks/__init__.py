"""Where records go: one file a sink, and its line in the table."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from spendfuse.errors import SettingsError
from spendfuse.metering.sinks.emf import DIMENSIONS, NAMESPACE, RESERVED
from spendfuse.metering.sinks.fan_out import FanOut
from spendfuse.metering.sinks.sink import Sink, SinkHealth
from spendfuse.metering.sinks.specs import (
    Kind,
    Option,
    dimension_sets,
    flag,
    matching,
    one_of,
    read_specs,
    specs_from_text,
    text,
    texts,
    whole_number,
)
from spendfuse.metering.sinks.wiring import Wiring

__all__ = ["SINKS", "FanOut", "Sink", "SinkHealth", "Wiring", "open_sinks", "sink_specs"]

_ROOM = "spendfuse.metering.sinks"
_LABEL_SETS = Option(whole_number(1, 100_000))

SINKS: Mapping[str, Kind] = {
    "print": Kind(
        f"{_ROOM}.printing:open_sink",
        {"stream": Option(one_of("stdout", "stderr"))},
        short="stream",
    ),
    "logging": Kind(
        f"{_ROOM}.logs:open_sink",
        {
            "logger": Option(text("spendfuse.usage")),
            "level": Option(one_of("DEBUG", "INFO", "WARNING", "ERROR")),
            "style": Option(one_of("json", "extra")),
        },
        short="logger",
    ),
    "jsonl": Kind(
        f"{_ROOM}.jsonl:open_sink",
        {
            "folder": Option(text("usage"), is_required=True),
            "max_mb": Option(whole_number(1, 10_000)),
            "daily": Option(flag),
            "per_query_type": Option(flag),
            "max_query_types": Option(whole_number(1, 1000)),
            "fsync": Option(flag),
        },
        short="folder",
    ),
    "sqs": Kind(
        f"{_ROOM}.sqs:open_sink",
        {
            "queue_url": Option(
                matching(
                    r"https?://\S+", "https://sqs.eu-central-1.amazonaws.com/123456789012/usage"
                ),
                is_required=True,
            ),
            "spill_folder": Option(text("/var/spool/spendfuse")),
            "spill_mb": Option(whole_number(1, 100_000)),
        },
        extra="aws",
        short="queue_url",
    ),
    "emf": Kind(
        f"{_ROOM}.emf:open_sink",
        {
            "namespace": Option(text(NAMESPACE)),
            "dimensions": Option(dimension_sets(DIMENSIONS, most=30)),
            "properties": Option(texts('["user", "team"]', but=RESERVED)),
            "max_label_sets": _LABEL_SETS,
        },
        short="namespace",
    ),
    "prometheus": Kind(
        f"{_ROOM}.prometheus:open_sink", {"max_label_sets": _LABEL_SETS}, extra="prometheus"
    ),
    "opentelemetry": Kind(
        f"{_ROOM}.opentelemetry:open_sink", {"max_label_sets": _LABEL_SETS}, extra="otel"
    ),
    "bigquery": Kind(
        f"{_ROOM}.bigquery:open_sink",
        {
            "table": Option(
                matching(r"\S+\.[^.\s]+\.[^.\s]+", "project.dataset.table"),
                is_required=True,
            ),
            "timeout_seconds": Option(whole_number(1, 600)),
        },
        extra="bigquery",
        short="table",
    ),
}
"""Each kind of sink by its name in a configuration. A new one is a file and an entry."""


def sink_specs(text: str) -> list[Any]:
    """Return what the environment's SPENDFUSE_SINKS asks for, as ``open_sinks`` takes it.

    Either ``kind`` or ``kind:value``, with commas between, or the JSON of a whole list.

    Example:
        >>> sink_specs("jsonl:usage,print")
        [{'kind': 'jsonl', 'folder': 'usage'}, {'kind': 'print'}]

    Raises:
        SettingsError: it is neither of the two.
    """
    return specs_from_text(text, SINKS)


def open_sinks(specs: object, wiring: Wiring | None = None) -> list[Sink]:
    """Return the sinks that ``specs`` ask for, in their order.

    Args:
        specs: a list of objects such as ``{"kind": "jsonl", "folder": "usage"}``.
        wiring: clients and streams of the app's own.

    Raises:
        SettingsError: every mistake in ``specs``, a line each; or a sink that can't be opened,
            after those before it were closed.
    """
    wiring = wiring or Wiring()
    opened: list[Sink] = []
    try:
        # One by one, so that those before a failure are known.
        for spec in read_specs(specs, SINKS):
            opened += [_open(SINKS[spec.kind], spec.kind, spec.values, wiring)]
    except BaseException:
        FanOut(opened).close(timeout_seconds=0)
        raise
    return opened


def _open(kind: Kind, name: str, values: Mapping[str, Any], wiring: Wiring) -> Sink:
    module_name, function_name = kind.opener.split(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if kind.extra is None or (error.name or "").startswith("spendfuse"):
            raise
        raise SettingsError(
            f"the sink {name!r} needs {error.name}: pip install 'spendfuse[{kind.extra}]'"
        ) from error
    sink: Sink = getattr(module, function_name)(wiring, **values)
    return sink
