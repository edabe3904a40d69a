"""What the ledger's table remembers of rungs: that they fired, and how limits were first seen.

All of one budget's period is in the partition ``rungs#<budget>#<period>``: a row for each rung
that fired, and one for each limit that was in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from spendfuse.clock import parse_utc, utc_text
from spendfuse.ledger import rows
from spendfuse.ledger.rungs import FiredRung, RungHistory, RungKey, Sighting
from spendfuse.ledger.table import Item


class RungTable(Protocol):
    """What is needed of the table; ``ledger.dynamodb`` keeps it, and says how it refuses."""

    def query(self, pk: str, prefix: str = "") -> Iterator[Item]:
        """Yield the partition's items, read consistently."""
        ...

    def update(self, **request: Any) -> None:
        """Update one item."""
        ...

    def write_if(self, operation: str, **request: Any) -> bool:
        """Write one item under the request's condition; False where it does not hold."""
        ...


class RungStore:
    """Remembers which rungs have fired, and which limits were seen.

    Every call raises ``UnavailableError`` where the table refuses, and may be made again.
    """

    def __init__(self, table: RungTable) -> None:
        self._table = table

    def history(self, budget: str, period: str) -> RungHistory:
        """Return what is remembered of the period."""
        fired, sightings = [], []
        for row in self._table.query(f"rungs#{budget}#{period}"):
            if row["sk"]["S"].startswith(rows.SIGHTING):
                sightings.append(_sighting(row))
            else:
                fired.append(_fired_rung(row))
        return RungHistory(tuple(fired), tuple(sightings))

    def fire(self, budget: str, period: str, fired: FiredRung) -> bool:
        """Write down that a rung fires; False if it had fired before.

        An order replaces an alert that had none: the one before it only informed.
        """
        condition: Item = {"ConditionExpression": rows.NEW}
        if fired.orders:
            condition = {
                "ConditionExpression": f"{rows.NEW} OR orders = :no",
                "ExpressionAttributeValues": {":no": {"BOOL": False}},
            }
        item = {
            **rows.rung_key(budget, period, fired.key),
            "status": {"S": fired.status},
            "alert": {"S": fired.alert},
            "fired_at": {"S": utc_text(fired.fired_at)},
            "orders": {"BOOL": fired.orders},
        }
        return self._table.write_if("put_item", Item=item, **condition)

    def mark_sent(self, budget: str, period: str, key: RungKey, *, orders: bool) -> None:
        """Write down that a fired rung's alert is on its topic, with its order or without."""
        self._table.update(
            Key=rows.rung_key(budget, period, key),
            UpdateExpression="SET #status = :sent, orders = :orders",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":sent": {"S": "sent"}, ":orders": {"BOOL": orders}},
        )

    def sight(self, budget: str, period: str, sighting: Sighting) -> bool:
        """Write down the first sight of a limit; False where another watcher was faster."""
        item = {
            **rows.sighting_key(budget, period, sighting.limit_nano_usd),
            "spent_nano_usd": {"N": str(sighting.spent_nano_usd)},
            "seen_at": {"S": utc_text(sighting.seen_at)},
            "turn": {"N": str(sighting.turn)},
            "silent": {"L": [{"N": str(percent)} for percent in sighting.silent]},
        }
        if sighting.told_by is not None:
            item["told_by"] = {"N": str(sighting.told_by)}
        return self._table.write_if("put_item", Item=item, ConditionExpression=rows.NEW)

    def return_to(self, budget: str, period: str, limit_nano_usd: int, turn: int) -> None:
        """Write down that a limit seen before is in force again; what it silences stays."""
        self._table.write_if(
            "update_item",
            Key=rows.sighting_key(budget, period, limit_nano_usd),
            UpdateExpression="SET turn = :turn",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":turn": {"N": str(turn)}},
        )


def _fired_rung(row: Item) -> FiredRung:
    percent, limit_nano_usd, allowance = (int(part) for part in row["sk"]["S"].split("#"))
    return FiredRung(
        key=RungKey(percent, limit_nano_usd, allowance),
        status=row["status"]["S"],
        alert=row["alert"]["S"],
        fired_at=parse_utc(row["fired_at"]["S"]),
        orders=row.get("orders", {}).get("BOOL", True),
    )


def _sighting(row: Item) -> Sighting:
    return Sighting(
        limit_nano_usd=int(row["sk"]["S"].removeprefix(rows.SIGHTING)),
        spent_nano_usd=int(row["spent_nano_usd"]["N"]),
        seen_at=parse_utc(row["seen_at"]["S"]),
        turn=int(row["turn"]["N"]),
        silent=tuple(int(percent["N"]) for percent in row["silent"]["L"]),
        told_by=int(row["told_by"]["N"]) if "told_by" in row else None,
    )
