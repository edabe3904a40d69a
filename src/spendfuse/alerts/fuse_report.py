"""The alert that carries a report of the fuse; the fuse knows no alerts, so it is made here."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from spendfuse.alerts.alert import Alert, Severity

_HEADLINE_CHARACTERS = 150


class FuseReport(Protocol):
    """What the fuse says it did, or did not do."""

    @property
    def id(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def headline(self) -> str: ...
    @property
    def details(self) -> tuple[str, ...]: ...
    @property
    def budget(self) -> str | None: ...
    @property
    def period(self) -> str | None: ...
    @property
    def percent(self) -> int | None: ...
    @property
    def limit_nano_usd(self) -> int | None: ...


def fuse_alert(report: FuseReport, deployment: str, now: datetime) -> Alert:
    """Return the report as an alert; the same report has the same id."""
    return Alert(
        id=f"fuse/{report.id}",
        deployment=deployment,
        source="fuse",
        severity=report.severity,
        headline=report.headline[:_HEADLINE_CHARACTERS],
        at=now,
        # Whoever chose the channels of the rungs, a blown fuse is for everybody.
        channels=("slack", "email"),
        details=report.details,
        budget=report.budget,
        period=report.period,
        percent=report.percent,
        limit_nano_usd=report.limit_nano_usd,
    )
