"""An alert: something a person should hear, in one shape wherever it came from.

Our own Lambdas publish it as JSON (``to_json``); ``alerts.envelopes`` makes the same shape
of what AWS sends. ``id`` is the cause's, so that the same alert, sent twice, rings once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import InputError
from spendfuse.fuse_state import KeySpend, TripOrder

SCHEMA = 1
Severity = Literal["info", "warning", "critical"]
Source = Literal["ledger", "fuse", "aws-budgets", "cloudwatch", "cli", "unknown"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One piece of news, and who should hear it."""

    id: str
    deployment: str
    source: Source
    severity: Severity
    headline: str
    """One line, plain text, that says what happened; ≤ 150 characters."""
    at: datetime
    channels: tuple[str, ...]
    """Of ``slack`` and ``email``."""
    details: tuple[str, ...] = ()
    """Further lines of plain text: what to look at, what to do."""
    budget: str | None = None
    period: str | None = None
    """Alerts of one budget and one period are one incident."""
    percent: int | None = None
    spent_nano_usd: int | None = None
    limit_nano_usd: int | None = None
    trip: TripOrder | None = None
    """Set when the fuse should blow."""
    verbatim: str | None = None
    """What arrived, when it was none of the shapes we know: passed on as it is."""

    def to_json(self) -> str:
        """Return the message that goes onto a topic."""
        body = {**asdict(self), "at": utc_text(self.at)}
        return json.dumps({"spendfuse_alert": SCHEMA, **body})


def alert_from_json(text: str) -> Alert:
    """Read what ``Alert.to_json`` wrote.

    Raises:
        InputError: not one of our alerts, or of a newer schema.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON") from error
    if not isinstance(raw, dict) or raw.pop("spendfuse_alert", None) != SCHEMA:
        raise InputError(f"not a spendfuse alert of schema {SCHEMA}")
    try:
        alert = Alert(
            **{
                **raw,
                "at": parse_utc(raw["at"]),
                "channels": tuple(raw["channels"]),
                "details": tuple(raw.get("details", ())),
                "trip": _trip_order(raw.get("trip")),
            }
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise InputError(f"not a whole spendfuse alert: {error!r}") from error
    wrong = _wrong_fields(alert)
    if wrong:
        raise InputError(f"not a whole spendfuse alert: {', '.join(wrong)} can't be read")
    return alert


def _wrong_fields(alert: Alert) -> list[str]:
    """Name the fields that would surprise whoever renders the alert."""
    texts = (alert.id, alert.deployment, alert.headline)
    optional_texts = (alert.budget, alert.period, alert.verbatim)
    amounts = (alert.percent, alert.spent_nano_usd, alert.limit_nano_usd)
    readable = {
        "id, deployment or headline": all(_is_text(each) and each for each in texts),
        "severity": alert.severity in get_args(Severity),
        "source": alert.source in get_args(Source),
        "channels": all(_is_text(each) for each in alert.channels),
        "details": all(_is_text(each) for each in alert.details),
        "budget, period or verbatim": all(
            each is None or _is_text(each) for each in optional_texts
        ),
        "percent, spent or limit": all(each is None or _is_amount(each) for each in amounts),
    }
    if alert.trip is not None:
        readable["trip"] = _is_order(alert.trip)
    return [name for name, is_readable in readable.items() if not is_readable]


def _is_order(order: TripOrder) -> bool:
    texts = (order.fuse, order.budget, order.period, *(key.key_id for key in order.keys))
    amounts = (
        order.percent,
        order.limit_nano_usd,
        order.allowance,
        *(key.nano_usd for key in order.keys),
    )
    return all(_is_text(each) for each in texts) and all(_is_amount(each) for each in amounts)


def _is_text(value: object) -> bool:
    """Return whether it is text that can leave as UTF-8; half a surrogate pair can't."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_amount(value: object) -> bool:
    # 28 digits are what Decimal keeps; no bill of this world has more.
    return type(value) is int and abs(value) < 10**27


def _trip_order(raw: Mapping[str, Any] | None) -> TripOrder | None:
    if raw is None:
        return None
    return TripOrder(**{**raw, "keys": tuple(KeySpend(**each) for each in raw.get("keys", ()))})
