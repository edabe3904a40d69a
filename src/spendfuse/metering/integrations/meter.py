"""What the integrations need of a tracker, and what they say of a call that used nothing."""

from __future__ import annotations

from typing import Protocol

from spendfuse.metering.record import Record
from spendfuse.metering.reporting import Reported
from spendfuse.metering.usage import Usage

NOTHING_USED = Usage(requests=0)
"""Of a call that the provider refused: not even a request that it would bill."""


class Meter(Protocol):
    """The side of ``CostTracker`` that never raises and never waits."""

    def track_quietly(self, reported: Reported, /) -> Record | None: ...

    def refuse(self, reason: str, /) -> None:
        """Count, and now and then log, what could not be read; reasons are few and fixed."""
        ...
