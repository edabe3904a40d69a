"""The incidents' memory in DynamoDB.

One item an alert: ``incident#<incident>`` / ``alert#<alert id>``, with what is told of it,
and for each channel ``sent_<channel>`` or ``lease_<channel>``, both in epoch milliseconds.
A lease ends by itself, so a function that died while sending holds nobody up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.incident import LEASE_SECONDS, Lease, Told, Verdict, incident_key, told
from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import SettingsError, UnavailableError

_KEPT = timedelta(days=400)
_KEY_BYTES = 1000
_MENDABLE = frozenset({"ResourceNotFoundException", "AccessDeniedException", "ValidationException"})


class DynamoIncidents:
    """``Incidents`` in a table with the keys ``pk`` and ``sk``; ``client`` is a boto3 client."""

    def __init__(self, client: Any, table: str, *, now: Callable[[], datetime]) -> None:
        self._client = client
        self._table = table
        self._now = now

    def remember(self, alert: Alert) -> tuple[Told, ...]:
        """Put the alert into its incident, once, and return all that the incident holds."""
        now = self._now()
        values = {name: {"S": value} for name, value in _item(told(alert, seen_at=now)).items()}
        values["expires_at"] = {"N": str(int((now + _KEPT).timestamp()))}
        with suppress(_ConditionFailedError), _translated():
            self._client.update_item(
                TableName=self._table,
                Key=_key(alert),
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
                ConditionExpression="attribute_not_exists(seen_at)",
                ExpressionAttributeNames={f"#{name}": name for name in values},
                ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
            )
        return self._incident(alert)

    def claim(self, alert: Alert, channel: str) -> Verdict:
        """Ask for the right to send: of all who ask at one time, one gets a lease."""
        now = self._now()
        until = _from_millis(_millis(now) + LEASE_SECONDS * 1000)
        try:
            with _translated():
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(alert),
                    UpdateExpression="SET #lease = :until",
                    ConditionExpression=(
                        "attribute_not_exists(#sent) AND "
                        "(attribute_not_exists(#lease) OR #lease <= :now)"
                    ),
                    ExpressionAttributeNames=_names(channel),
                    ExpressionAttributeValues={":until": _number(until), ":now": _number(now)},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except _ConditionFailedError as failed:
            if f"sent_{channel}" in failed.item:
                return "sent"
            return _from_millis(int(failed.item[f"lease_{channel}"]["N"]))
        return Lease(until)

    def mark_sent(self, alert: Alert, channel: str) -> None:
        """Remember that it was sent: nobody gets a lease on it again."""
        with _translated():
            self._client.update_item(
                TableName=self._table,
                Key=_key(alert),
                UpdateExpression="SET #sent = :now REMOVE #lease",
                ExpressionAttributeNames=_names(channel),
                ExpressionAttributeValues={":now": _number(self._now())},
            )

    def sent_on(self, alert: Alert) -> frozenset[str]:
        """Return the channels on which the alert was told."""
        with _translated():
            answer = self._client.get_item(
                TableName=self._table, Key=_key(alert), ConsistentRead=True
            )
        sent = (name.partition("sent_") for name in answer.get("Item", {}))
        return frozenset(channel for _, mark, channel in sent if mark)

    def release(self, alert: Alert, channel: str, lease: Lease) -> None:
        """Give a lease back after a failure; one that has passed on to others stays theirs."""
        with suppress(_ConditionFailedError), _translated():
            self._client.update_item(
                TableName=self._table,
                Key=_key(alert),
                UpdateExpression="REMOVE #lease",
                ConditionExpression="#lease = :until",
                ExpressionAttributeNames={"#lease": f"lease_{channel}"},
                ExpressionAttributeValues={":until": _number(lease.until)},
            )

    def _incident(self, alert: Alert) -> tuple[Told, ...]:
        with _translated():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                # Strongly: the alert that was put a moment ago has to be in it.
                ConsistentRead=True,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :alert)",
                ExpressionAttributeValues={":pk": _key(alert)["pk"], ":alert": {"S": "alert#"}},
            )
            items = (item for page in pages for item in page["Items"])
            return tuple(_told(item) for item in items if "alert_id" in item)


class _ConditionFailedError(Exception):
    """The item stands otherwise than a write expected; carries the item."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        self.item = item


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise _ConditionFailedError(error.response.get("Item", {})) from error
        if code in _MENDABLE:
            raise SettingsError(f"the incident table can't be used: {code}") from error
        raise UnavailableError(f"the incident table is not available: {code}") from error
    except BotoCoreError as error:
        raise UnavailableError(f"the incident table can't be reached: {error}") from error


def _key(alert: Alert) -> dict[str, dict[str, str]]:
    return {
        "pk": {"S": _bounded(f"incident#{incident_key(alert)}")},
        "sk": {"S": _bounded(f"alert#{alert.id}")},
    }


def _bounded(key: str) -> str:
    """Return the key, or its head and hash where DynamoDB would find it too long."""
    raw = key.encode()
    if len(raw) <= _KEY_BYTES:
        return key
    return f"{key[:100]}#{hashlib.sha256(raw).hexdigest()}"


def _names(channel: str) -> dict[str, str]:
    return {"#sent": f"sent_{channel}", "#lease": f"lease_{channel}"}


def _item(entry: Told) -> dict[str, str]:
    return {
        "alert_id": entry.alert_id,
        "at": utc_text(entry.at),
        "seen_at": utc_text(entry.seen_at),
        "severity": entry.severity,
        "source": entry.source,
        "headline": entry.headline,
    }


def _told(item: Mapping[str, Any]) -> Told:
    text = {name: value["S"] for name, value in item.items() if "S" in value}
    return Told(
        alert_id=text["alert_id"],
        at=parse_utc(text["at"]),
        seen_at=parse_utc(text["seen_at"]),
        severity=text["severity"],
        source=text["source"],
        headline=text["headline"],
    )


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _from_millis(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def _number(at: datetime) -> dict[str, str]:
    return {"N": str(_millis(at))}
