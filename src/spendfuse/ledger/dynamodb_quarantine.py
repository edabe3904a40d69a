"""The quarantine as rows of the ledger's table: ``quarantine#<day>``, one row a record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import InputError
from spendfuse.ledger import rows
from spendfuse.ledger.dynamodb import DynamoTable
from spendfuse.ledger.quarantine import Quarantined
from spendfuse.ledger.table import Item

logger = logging.getLogger(__name__)


class DynamoQuarantine:
    """Reads what lies in quarantine, and notes what was sent again."""

    def __init__(self, client: Any, table: str) -> None:
        self._table = DynamoTable(client, table)

    def of_days(self, now: datetime, days: int) -> Iterator[Quarantined]:
        """Yield what was put there today (UTC) and on the days before it, the newest day first.

        One after the other as they are read: there may be more than fit the memory.

        Raises:
            UnavailableError: the table can't be read.
        """
        for back in range(days):
            yield from self.of_day(now - timedelta(days=back))

    def of_day(self, at: datetime) -> Iterator[Quarantined]:
        """Yield what was put there on that day (UTC), in no order that means anything.

        Raises:
            UnavailableError: the table can't be read.
        """
        day = f"{at:%Y-%m-%d}"
        for row in self._table.query(rows.quarantine_pk(day)):
            try:
                yield _quarantined(day, row)
            except (InputError, ValueError, KeyError) as error:
                logger.warning("the row %s of %s can't be read: %r", row["sk"], day, error)

    def mark_retried(self, record: Quarantined, now: datetime) -> None:
        """Note that the record was sent again; it stays where it is.

        Raises:
            UnavailableError: not certain to have been noted; the record may be sent once more.
        """
        self._table.update(
            Key=rows.quarantine_key(record.day, record.pack_id, record.position),
            UpdateExpression="SET retried_at = :now",
            ExpressionAttributeValues={":now": {"S": utc_text(now)}},
        )


def _quarantined(day: str, row: Item) -> Quarantined:
    pack_id, _, position = row["sk"]["S"].rpartition("#")
    return Quarantined(
        day=day,
        pack_id=pack_id,
        position=int(position),
        reason=row["reason"]["S"],
        record=row["record"]["S"],
        quarantined_at=_time(row, "quarantined_at"),
        retried_at=_time(row, "retried_at"),
    )


def _time(row: Item, name: str) -> datetime | None:
    return parse_utc(row[name]["S"]) if name in row else None
