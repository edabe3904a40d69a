"""What AWS would charge for calls of DynamoDB: the units of each, by the sizes of real items.

A client that hands on to another one, and counts as AWS documents it: a begun KB written is a unit,
4 KB read consistently is one, and a transaction pays double.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

Item = Mapping[str, Mapping[str, Any]]


def item_bytes(item: Item) -> int:
    """Return the size of an item as AWS counts it: the names of its attributes and their values."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "N":
        return len(content.lstrip("-").strip("0")) // 2 + 2
    return len(content.encode() if kind == "S" else content)


class ChargedClient:
    """A boto3 client of DynamoDB with a meter."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.written = self.read = self.calls = 0

    def reset(self) -> None:
        self.written = self.read = self.calls = 0

    def get_item(self, **request: Any) -> Any:
        answer = self._client.get_item(**request)
        self._reads(item_bytes(answer.get("Item", {})))
        return answer

    def put_item(self, **request: Any) -> Any:
        self._writes(item_bytes(request["Item"]))
        return self._client.put_item(**request)

    def update_item(self, **request: Any) -> Any:
        before = self._stored(request)
        answer = self._client.update_item(**request)
        # The larger of the item before and after.
        self._writes(max(before, self._stored(request)))
        return answer

    def delete_item(self, **request: Any) -> Any:
        self._writes(self._stored(request))
        return self._client.delete_item(**request)

    def batch_write_item(self, **request: Any) -> Any:
        self.calls += 1
        for table, writes in request["RequestItems"].items():
            for write in writes:
                key = write["DeleteRequest"]["Key"]
                self.written += _units(self._stored({"TableName": table, "Key": key}), 1024)
        return self._client.batch_write_item(**request)

    def transact_write_items(self, **request: Any) -> Any:
        answer = self._client.transact_write_items(**request)
        self.calls += 1
        for write in request["TransactItems"]:
            ((operation, inner),) = write.items()
            size = item_bytes(inner["Item"]) if operation == "Put" else self._stored(inner)
            self.written += 2 * _units(size, 1024)
        return answer

    def get_paginator(self, name: str) -> ChargedPaginator:
        return ChargedPaginator(self, self._client.get_paginator(name))

    def _stored(self, request: Mapping[str, Any]) -> int:
        answer = self._client.get_item(TableName=request["TableName"], Key=request["Key"])
        return item_bytes(answer.get("Item", {}))

    def _reads(self, size: int) -> None:
        self.calls += 1
        self.read += _units(size, 4096)

    def _writes(self, size: int) -> None:
        self.calls += 1
        self.written += _units(size, 1024)


class ChargedPaginator:
    def __init__(self, client: ChargedClient, paginator: Any) -> None:
        self._client = client
        self._paginator = paginator

    def paginate(self, **request: Any) -> Iterator[Any]:
        for page in self._paginator.paginate(**request):
            self._client._reads(sum(item_bytes(item) for item in page["Items"]))
            yield page


def _units(size: int, of_a_unit: int) -> int:
    return max(1, math.ceil(size / of_a_unit))
