"""The fuse's memory in one DynamoDB table (pk, sk).

================  =======================================  ================================
pk                sk                                       holds
================  =======================================  ================================
``fuse#<name>``   ``state``                                what everybody reads
the same          ``trip#<trip id>``                       one order, and how far it got
the same          ``key#<trip id>#<key store>#<key id>``   one restore record
================  =======================================  ================================

All reads are consistent: a stale state would let a restored trip go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.fuse.key import Key, KeyRef
from spendfuse.fuse.records import KeyRecord, KeyStatus, Trip, TripStatus
from spendfuse.fuse.store import OvertakenError
from spendfuse.fuse_state import Allowance, FuseState, KeySpend, TripOrder

_CONDITION_FAILED = "ConditionalCheckFailedException"
_OURS_TO_MEND = {
    "AccessDeniedException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
}
_AT_EPOCH = "#state = :before AND epoch = :epoch"
_NEVER_TRIPPED = "attribute_not_exists(pk)"


class DynamoFuse:
    """A ``FuseStore`` in DynamoDB."""

    def __init__(self, client: Any, table: str, fuse: str) -> None:
        self._client = client
        self._table = table
        self._fuse = fuse

    def state(self) -> FuseState:
        answer = self._call("get_item", Key=self._key("state"), ConsistentRead=True)
        item = answer.get("Item")
        return FuseState(self._fuse) if item is None else _state(self._fuse, item)

    def open_trip(self, trip: Trip) -> Trip:
        item = {**self._key(f"trip#{trip.id}"), **_trip_item(trip)}
        if self._put_if_absent(item):
            return trip
        answer = self._call("get_item", Key=self._key(f"trip#{trip.id}"), ConsistentRead=True)
        return _trip(answer["Item"])

    def trips(self) -> Sequence[Trip]:
        return sorted(map(_trip, self._query("trip#")), key=lambda trip: trip.opened_at)

    def blow(self, trip_id: str, *, epoch: int, at: datetime) -> None:
        is_there = f"({_AT_EPOCH})"
        state = {
            "Key": self._key("state"),
            "UpdateExpression": (
                "SET #state = :after, epoch = :next, trip_id = :trip, #since = :at"
            ),
            "ConditionExpression": is_there if epoch else f"{_NEVER_TRIPPED} OR {is_there}",
            "ExpressionAttributeNames": {"#state": "state", "#since": "since"},
            "ExpressionAttributeValues": {
                ":before": {"S": "armed"},
                ":after": {"S": "tripped"},
                ":epoch": _n(epoch),
                ":next": _n(epoch + 1),
                ":trip": {"S": trip_id},
                ":at": {"S": utc_text(at)},
            },
        }
        trip = self._begin(trip_id, epoch=epoch + 1, joined=False)
        updates = [{"Update": {"TableName": self._table, **each}} for each in (state, trip)]
        try:
            self._client.transact_write_items(TransactItems=updates)
        except (ClientError, BotoCoreError) as error:
            raise _error(error) from error

    def join(self, trip_id: str, *, epoch: int) -> None:
        self._call("update_item", **self._begin(trip_id, epoch=epoch, joined=True))

    def _begin(self, trip_id: str, *, epoch: int, joined: bool) -> dict[str, Any]:
        return {
            "Key": self._key(f"trip#{trip_id}"),
            "UpdateExpression": "SET #status = :tripping, epoch = :own, joined = :joined",
            "ConditionExpression": "#status = :planning",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {
                ":tripping": {"S": "tripping"},
                ":planning": {"S": "planning"},
                ":own": _n(epoch),
                ":joined": {"BOOL": joined},
            },
        }

    def arm(self, allowances: Mapping[str, Allowance], *, epoch: int, at: datetime) -> None:
        self._call(
            "update_item",
            Key=self._key("state"),
            UpdateExpression=(
                "SET #state = :after, epoch = :next, allowances = :allowances, #since = :at"
            ),
            ConditionExpression=_AT_EPOCH,
            ExpressionAttributeNames={"#state": "state", "#since": "since"},
            ExpressionAttributeValues={
                ":before": {"S": "tripped"},
                ":after": {"S": "armed"},
                ":epoch": _n(epoch),
                ":next": _n(epoch + 1),
                ":allowances": {"M": {k: _allowance_item(v) for k, v in allowances.items()}},
                ":at": {"S": utc_text(at)},
            },
        )

    def count_pass(self, trip_id: str) -> None:
        self._update_trip(trip_id, "ADD passes :one", {":one": _n(1)})

    def mark_reported(self, trip_id: str, outcome: str) -> None:
        self._update_trip(trip_id, "ADD reported :outcome", {":outcome": {"SS": [outcome]}})

    def set_status(self, seen: Trip, status: TripStatus) -> None:
        self._call(
            "update_item",
            Key=self._key(f"trip#{seen.id}"),
            UpdateExpression="SET #status = :status",
            ConditionExpression="#status = :seen AND epoch = :epoch",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":status": {"S": status},
                ":seen": {"S": seen.status},
                ":epoch": _n(seen.epoch),
            },
        )

    def _update_trip(self, trip_id: str, expression: str, values: Mapping[str, Any]) -> None:
        self._call(
            "update_item",
            Key=self._key(f"trip#{trip_id}"),
            UpdateExpression=expression,
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=values,
        )

    def put_record(self, record: KeyRecord) -> None:
        sk = _record_sk(record.trip_id, record.ref)
        self._put_if_absent({**self._key(sk), **_record_item(record)})

    def mark_record(self, trip_id: str, key: KeyRef, status: KeyStatus, *, note: str = "") -> None:
        self._call(
            "update_item",
            Key=self._key(_record_sk(trip_id, key)),
            UpdateExpression="SET #status = :status, note = :note",
            # Else a mark without a record would look like one that says nothing of before.
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}, ":note": {"S": note}},
        )

    def records(self) -> Sequence[KeyRecord]:
        return [_record(item) for item in self._query("key#")]

    def _key(self, sk: str) -> dict[str, Any]:
        return {"pk": {"S": f"fuse#{self._fuse}"}, "sk": {"S": sk}}

    def _put_if_absent(self, item: Mapping[str, Any]) -> bool:
        try:
            self._call("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")
        except OvertakenError:
            return False
        return True

    def _query(self, prefix: str) -> Iterable[Mapping[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={
                ":pk": {"S": f"fuse#{self._fuse}"},
                ":prefix": {"S": prefix},
            },
            ConsistentRead=True,
        )
        try:
            for page in pages:
                yield from page["Items"]
        except (ClientError, BotoCoreError) as error:
            raise _error(error) from error

    def _call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(
                TableName=self._table, **request
            )
        except (ClientError, BotoCoreError) as error:
            raise _error(error) from error
        return answer


def _error(error: Exception) -> SpendfuseError:
    """Return our error for a vendor's, told apart by what the caller does next."""
    # A timeout has a response too, and it is None.
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code", "")
    reasons = [each.get("Code") for each in response.get("CancellationReasons", ())]
    if code == _CONDITION_FAILED or "ConditionalCheckFailed" in reasons:
        return OvertakenError(f"the fuse's table has moved on: {error}")
    if code in _OURS_TO_MEND:
        return SettingsError(f"the fuse's table refused: {error}")
    return UnavailableError(f"the fuse's table did not answer: {error}")


