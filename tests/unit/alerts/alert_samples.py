"""A small deployment and its alerts, for the tests of everything that tells them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.envelopes import parse_envelope
from spendfuse.alerts.translation import alert_from
from spendfuse.budget import Budget, Rung
from spendfuse.definitions import AwsBudget, Definitions, FuseDefinition
from spendfuse.fuse_state import TripOrder

USD = 10**9
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties: a busy machine is no failure."""
NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-1:123456789012:acme-alerts"
RECORDED = Path(__file__).parents[2] / "envelopes"
MESSAGES = sorted(file.name for suffix in ("txt", "json") for file in RECORDED.glob(f"*.{suffix}"))

LADDER = (
    Rung(50, ("email",)),
    Rung(80, ("slack",)),
    Rung(100, ("slack", "email"), trips=True),
)
FUSE = FuseDefinition("acme-prod", "armed", ("api-gateway",), 10, 20)
DEFINITIONS = Definitions(
    deployment="acme-prod",
    budgets=(
        Budget("main", 1000 * USD, "month", LADDER),
        Budget("today", 1 * USD, "day", LADDER, match={"team": "x"}),
    ),
    aws_budgets=(
        AwsBudget("main-1a2b3c4d", "main", 1000 * USD, "month", LADDER),
        AwsBudget("daily-9f8e7d6c", "main", 3 * USD // 4, "day", LADDER),
    ),
    fuse=FUSE,
)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def pass_seconds(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def recorded(name: str) -> str:
    return (RECORDED / name).read_bytes().decode()


def enveloped(message: str, **changes: object) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "2f6a8f0e",
            "TopicArn": TOPIC,
            "Message": message,
            "Timestamp": "2026-11-21T14:03:10.000Z",
            **changes,
        }
    )


def alert_of(name: str, definitions: Definitions = DEFINITIONS) -> Alert:
    envelope = parse_envelope(enveloped(recorded(name)), received_at=NOW)
    return alert_from(envelope, definitions)


def a_rung_alert(percent: int = 80, **changes: object) -> Alert:
    values = {
        "id": f"main/2026-11/{percent}",
        "deployment": "acme-prod",
        "source": "ledger",
        "severity": "warning" if percent >= 80 else "info",
        "headline": f"main has spent {percent} % of its $1,000.00 for 2026-11",
        "at": NOW,
        "channels": ("slack", "email"),
        "budget": "main",
        "period": "2026-11",
        "percent": percent,
        "spent_nano_usd": percent * 10 * USD + 3_120_000_400,
        "limit_nano_usd": 1000 * USD,
    }
    return Alert(**{**values, **changes})


def a_trip_alert(**changes: object) -> Alert:
    order = TripOrder("acme-prod", "main", "2026-11", 100, 1000 * USD)
    headline = "main has spent its $1,000.00 for 2026-11: the fuse blows"
    values = {"severity": "critical", "headline": headline, "trip": order, **changes}
    return a_rung_alert(100, **values)


def a_trip_report(**changes: object) -> Alert:
    values = {
        "id": "fuse/acme-prod/main/2026-11/100",
        "source": "fuse",
        "severity": "critical",
        "headline": "Fuse acme-prod blew: 3 of 4 API keys disabled",
        "details": (
            "Disabled and verified: web (k1a2), batch (k9z8), partner (k5f5).",
            "Not disabled: legacy (k0x0), AccessDeniedException. Disable it by hand.",
            "To undo it: spendfuse fuse restore (shows what it would do; --yes does it)",
        ),
        **changes,
    }
    return a_rung_alert(100, **values)
