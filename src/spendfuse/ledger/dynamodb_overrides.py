"""The budgets in force, as rows of the ledger's table: what is deployed, and what was set since.

An override beats the configured limit until it is removed; a deployment does not touch it. Apps
read all of it in one query, so they see a new limit within seconds and need no file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from spendfuse.budget import Override
from spendfuse.clock import parse_utc, utc_text
from spendfuse.definitions import Definitions
from spendfuse.errors import InputError
from spendfuse.ledger.dynamodb import DynamoTable
from spendfuse.ledger.pack import MAX_ID_BYTES, cut_id
from spendfuse.ledger.table import Item

logger = logging.getLogger(__name__)

_PK = "budgets"
_DEFINITIONS = "definitions"
_OVERRIDE = "override#"


class StoredLimits(NamedTuple):
    """What the table says, read at once."""

    version: str | None
    """Of the definitions; None before the first run of ``watch_budgets``."""
    definitions_json: str | None
    """What ``definitions_from_json`` reads."""
    overrides: dict[tuple[str, str], Override]
    """By (budget, value); an override of a budget that is gone stays until it is removed."""


class DynamoOverrides:
    """Reads and sets limits while everything runs."""

    def __init__(self, client: Any, table: str) -> None:
        self._table = DynamoTable(client, table)
        self._skipped: dict[str, str] = {}

    def limits(self) -> StoredLimits:
        """Return the definitions and all overrides; a row that can't be read is left out.

        Raises:
            UnavailableError: the table can't be read.
        """
        rows = {row["sk"]["S"]: row for row in self._table.query(_PK)}
        version = definitions_json = None
        if _DEFINITIONS in rows:
            try:
                row = rows[_DEFINITIONS]
                version, definitions_json = _text(row, "version"), _text(row, "json")
            except InputError as error:
                self._skip(_DEFINITIONS, error)
        set_since = [row for sk, row in rows.items() if sk.startswith(_OVERRIDE)]
        return StoredLimits(version, definitions_json, self._readable(set_since))

    def overrides(self) -> dict[tuple[str, str], Override]:
        """Return the overrides alone, for whoever knows the definitions; as ``limits`` does.

        Raises:
            UnavailableError: the table can't be read.
        """
        return self._readable(self._table.query(_PK, prefix=_OVERRIDE))

    def put(self, override: Override) -> None:
        """Set a limit, over the one that was set before.

        Raises:
            InputError: it is no limit, or the value is longer than an attribute can be.
            UnavailableError: not certain to have been set.
        """
        where = f"the override of budget {override.budget!r}"
        if override.limit_nano_usd < 0:
            raise InputError(f"{where}: the limit can't be below 0, got {override.limit_nano_usd}")
        if cut_id(override.value) != override.value:
            raise InputError(
                f"{where}: the value {override.value[:80]!r} is no attribute's: it is longer than "
                f"{MAX_ID_BYTES} bytes, or no text"
            )
        item = {
            **_override_key(override.budget, override.value),
            "budget": {"S": override.budget},
            "value": {"S": override.value},
            "limit_nano_usd": {"N": str(override.limit_nano_usd)},
            "by": {"S": _encodable(override.by)},
            "reason": {"S": _encodable(override.reason)},
        }
        if override.at is not None:
            item["at"] = {"S": utc_text(override.at)}
        self._table.put(item)

    def remove(self, budget: str, value: str = "") -> bool:
        """Let the configured limit hold again; False where it did.

        Raises:
            UnavailableError: not certain to have been removed.
        """
        return self._table.delete(_override_key(budget, value))

    def put_definitions(self, definitions: Definitions, now: datetime) -> bool:
        """Write down what is deployed; False where it stands there already.

        The last writer wins: a version says nothing of its age, and going back to an older
        deployment is one too. While a deployment replaces a function, a run of the old one may
        write its version once more; the new one's next run puts that right.

        Raises:
            UnavailableError: not certain to have been written.
        """
        key = {"pk": {"S": _PK}, "sk": {"S": _DEFINITIONS}}
        what = {"version": {"S": definitions.version}, "json": {"S": definitions.to_json()}}
        stored = self._table.get(key) or {}
        if all(stored.get(name) == value for name, value in what.items()):
            return False
        self._table.put({**key, **what, "written_at": {"S": utc_text(now)}})
        return True

    def _readable(self, rows: Iterable[Item]) -> dict[tuple[str, str], Override]:
        found: dict[tuple[str, str], Override] = {}
        for row in rows:
            try:
                override = _override(row)
            except InputError as error:
                self._skip(row["sk"]["S"], error)
            else:
                found[override.budget, override.value] = override
        return found

    def _skip(self, sk: str, error: InputError) -> None:
        reason = str(error)
        # Apps read every few seconds: each trouble is said once.
        if self._skipped.get(sk) != reason:
            logger.warning("the row %s / %s is passed over: %s", _PK, sk, reason)
            self._skipped[sk] = reason


def _override_key(budget: str, value: str) -> Item:
    return {"pk": {"S": _PK}, "sk": {"S": f"{_OVERRIDE}{budget}#{value}"}}


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _override(row: Item) -> Override:
    budget, value = _text(row, "budget"), _text(row, "value")
    if row["sk"] != _override_key(budget, value)["sk"]:
        raise InputError(f"it is about budget {budget!r} and value {value!r}, not about its key's")
    return Override(
        budget=budget,
        value=value,
        limit_nano_usd=_limit(row),
        by=_text(row, "by", ""),
        reason=_text(row, "reason", ""),
        at=parse_utc(_text(row, "at")) if "at" in row else None,
    )


def _limit(row: Item) -> int:
    text = _typed(row, "limit_nano_usd", "N", None)
    if not text.isdecimal():
        raise InputError(f"limit_nano_usd: expected a whole number of nano-dollars, got {text!r}")
    return int(text)


def _text(row: Item, name: str, default: str | None = None) -> str:
    return _typed(row, name, "S", default)


def _typed(row: Mapping[str, Any], name: str, kind: str, default: str | None) -> str:
    value = row.get(name, {}).get(kind, default)
    if not isinstance(value, str):
        raise InputError(f"{name}: expected DynamoDB's type {kind}, got {row.get(name)!r}")
    return value
