"""A ``Table`` in memory that knows just the expressions that counting packs uses.

moto needs a second for each large transaction; the tests that try every crash need thousands.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spendfuse.ledger.table import ConditionsFailedError, Item

_EXISTS = re.compile(r"attribute_(not_)?exists\((\w+)\)")
_COMPARED = re.compile(r"(\w+) (=|<) (:\w+)")
_SET = re.compile(r"(?:^| )SET (\w+) = (:\w+)")
_ADD = re.compile(r"(?:^ADD |, )(\w+) (:\w+)")
_REMOVE = re.compile(r"(?:^| )REMOVE (.+)$")


class MemoryTable:
    """Takes a transaction wholly or not at all, as DynamoDB does."""

    def __init__(self, page_size: int = 3) -> None:
        self.page_size = page_size
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def get(self, key: Item) -> Item | None:
        return copy.deepcopy(self.items.get(_key(key)))

    def put(self, item: Item) -> None:
        self.items[_key(item)] = dict(item)

    def query(self, pk: str, prefix: str = "") -> Iterator[Item]:
        """Yield page by page: what is written meanwhile may be seen or not, as in DynamoDB."""
        after = ""
        while True:
            found = sorted(
                sk
                for its_pk, sk in self.items
                if its_pk == pk and sk.startswith(prefix) and sk > after
            )
            if not found:
                return
            page = [copy.deepcopy(self.items[pk, sk]) for sk in found[: self.page_size]]
            after = page[-1]["sk"]["S"]
            yield from page

    def delete_all(self, keys: Sequence[Item]) -> None:
        for key in keys:
            self.items.pop(_key(key), None)

    def write_if(self, operation: str, **request: Any) -> bool:
        kind = {"put_item": "Put", "update_item": "Update"}[operation]
        try:
            self.transact([(kind, request)])
        except ConditionsFailedError:
            return False
        return True

    def transact(self, writes: Sequence[tuple[str, Item]]) -> None:
        assert 0 < len(writes) <= 100
        assert len({_key(request.get("Key") or request["Item"]) for _, request in writes}) == len(
            writes
        )
        failed = [
            position
            for position, (_, request) in enumerate(writes)
            if not self._holds(request.get("Key") or request["Item"], request)
        ]
        if failed:
            raise ConditionsFailedError(failed)
        for kind, request in writes:
            if kind == "Put":
                self.put(request["Item"])
            else:
                self._update(request)

    def _holds(self, key: Item, request: Item) -> bool:
        if "ConditionExpression" not in request:
            return True
        values = request.get("ExpressionAttributeValues", {})
        item = self.items.get(_key(key), {})
        return any(
            all(_is_true(each, item, values) for each in alternative.split(" AND "))
            for alternative in request["ConditionExpression"].split(" OR ")
        )

    def _update(self, request: Item) -> None:
        expression, values = (
            request["UpdateExpression"],
            request["ExpressionAttributeValues"],
        )
        item = self.items.setdefault(_key(request["Key"]), dict(request["Key"]))
        for name, value in _SET.findall(expression):
            item[name] = values[value]
        for name, value in _ADD.findall(expression) if expression.startswith("ADD") else ():
            before = int(item.get(name, {"N": "0"})["N"])
            item[name] = {"N": str(before + int(values[value]["N"]))}
        for names in _REMOVE.findall(expression):
            for name in names.split(", "):
                item.pop(name, None)


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _is_true(condition: str, item: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    if match := _EXISTS.fullmatch(condition):
        return (match[2] in item) is not bool(match[1])
    match = _COMPARED.fullmatch(condition)
    assert match is not None, condition
    if match[1] not in item:
        return False
    mine, other = item[match[1]], values[match[3]]
    if match[2] == "=":
        return bool(mine == other)
    return int(mine["N"]) < int(other["N"])
