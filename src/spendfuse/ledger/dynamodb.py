"""The ledger in one DynamoDB table (pk, sk).

==============================  ======================================  =====================
pk                              sk                                      holds
==============================  ======================================  =====================
``budget#<name>#<period>``      ``total``, ``key#<API key id>``         the counters
``pack#<pack id>``              ``marker``                              that it was counted
``rungs#<budget>#<period>``     ``<percent>#<limit>#<allowance>``       that it fired
``quarantine#<day>``            ``<pack id>#<position>``                a rejected record
==============================  ======================================  =====================
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.budget import Budget
from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import InputError, UnavailableError
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger.pack import LATEST_USAGE, Pack
from spendfuse.ledger.posting import TOTAL, Delta, ItemKey, deltas, merged
from spendfuse.ledger.rungs import RungKey

MAX_TRANSACTION_ITEMS = 100
"""AWS's limit for one TransactWriteItems call."""
MARKERS_KEPT = LATEST_USAGE
"""As long as usage may be late, so no pack outlives its marker."""

Batch = dict[str, Mapping[ItemKey, Delta]]
"""What several packs add, by pack id, in one transaction."""

_ADD = "ADD nano_usd :nano_usd, requests :requests, unpriced :unpriced"
_ATTEMPTS = 8
# An item holds 400 KB at most.
_REASON_BYTES, _RECORD_BYTES = 1_000, 300_000
_RETRIED = {
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
}
_TRY_LATER = {
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
}


class TooManyItemsError(InputError):
    """A pack touches more counters than one transaction holds; nothing of it is counted."""


@dataclass(frozen=True, slots=True)
class Posting:
    """What one pack adds, small enough to be counted in one step."""

    pack_id: str
    added: Mapping[ItemKey, Delta]


def posting(pack: Pack, budgets: Sequence[Budget]) -> Posting:
    """Return what the pack adds to the counters of all budgets that its records match.

    Raises:
        TooManyItemsError: it could only be counted in halves; says what to send instead.
    """
    added = deltas(pack.records, budgets)
    if len(added) >= MAX_TRANSACTION_ITEMS:
        raise TooManyItemsError(
            f"pack {pack.id} touches {len(added)} counters; one transaction holds "
            f"{MAX_TRANSACTION_ITEMS - 1} beside the pack's marker. Send packs with fewer API keys"
        )
    return Posting(pack.id, added)


@dataclass(frozen=True, slots=True)
class FiredRung:
    key: RungKey
    status: str
    """``pending`` until its alert was published, then ``sent``."""
    alert: str
    """The alert as JSON text, as it was first written."""
    fired_at: datetime


class DynamoLedger:
    """Counts packs, and remembers which rungs have fired."""

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def post(self, postings: Sequence[Posting], now: datetime) -> int:
        """Count each pack once.

        Several packs share a transaction where they fit; each is counted wholly or not at all.
        Returns how many were new.

        Raises:
            UnavailableError: the table refused; packs not yet counted may be posted again.
        """
        new = 0
        failures = []
        for batch in _batches(postings):
            try:
                new += self._post_batch(batch, now)
            except _RefusedError as error:
                failures.append(error)
                new += self._post_one_by_one(batch, now)
        if failures:
            raise failures[0]
        return new

    def _post_one_by_one(self, batch: Batch, now: datetime) -> int:
        """Count what can be: a pack that AWS will never take holds up none beside it."""
        new = 0
        for pack_id, added in batch.items() if len(batch) > 1 else ():
            with contextlib.suppress(_RefusedError):
                new += self._post_batch({pack_id: added}, now)
        return new

    def _post_batch(self, batch: Batch, now: datetime) -> int:
        left = dict(batch)
        for attempt in range(_ATTEMPTS):
            if not left:
                return 0
            try:
                self._transact(left, now)
            except _MarkersExistError as known:
                for pack_id in known.pack_ids:
                    del left[pack_id]
            except _ConflictError:
                # Full jitter: recorders that collided once should not collide again.
                self._sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311
            else:
                return len(left)
        raise UnavailableError(f"the ledger refused {_ATTEMPTS} times; it is contended")

    def _transact(self, packs: Batch, now: datetime) -> None:
        pack_ids = list(packs)
        added = merged(packs.values())
        items = [self._marker(pack_id, now) for pack_id in pack_ids]
        items += [self._addition(key, delta) for key, delta in sorted(added.items())]
        try:
            self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            raise _transaction_error(error, pack_ids) from error
        except BotoCoreError as error:
            raise UnavailableError(f"the ledger table can't be reached: {error}") from error

    def _marker(self, pack_id: str, now: datetime) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": {
                    "pk": {"S": f"pack#{pack_id}"},
                    "sk": {"S": "marker"},
                    "posted_at": {"S": utc_text(now)},
                    "expires_at": {"N": str(int((now + MARKERS_KEPT).timestamp()))},
                },
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def _addition(self, key: ItemKey, delta: Delta) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._table,
                "Key": _counter_key(key.budget, key.period, key.share),
                "UpdateExpression": _ADD,
                "ExpressionAttributeValues": {
                    ":nano_usd": {"N": str(delta.nano_usd)},
                    ":requests": {"N": str(delta.requests)},
                    ":unpriced": {"N": str(delta.unpriced)},
                },
            }
        }

    def quarantine(self, pack: Pack, now: datetime) -> None:
        """Keep the pack's rejected records with their reasons; again is the same.

        Raises:
            UnavailableError: not all were kept.
        """
        for rejected in pack.rejected:
            item = {
                "pk": {"S": f"quarantine#{now:%Y-%m-%d}"},
                "sk": {"S": f"{pack.id}#{rejected.position:05d}"},
                "reason": {"S": _cut(rejected.reason, _REASON_BYTES)},
                "record": {"S": _cut(rejected.raw, _RECORD_BYTES)},
                "quarantined_at": {"S": utc_text(now)},
            }
            self._call("put_item", Item=item)

    def total(self, budget: str, period: str) -> Delta:
        """Return what the budget has counted in the period; zero where nothing was."""
        answer = self._call(
            "get_item", Key=_counter_key(budget, period, TOTAL), ConsistentRead=True
        )
        item = answer.get("Item", {})
        return Delta(*(_number(item, name) for name in ("nano_usd", "requests", "unpriced")))

    def dearest_keys(self, budget: str, period: str, *, most: int) -> tuple[KeySpend, ...]:
        """Return the API keys that spent the most on the budget in the period."""
        rows = self._query(f"budget#{budget}#{period}", prefix="key#")
        spends = [
            KeySpend(row["sk"]["S"].removeprefix("key#"), _number(row, "nano_usd")) for row in rows
        ]
        return tuple(sorted(spends, key=lambda each: (-each.nano_usd, each.key_id))[:most])

    def fired(self, budget: str, period: str) -> list[FiredRung]:
        """Return the rungs that fired in the period."""
        return [_fired_rung(row) for row in self._query(f"rungs#{budget}#{period}")]

    def fire(self, budget: str, period: str, key: RungKey, alert: str, now: datetime) -> bool:
        """Write down that a rung fires, its alert pending; False if it had fired before."""
        item = {
            **_rung_key(budget, period, key),
            "status": {"S": "pending"},
            "alert": {"S": alert},
            "fired_at": {"S": utc_text(now)},
        }
        try:
            self._client.put_item(
                TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(pk)"
            )
        except ClientError as error:
            if _code(error) == "ConditionalCheckFailedException":
                return False
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return True

    def mark_sent(self, budget: str, period: str, key: RungKey) -> None:
        """Write down that a fired rung's alert is on its topic."""
        self._call(
            "update_item",
            Key=_rung_key(budget, period, key),
            UpdateExpression="SET #status = :sent",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":sent": {"S": "sent"}},
        )

    def _query(self, pk: str, prefix: str = "") -> Iterable[dict[str, Any]]:
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
        )
        try:
            for page in pages:
                yield from page["Items"]
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from error

    def _call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(
                TableName=self._table, **request
            )
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from error
        return answer


