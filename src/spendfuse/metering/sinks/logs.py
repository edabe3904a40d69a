"""One log record a call, through the app's own ``logging``."""

from __future__ import annotations

import logging

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.direct import DirectSink, UndeliverableError
from spendfuse.metering.sinks.lines import json_line
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.wiring import Wiring

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
STYLES = ("json", "extra")
EXTRA = "llm_call"
"""The one attribute that the style ``extra`` adds to a log record: it can't clash with
``logging``'s own names, whatever the app's fields are called."""


def open_sink(
    _wiring: Wiring, *, logger: str = "spendfuse.usage", level: str = "INFO", style: str = "json"
) -> Sink:
    number: int = getattr(logging, level)
    return logging_sink(logging.getLogger(logger), level=number, is_json=style == "json")


def logging_sink(target: logging.Logger, *, level: int, is_json: bool) -> Sink:
    """Return a sink that logs to ``target``: JSON as the message, or as ``llm_call`` in extra.

    What the app's configuration turns off is counted as dropped, and ``health`` says why.
    """

    def deliver(record: Record) -> None:
        if not target.isEnabledFor(level):
            raise UndeliverableError(
                f"logger {target.name!r} does not log {logging.getLevelName(level)}; "
                "set its level in the app's logging configuration"
            )
        if is_json:
            # An argument, because a message of its own could hold a percent sign.
            target.log(level, "%s", json_line(record).decode().rstrip("\n"))
        else:
            target.log(level, "llm call %s", record.id, extra={EXTRA: record.to_line()})

    return DirectSink("logging", deliver)
