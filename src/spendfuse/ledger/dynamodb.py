"""The ledger in one DynamoDB table; ``ledger.rows`` says what is in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.clock import utc_text
from spendfuse.errors import UnavailableError
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger import rows
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.pack import Pack, RejectedRecord
from spendfuse.ledger.post_packs import PostPacks
from spendfuse.ledger.posting import Posting, share_of
from spendfuse.ledger.rung_store import RungStore
from spendfuse.ledger.table import ConditionsFailedError, ConflictError, Item, WriteRefusedError

# An item holds 400 KB at most.
_REASON_BYTES, _RECORD_BYTES = 1_000, 300_000
MOST_QUARANTINED = 100
"""Of one pack: a message can hold half a million of them, and a function has half a minute."""
_MOST_BATCHED = 25
"""AWS's limit for one BatchWriteItem call."""
_BATCH_ATTEMPTS = 6
_CONDITION = "ConditionalCheckFailed"
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


class DynamoTable:
    """A ``Table`` in DynamoDB: every refusal of AWS becomes one of ours."""

    def __init__(
        self, client: Any, name: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    def get(self, key: Item) -> Item | None:
        item: Item | None = self._call("get_item", Key=key, ConsistentRead=True).get("Item")
        return item

    def put(self, item: Item) -> None:
        self._call("put_item", Item=item)

    def delete(self, key: Item) -> bool:
        """Delete the item; False if there was none."""
        answer = self._call("delete_item", Key=key, ReturnValues="ALL_OLD")
        return bool(answer.get("Attributes"))

    def delete_all(self, keys: Sequence[Item]) -> None:
        for start in range(0, len(keys), _MOST_BATCHED):
            requests = [{"DeleteRequest": {"Key": key}} for key in keys[start:][:_MOST_BATCHED]]
            self._batch_write(requests)

    def _batch_write(self, requests: Sequence[Item]) -> None:
        for attempt in range(_BATCH_ATTEMPTS):
            with _our_errors():
                answer = self._client.batch_write_item(RequestItems={self._name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self._name, [])
            if not requests:
                return
            self._sleep(0.05 * 2**attempt)
        raise UnavailableError(f"the ledger table left {len(requests)} rows undeleted; it is busy")

    def update(self, **request: Any) -> None:
        self._call("update_item", **request)

    def write_if(self, operation: str, **request: Any) -> bool:
        try:
            self._call(operation, **request)
        except _ConditionFailedError:
            return False
        return True

    def transact(self, writes: Sequence[tuple[str, Item]]) -> None:
        items = [{operation: {"TableName": self._name, **request}} for operation, request in writes]
        try:
            self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            raise _transaction_error(error) from error
        except BotoCoreError as error:
            raise UnavailableError(f"the ledger table can't be reached: {error}") from error

    def query(self, pk: str, prefix: str = "") -> Iterator[Item]:
        """Yield the items of ``pk``, read consistently, whose ``sk`` begins with ``prefix``."""
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        with _our_errors():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
            )
            for page in pages:
                yield from page["Items"]

    def _call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        with _our_errors():
            answer: Mapping[str, Any] = getattr(self._client, operation)(
                TableName=self._name, **request
            )
        return answer


class DynamoLedger:
    """Counts packs; its ``rungs`` remembers which rungs have fired."""

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = DynamoTable(client, table, sleep=sleep)
        self._post_packs = PostPacks(self._table, sleep)
        self.rungs = RungStore(self._table)

    def post(self, postings: Sequence[Posting], now: datetime) -> int:
        """Count each pack once, however large it is, and return how many were new.

        A large pack is counted in steps, and goes on where it stopped when it is posted again.

        Raises:
            UnavailableError: the table refused; the same packs may be posted again.
        """
        return self._post_packs(postings, now)

    def quarantine(self, pack: Pack, now: datetime) -> tuple[RejectedRecord, ...]:
        """Keep the pack's rejected records with their reasons; again is the same.

        Nothing of a pack that was counted: what is rejected goes by when a pack comes, too, and a
        record that counted when it first came would count once more when retried from here.

        Returns:
            Those that are not kept there whole: too many, too large, or nested too deeply.

        Raises:
            UnavailableError: not all were kept.
        """
        kept = pack.rejected[:MOST_QUARANTINED]
        is_known = self._table.get(rows.pack_key(pack.id)) is not None
        for rejected in () if is_known else kept:
            self._table.put(
                {
                    # By the day of receipt, so that a pack delivered twice leaves one row.
                    **rows.quarantine_key(
                        f"{pack.received_at:%Y-%m-%d}", pack.id, rejected.position
                    ),
                    "reason": {"S": _cut(rejected.reason, _REASON_BYTES)},
                    "record": {"S": _cut(rejected.raw, _RECORD_BYTES)},
                    "quarantined_at": {"S": utc_text(now)},
                }
            )
        cut = [each for each in kept if not 0 < _size(each.raw) <= _RECORD_BYTES]
        return (*cut, *pack.rejected[MOST_QUARANTINED:])

    def total(self, budget: str, period: str) -> Delta:
        """Return what the budget has counted in the period; zero where nothing was."""
        return self._counted(ItemKey(budget, period))

    def spent(self, budget: str, period: str, value: str = "") -> int:
        """Return what was spent in nano-dollars: by one value of a ``per`` budget, or in all.

        A ``per`` budget counts its values alone: in all it has spent nothing.

        Raises:
            UnavailableError: the table can't be read.
        """
        return self._counted(ItemKey(budget, period, share_of(value))).nano_usd

    def _counted(self, key: ItemKey) -> Delta:
        return rows.counted(self._table.get(rows.counter_key(key)))

    def dearest_keys(self, budget: str, period: str, *, most: int) -> tuple[KeySpend, ...]:
        """Return the API keys that spent the most on the budget in the period."""
        found = self._table.query(f"budget#{budget}#{period}", prefix="key#")
        spends = [
            KeySpend(row["sk"]["S"].removeprefix("key#"), rows.counted(row).nano_usd)
            for row in found
        ]
        return tuple(sorted(spends, key=lambda each: (-each.nano_usd, each.key_id))[:most])


class _ConditionFailedError(Exception):
    pass


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code == f"{_CONDITION}Exception":
            raise _ConditionFailedError from error
        kind = ConflictError if code in _TRY_LATER else UnavailableError
        raise kind(f"the ledger table refused: {error}") from error
    except BotoCoreError as error:
        raise UnavailableError(f"the ledger table can't be reached: {error}") from error


def _transaction_error(error: ClientError) -> Exception:
    reasons = [each.get("Code") for each in error.response.get("CancellationReasons", ())]
    failed = [position for position, reason in enumerate(reasons) if reason == _CONDITION]
    if failed:
        return ConditionsFailedError(failed)
    if _RETRIED.intersection(reasons) or _code(error) in _TRY_LATER:
        return ConflictError(f"the ledger table refused for now: {error}")
    return WriteRefusedError(f"the ledger table refused: {error}")


def _cut(text: str, most_bytes: int) -> str:
    """Return text that DynamoDB takes: encodable, and no longer than that; says if it was cut."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most_bytes:
        return encoded.decode()
    kept = encoded[:most_bytes].decode(errors="ignore")
    return f"{kept}... ({len(encoded) - most_bytes} bytes more)"


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