class _MarkersExistError(Exception):
    def __init__(self, pack_ids: list[str]) -> None:
        super().__init__(pack_ids)
        self.pack_ids = pack_ids


class _ConflictError(Exception):
    pass


class _RefusedError(UnavailableError):
    """AWS did not take the transaction as it is; another one may pass."""


def _batches(postings: Sequence[Posting]) -> Iterable[Batch]:
    """Yield groups of packs that fit one transaction; a pack id stands in one group once."""
    batch: Batch = {}
    keys: set[ItemKey] = set()
    for each in {each.pack_id: each for each in postings}.values():
        together = keys.union(each.added)
        if batch and len(batch) + 1 + len(together) > MAX_TRANSACTION_ITEMS:
            yield batch
            batch, together = {}, set(each.added)
        batch[each.pack_id] = each.added
        keys = together
    if batch:
        yield batch


def _transaction_error(error: ClientError, pack_ids: list[str]) -> Exception:
    reasons = [each.get("Code") for each in error.response.get("CancellationReasons", ())]
    # The markers stand first in the transaction, in the order of the packs.
    known = [
        pack_id
        for pack_id, reason in zip(pack_ids, reasons, strict=False)
        if reason == "ConditionalCheckFailed"
    ]
    if known:
        return _MarkersExistError(known)
    if _RETRIED.intersection(reasons) or _code(error) in _TRY_LATER:
        return _ConflictError()
    return _RefusedError(f"the ledger table refused: {error}")


def _cut(text: str, most_bytes: int) -> str:
    """Return text that DynamoDB takes: encodable, and no longer than that; says if it was cut."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most_bytes:
        return encoded.decode()
    kept = encoded[:most_bytes].decode(errors="ignore")
    return f"{kept}... ({len(encoded) - most_bytes} bytes more)"


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(f"the ledger table refused: {error}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _counter_key(budget: str, period: str, share: str) -> dict[str, Any]:
    return {"pk": {"S": f"budget#{budget}#{period}"}, "sk": {"S": share}}


def _rung_key(budget: str, period: str, key: RungKey) -> dict[str, Any]:
    return {"pk": {"S": f"rungs#{budget}#{period}"}, "sk": {"S": str(key)}}


def _fired_rung(row: Mapping[str, Any]) -> FiredRung:
    percent, limit_nano_usd, allowance = (int(part) for part in row["sk"]["S"].split("#"))
    return FiredRung(
        key=RungKey(percent, limit_nano_usd, allowance),
        status=row["status"]["S"],
        alert=row["alert"]["S"],
        fired_at=parse_utc(row["fired_at"]["S"]),
    )


def _number(item: Mapping[str, Any], name: str) -> int:
    return int(item.get(name, {}).get("N", 0))
