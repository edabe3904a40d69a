"""What the integrations need of a tracker, and what they all say of a call."""

from __future__ import annotations

from typing import Protocol

from spendfuse.errors import SettingsError
from spendfuse.metering.record import Record
from spendfuse.metering.reporting import Reported


class Meter(Protocol):
    """The side of ``CostTracker`` that never raises and never waits."""

    def track_quietly(self, reported: Reported, /) -> Record | None: ...

    def refuse(self, reason: str, /) -> None:
        """Count, and now and then log, what could not be read; reasons are few and fixed."""
        ...


def checked_meter(tracker: Meter) -> Meter:
    """Return ``tracker``, where the app is still starting and may be told that it is none.

    Raises:
        SettingsError: it is no tracker.
    """
    for name in ("track_quietly", "refuse"):
        if not callable(getattr(tracker, name, None)):
            raise SettingsError(f"tracker must be a CostTracker, got {type(tracker).__name__}")
    return tracker


def billed_model(provider: str, requested: str, answered: str) -> str:
    """Return the name that the provider's price list has.

    What answers is more exact than what was asked for: a dated model behind an alias, the model
    behind a deployment of Azure's. But Bedrock's ids name the region that is billed.
    """
    return (requested or answered) if provider == "aws" else (answered or requested)
