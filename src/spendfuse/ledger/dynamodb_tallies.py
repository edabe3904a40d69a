"""Tallies in the ledger's table, folded into books.

Whoever folds needs GetItem, PutItem, UpdateItem, Query and BatchWriteItem on the table (the last
to delete rows of the logs; nothing else is deleted). Whoever only reads needs GetItem and Query.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from spendfuse.ledger.dynamodb import DynamoTable
from spendfuse.ledger.series_state import SeriesState
from spendfuse.ledger.share_books import Top
from spendfuse.ledger.tallies import Tallies

__all__ = ["DynamoTallies", "SeriesState", "Top"]


class DynamoTallies(Tallies):
    """``Tallies`` in DynamoDB."""

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(DynamoTable(client, table, sleep=sleep))
