"""What every sink promises: it takes records without blocking, and never breaks the app's call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spendfuse.metering.record import Record


@dataclass(frozen=True, slots=True)
class SinkHealth:
    """What became of the records that a sink was given, since it was opened."""

    accepted: int = 0
    delivered: int = 0
    waiting: int = 0
    """In memory, or on disk: it will be tried again."""
    dropped: int = 0
    """Lost for good: there was no room, or the record can't be encoded."""
    failures: int = 0
    """Attempts that failed; what they held is waiting."""
    last_error: str | None = None
    """The class and, where it is safe, the text of the last failure."""


class Sink(Protocol):
    """A place for records. A new one is a file, and its line in ``sinks.SINKS``."""

    @property
    def name(self) -> str: ...

    def emit(self, record: Record) -> None:
        """Take a record. Returns at once, from any thread, and raises nothing."""
        ...

    def flush(self, timeout_seconds: float) -> bool:
        """Deliver what is waiting, or put it on disk; return whether nothing is left in memory."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Flush, and let go of threads, files and connections. Closing twice is fine."""
        ...

    def health(self) -> SinkHealth: ...
