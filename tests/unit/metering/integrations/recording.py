"""A tracker's quiet side, which keeps what it is told."""

from __future__ import annotations

from spendfuse.metering.reporting import Reported


class Recording:
    def __init__(self) -> None:
        self.calls: list[Reported] = []
        self.refused: list[str] = []

    def track_quietly(self, reported: Reported, /) -> None:
        self.calls.append(reported)

    def refuse(self, reason: str, /) -> None:
        self.refused.append(reason)

    @property
    def call(self) -> Reported:
        (call,) = self.calls
        return call
