"""A sink that keeps what it is given, for tests of what feeds it."""

from __future__ import annotations

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.sink import SinkHealth


class KeptRecords:
    """Keeps records in a list."""

    name = "kept"

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_closed = False

    def emit(self, record: Record) -> None:
        self.records.append(record)

    def flush(self, timeout_seconds: float) -> bool:
        return timeout_seconds >= 0

    def close(self, timeout_seconds: float) -> None:
        self.is_closed = timeout_seconds >= 0

    def health(self) -> SinkHealth:
        return SinkHealth(accepted=len(self.records), delivered=len(self.records))
