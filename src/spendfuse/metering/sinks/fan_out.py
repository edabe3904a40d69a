"""One record to several sinks, each on its own: what one of them does, the others don't notice."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.direct import failure_text
from spendfuse.metering.sinks.sink import Sink, SinkHealth

logger = logging.getLogger(__name__)


class FanOut:
    """Hands every record to every sink.

    Sinks promise to raise nothing. One that raises all the same is counted here: its record is
    lost to it, and to nobody else.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = _named(sinks)
        self._emits = [(name, sink.emit) for name, sink in self._sinks.items()]
        self._raised: Counter[str] = Counter()
        self._last_errors: dict[str, str] = {}

    def emit(self, record: Record) -> None:
        for name, emit in self._emits:
            try:
                emit(record)
            except Exception as error:  # noqa: BLE001 (the app's call goes on, whatever a sink does)
                self._note(name, error)

    def flush(self, timeout_seconds: float) -> bool:
        """Flush all, each within an equal share of the time that is left."""
        until = time.monotonic() + timeout_seconds
        flushed = [
            self._flushed(
                name, sink, max(0.0, until - time.monotonic()) / (len(self._sinks) - done)
            )
            for done, (name, sink) in enumerate(self._sinks.items())
        ]
        return all(flushed)

    def close(self, timeout_seconds: float) -> None:
        """Close all, each within an equal share of the time that is left."""
        until = time.monotonic() + timeout_seconds
        for done, (name, sink) in enumerate(self._sinks.items()):
            share = max(0.0, until - time.monotonic()) / (len(self._sinks) - done)
            try:
                sink.close(share)
            except Exception as error:  # noqa: BLE001 (the others are still to be closed)
                self._note_calmly(name, error)

    def health(self) -> Mapping[str, SinkHealth]:
        """Return each sink's health by name; a second ``jsonl`` is ``jsonl-2``."""
        return {name: self._health(name, sink) for name, sink in self._sinks.items()}

    def _flushed(self, name: str, sink: Sink, timeout_seconds: float) -> bool:
        try:
            return sink.flush(timeout_seconds)
        except Exception as error:  # noqa: BLE001 (the others are still to be flushed)
            self._note_calmly(name, error)
            return False

    def _health(self, name: str, sink: Sink) -> SinkHealth:
        try:
            health = sink.health()
        except Exception as error:  # noqa: BLE001 (the others' health is still to be told)
            self._note_calmly(name, error)
            health = SinkHealth()
        raised = self._raised[name]
        return replace(
            health,
            accepted=health.accepted + raised,
            dropped=health.dropped + raised,
            last_error=self._last_errors.get(name, health.last_error),
        )

    def _note(self, name: str, error: Exception) -> None:
        self._raised[name] += 1
        if self._raised[name] == 1:
            # The app's logging may be what is broken.
            with suppress(Exception):
                logger.error(
                    "sink %s raised %s; from now on that is counted only", name, failure_text(error)
                )
        self._note_calmly(name, error)

    def _note_calmly(self, name: str, error: Exception) -> None:
        self._last_errors[name] = failure_text(error)


def _named(sinks: Sequence[Sink]) -> dict[str, Sink]:
    named: dict[str, Sink] = {}
    for sink in sinks:
        name, number = sink.name, 1
        while name in named:
            number += 1
            name = f"{sink.name}-{number}"
        named[name] = sink
    return named
