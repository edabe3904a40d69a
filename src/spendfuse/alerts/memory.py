"""The incidents' memory in a dictionary: for tests, and for a process that is alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.incident import LEASE_SECONDS, Lease, Told, Verdict, incident_key, told


class MemoryIncidents:
    """``Incidents`` without a table."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._told: dict[str, dict[str, Told]] = {}
        self._state: dict[tuple[str, str], datetime | None] = {}
        """When the lease ends, by alert and channel; None once sent."""

    def remember(self, alert: Alert) -> tuple[Told, ...]:
        incident = self._told.setdefault(incident_key(alert), {})
        incident.setdefault(alert.id, told(alert, seen_at=self._now()))
        return tuple(incident.values())

    def claim(self, alert: Alert, channel: str) -> Verdict:
        now, key = self._now(), (alert.id, channel)
        until = self._state.get(key, now)
        if until is None:
            return "sent"
        if until > now:
            return until
        self._state[key] = now + timedelta(seconds=LEASE_SECONDS)
        return Lease(now + timedelta(seconds=LEASE_SECONDS))

    def mark_sent(self, alert: Alert, channel: str) -> None:
        self._state[(alert.id, channel)] = None

    def release(self, alert: Alert, channel: str, lease: Lease) -> None:
        if self._state.get((alert.id, channel)) == lease.until:
            del self._state[(alert.id, channel)]
