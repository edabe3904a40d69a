"""The guard's table in moto, as the ledger stack makes it, and clients that stage what moto can't.

moto is no database: it takes one call at a time, and no two transactions of it ever meet. What
AWS answers when they do is staged by ``Refusing``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from aws_tables import aws
from botocore.exceptions import ClientError
from moto import mock_aws

from spendfuse.guard.stores.dynamodb import DynamoStore

TABLE = "guard"


class WallClock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def let_pass(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Serial:
    """A client whose calls come one after the other, as moto needs them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            with self._lock:
                return getattr(self._client, operation)(**request)

        return call


class Watched:
    """A client that keeps what it was asked, and does what a test says before a call of a kind."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.before: dict[str, list[Callable[[], None]]] = {}
        """By operation: what happens before its next calls, in order."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self.calls.append((operation, request))
            waiting = self.before.get(operation)
            if waiting:
                waiting.pop(0)()
            return getattr(self._client, operation)(**request)

        return call

    def count(self, operation: str) -> int:
        return sum(each == operation for each, _ in self.calls)


def refuse(code: str, *reasons: str) -> Callable[[], None]:
    """Return what AWS answers instead of taking a call."""

    def answer() -> None:
        response: dict[str, Any] = {"Error": {"Code": code, "Message": "as AWS says it"}}
        if reasons:
            response["CancellationReasons"] = [{"Code": each} for each in reasons]
        raise ClientError(response, "TransactWriteItems")

    return answer


def cancel(*reasons: str) -> Callable[[], None]:
    """Return the answer to a transaction with these reasons, one for each of its items."""
    return refuse("TransactionCanceledException", *reasons)


@cache
def _client() -> Any:
    """One for all tests: it takes longer to make than most of them last."""
    return aws("dynamodb")


def make_guard_table() -> None:
    names = ("pk", "sk", "held_of")
    _client().create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            *({"AttributeName": each, "AttributeType": "S"} for each in names),
            {"AttributeName": "held_until", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "Held",
                "KeySchema": [
                    {"AttributeName": "held_of", "KeyType": "HASH"},
                    {"AttributeName": "held_until", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


@contextmanager
def guard_table() -> Iterator[Any]:
    """Make the table; yields a client."""
    with mock_aws():
        make_guard_table()
        yield Serial(_client())


def guard_items(client: Any) -> Sequence[Mapping[str, Any]]:
    items: Sequence[Mapping[str, Any]] = client.scan(TableName=TABLE)["Items"]
    return items


def empty(client: Any) -> None:
    """Delete everything, as somebody may who means another table."""
    for item in guard_items(client):
        client.delete_item(TableName=TABLE, Key={name: item[name] for name in ("pk", "sk")})


def a_store(client: Any, clock: Callable[[], datetime]) -> DynamoStore:
    return DynamoStore(client, TABLE, deployment="acme", now=clock, sleep=lambda seconds: None)
