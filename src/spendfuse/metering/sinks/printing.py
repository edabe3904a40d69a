"""One calm line a call, for people."""

from __future__ import annotations

import sys
from typing import TextIO

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.direct import DirectSink
from spendfuse.metering.sinks.lines import standard_output
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.wiring import Wiring
from spendfuse.money import usd_text


def open_sink(wiring: Wiring, *, stream: str = "stdout") -> Sink:
    chosen = sys.stderr if stream == "stderr" else standard_output()
    return print_sink(wiring.stream or chosen)


def print_sink(stream: TextIO) -> Sink:
    """Return a sink that prints to ``stream``."""

    def deliver(record: Record) -> None:
        # One write, so that lines of several threads don't mix.
        stream.write(line_for_people(record) + "\n")
        stream.flush()

    return DirectSink("print", deliver)


def line_for_people(record: Record) -> str:
    """Return ``12:00:03  openai/gpt-4o  1200 in, 300 out  $0.006  420 ms  ok``."""
    usage = record.usage
    name = f"{record.provider}/{record.model}" if record.provider else record.model
    parts = [
        f"{record.at:%H:%M:%S}",
        _safe(name),
        f"{usage.input_tokens} in, {usage.output_tokens} out",
        _cost(record.cost_nano_usd),
        "- ms" if record.latency_ms is None else f"{record.latency_ms} ms",
        _safe(f"{record.status} {record.error_type}" if record.error_type else record.status),
    ]
    if record.cached:
        parts.append("cached")
    return "  ".join(parts)


def _cost(nano: int | None) -> str:
    if nano is None:
        return "no price"
    whole, _, rest = usd_text(nano).partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"


def _safe(text: str) -> str:
    # Names come from requests: no line breaks, no terminal codes, and ASCII for any terminal.
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