def _n(number: int) -> dict[str, str]:
    return {"N": str(number)}


def _record_sk(trip_id: str, key: KeyRef) -> str:
    return f"key#{trip_id}#{key.store}#{key.id}"


def _state(fuse: str, item: Mapping[str, Any]) -> FuseState:
    since = item.get("since", {}).get("S")
    return FuseState(
        fuse=fuse,
        state=item["state"]["S"],
        epoch=int(item["epoch"]["N"]),
        trip_id=item.get("trip_id", {}).get("S"),
        allowances={
            key: _allowance(each["M"])
            for key, each in item.get("allowances", {}).get("M", {}).items()
        },
        since=parse_utc(since) if since else None,
    )


def _allowance_item(allowance: Allowance) -> dict[str, Any]:
    return {
        "M": {
            "budget": {"S": allowance.budget},
            "period": {"S": allowance.period},
            "number": _n(allowance.number),
            "until_nano_usd": _n(allowance.until_nano_usd),
        }
    }


def _allowance(raw: Mapping[str, Any]) -> Allowance:
    return Allowance(
        budget=raw["budget"]["S"],
        period=raw["period"]["S"],
        number=int(raw["number"]["N"]),
        until_nano_usd=int(raw["until_nano_usd"]["N"]),
    )


def _trip_item(trip: Trip) -> dict[str, Any]:
    return {
        "status": {"S": trip.status},
        "order": {"S": json.dumps(asdict(trip.order))},
        "cause": {"S": trip.cause},
        "opened_at": {"S": utc_text(trip.opened_at)},
        "allowance_nano_usd": _n(trip.allowance_nano_usd),
        "epoch": _n(trip.epoch),
        "joined": {"BOOL": trip.joined},
        "passes": _n(trip.passes),
    }


def _trip(item: Mapping[str, Any]) -> Trip:
    order = json.loads(item["order"]["S"])
    return Trip(
        order=TripOrder(**{**order, "keys": tuple(KeySpend(**each) for each in order["keys"])}),
        opened_at=parse_utc(item["opened_at"]["S"]),
        cause=item["cause"]["S"],
        allowance_nano_usd=int(item["allowance_nano_usd"]["N"]),
        status=item["status"]["S"],
        epoch=int(item["epoch"]["N"]),
        joined=item["joined"]["BOOL"],
        passes=int(item["passes"]["N"]),
        reported=tuple(sorted(item.get("reported", {}).get("SS", ()))),
    )


def _record_item(record: KeyRecord) -> dict[str, Any]:
    key = record.key
    return {
        "trip_id": {"S": record.trip_id},
        "key_store": {"S": key.store},
        "key_id": {"S": key.id},
        "name": {"S": key.name},
        "was_enabled": {"BOOL": key.enabled},
        "tags": {"M": {name: {"S": value} for name, value in key.tags.items()}},
        "status": {"S": record.status},
        "note": {"S": record.note},
    }


def _record(item: Mapping[str, Any]) -> KeyRecord:
    key = Key(
        store=item["key_store"]["S"],
        id=item["key_id"]["S"],
        name=item["name"]["S"],
        enabled=item["was_enabled"]["BOOL"],
        tags={name: each["S"] for name, each in item["tags"]["M"].items()},
    )
    return KeyRecord(item["trip_id"]["S"], key, item["status"]["S"], item["note"]["S"])
