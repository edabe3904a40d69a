"""What arrives in a queue behind an SNS topic, in one of the shapes we know.

Nothing here raises: what can't be read is ``Unknown`` and keeps its text, for a person to
read. Nothing here decides either: whether a shape may trip the fuse is not its business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.alerts.aws_budgets import BudgetsNotice, budgets_notice
from spendfuse.alerts.cloudwatch import AlarmNotice, alarm_notice, well_formed
from spendfuse.clock import parse_utc
from spendfuse.errors import InputError

__all__ = ["AlarmNotice", "BudgetsNotice", "Content", "Envelope", "Unknown", "parse_envelope"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a shape that we don't know, as it came."""

    text: str


Content = Alert | BudgetsNotice | AlarmNotice | Unknown


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message, and what SNS says about it; empty texts where SNS had no part in it."""

    content: Content
    at: datetime
    """When it was published, or else received."""
    topic_arn: str = ""
    message_id: str = ""
    """The same on every delivery of one message."""
    subject: str = ""


def parse_envelope(body: str, *, received_at: datetime) -> Envelope:
    """Read the body of an SQS message; never raises for what is in it."""
    body = well_formed(body)
    sns = _json_object(body)
    if (
        sns is None
        or sns.get("Type") != "Notification"
        or not isinstance(sns.get("TopicArn"), str)
        or not isinstance(sns.get("Message"), str)
    ):
        return Envelope(Unknown(body), received_at)
    return Envelope(
        content=_content(well_formed(sns["Message"])),
        at=_published_at(sns) or received_at,
        topic_arn=well_formed(sns["TopicArn"]),
        message_id=_text(sns, "MessageId"),
        subject=_text(sns, "Subject"),
    )


def _content(message: str) -> Content:
    raw = _json_object(message)
    try:
        if raw is None:
            return budgets_notice(message)
        if "spendfuse_alert" in raw:
            return alert_from_json(message)
        return alarm_notice(raw)
    except (InputError, OverflowError):
        # Overflow: a time in year 1 or 9999 whose zone carries it out of the calendar.
        return Unknown(message)


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _text(sns: dict[str, Any], key: str) -> str:
    value = sns.get(key)
    return well_formed(value) if isinstance(value, str) else ""


def _published_at(sns: dict[str, Any]) -> datetime | None:
    try:
        return parse_utc(sns.get("Timestamp"))
    except (InputError, OverflowError):
        return None
