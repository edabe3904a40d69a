"""A ``Table`` in memory that knows just the expressions that counting packs uses.

moto needs a second for each large transaction; the tests that try every crash need thousands.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from spendfuse.ledger.table import ConditionsFailedError, Item

_CONDITION = re.compile(r"attribute_(not_)?exists\((\w+)\)")
_SET = re.compile(r"(?:^| )SET (\w+) = (:\w+)")
_ADD = re.compile(r"(?:^ADD |, )(\w+) (:\w+)")
_REMOVE = re.compile(r" REMOVE (.+)$")


class MemoryTable:
    """Takes a transaction wholly or not at all, as DynamoDB does."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def get(self, key: Item) -> Item | None:
        return copy.deepcopy(self.items.get(_key(key)))

    def put(self, item: Item) -> None:
        self.items[_key(item)] = dict(item)

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
        match = _CONDITION.fullmatch(request["ConditionExpression"])
        assert match is not None
        is_there = match[2] in self.items.get(_key(key), {})
        return is_there is not bool(match[1])

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
