"""The models and features that have metrics of their own, as one row of the ledger's table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from spendfuse.errors import InputError
from spendfuse.ledger.dynamodb import DynamoTable
from spendfuse.ledger.named_values import (
    NamedValues,
    named_values_from_json,
    named_values_to_json,
)

logger = logging.getLogger(__name__)

_KEY = {"pk": {"S": "named_values"}, "sk": {"S": "named_values"}}


class DynamoNamedValues:
    """Remembers who has a place; two writers at once cost the loser's new values a minute."""

    def __init__(self, client: Any, table: str) -> None:
        self._table = DynamoTable(client, table)

    def after(self, used: Mapping[str, Iterable[str]], today: date) -> dict[str, NamedValues]:
        """Return the places once these values were used today, and write them down if they changed.

        Args:
            used: by dimension; who comes first is served first.
            today: in UTC.

        Raises:
            UnavailableError: not certain to have been written.
        """
        before = self._read()
        named = {
            dimension: before.get(dimension, NamedValues()).after(values, today)
            for dimension, values in used.items()
        }
        changed = {**before, **named}
        if changed != before:
            self._table.put({**_KEY, "data": {"S": named_values_to_json(changed)}})
        return changed

    def _read(self) -> dict[str, NamedValues]:
        row = self._table.get(_KEY)
        if row is None:
            return {}
        try:
            return named_values_from_json(row.get("data", {}).get("S", ""))
        except InputError as error:
            # Metrics are worth more than the order in which they got their places.
            logger.warning("the places are given out anew: %s", error)
            return {}
