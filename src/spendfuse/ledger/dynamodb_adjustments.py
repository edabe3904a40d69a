"""Adjustments as rows of the ledger's table: each is its own marker, and the trail that stays.

``pk = adjustments``, ``sk = <id>``; the row goes in with what it adds, in one transaction, and
never expires.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from spendfuse.budget import Budget
from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import rows
from spendfuse.ledger.adjustment import Adjustment
from spendfuse.ledger.conflicts import past_conflicts
from spendfuse.ledger.counters import TOTAL, Delta, ItemKey
from spendfuse.ledger.dynamodb import DynamoTable
from spendfuse.ledger.plan import MAX_TRANSACTION_ITEMS
from spendfuse.ledger.table import ConditionsFailedError, Item
from spendfuse.ledger.tally_pieces import share_pieces
from spendfuse.money import display_usd

_PK = "adjustments"
_DIGEST_CHARACTERS = 32
_ENOUGH = "nano_usd >= :least"


class BelowZeroError(InputError):
    """More would be taken away than was counted; nothing was posted."""


class DynamoAdjustments:
    """Posts adjustments, each once, and lists them."""

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = DynamoTable(client, table)
        self._sleep = sleep

    def post(self, adjustment: Adjustment, budgets: Sequence[Budget]) -> bool:
        """Count an adjustment on all that it matches; False if it was posted already.

        Raises:
            InputError: another adjustment has this id, or it counts on more than fits.
            BelowZeroError: a counter would fall below 0.
            UnavailableError: not certain to have been posted; it may be posted again.
        """
        added = sorted(adjustment.added(budgets).items())
        writes = [_entry(adjustment), *_log_rows(adjustment, [key for key, _ in added])]
        counters_from = len(writes)
        writes += [_addition(key, delta) for key, delta in added]
        if len(writes) > MAX_TRANSACTION_ITEMS:
            raise InputError(
                f"the adjustment counts on {len(added)} counters, and one transaction holds "
                f"{MAX_TRANSACTION_ITEMS - counters_from}; post it with fewer attributes, so "
                "that fewer budgets match"
            )
        try:
            # Recorders add to the same totals all the time.
            past_conflicts(partial(self._table.transact, writes), self._sleep)
        except ConditionsFailedError as error:
            if 0 in error.positions:
                return self._is_ours(adjustment)
            keys = [added[position - counters_from][0] for position in error.positions]
            raise BelowZeroError(below_zero_text(adjustment.nano_usd, self.counted(keys))) from None
        return True

    def find(self, adjustment_id: str) -> Adjustment | None:
        """Return the adjustment of that id, if it was posted.

        Raises:
            UnavailableError: the table can't be read.
        """
        row = self._table.get(_key(adjustment_id))
        return _adjustment(row) if row else None

    def all(self) -> Iterator[Adjustment]:
        """Yield all that were ever posted.

        Raises:
            UnavailableError: the table can't be read.
        """
        return map(_adjustment, self._table.query(_PK))

    def counted(self, keys: Iterable[ItemKey]) -> dict[ItemKey, int]:
        """Return the nano-dollars that stand on the counters now.

        Raises:
            UnavailableError: the table can't be read.
        """
        return {key: rows.counted(self._table.get(rows.counter_key(key))).nano_usd for key in keys}

    def _is_ours(self, adjustment: Adjustment) -> bool:
        """Return whether what stands there is this very posting, whose answer was lost.

        Raises:
            InputError: it is another adjustment.
        """
        there = self.find(adjustment.id)
        if there is None:
            raise UnavailableError(f"adjustment {adjustment.id} was there and is gone; try again")
        check_same(there, adjustment)
        mine = (adjustment.by, utc_text(adjustment.posted_at))
        return (there.by, utc_text(there.posted_at)) == mine


def check_same(there: Adjustment, adjustment: Adjustment) -> None:
    """Raise where an adjustment's id is another's already.

    Raises:
        InputError: names what stands there.
    """
    if not there.says_the_same(adjustment):
        raise InputError(
            f"adjustment {there.id} was posted already, and says something else: "
            f"{display_usd(there.nano_usd)} at {utc_text(there.at)} for "
            f"{dict(there.attributes)}: {there.reason}; take another --id"
        )


def below_zero_text(nano_usd: int, counted: Mapping[ItemKey, int]) -> str:
    """Return the sentence that refuses to take away more than was counted."""
    what = ", ".join(
        f"{key.budget} in {key.period}{_share_text(key)} has {display_usd(spent)}"
        for key, spent in sorted(counted.items())
    )
    return f"{display_usd(nano_usd)} would bring a counter below 0, so nothing was posted: {what}"


def _share_text(key: ItemKey) -> str:
    return "" if key.share == TOTAL else f" of {key.share.partition('#')[2]!r}"


def _key(adjustment_id: str) -> Item:
    return {"pk": {"S": _PK}, "sk": {"S": adjustment_id}}


def _entry(adjustment: Adjustment) -> tuple[str, Item]:
    row = {
        **_key(adjustment.id),
        "nano_usd": {"N": str(adjustment.nano_usd)},
        "attributes": {"S": json.dumps(dict(adjustment.attributes), ensure_ascii=False)},
        "at": {"S": utc_text(adjustment.at)},
        "reason": {"S": adjustment.reason},
        "by": {"S": adjustment.by},
        "posted_at": {"S": utc_text(adjustment.posted_at)},
    }
    return "Put", {"Item": row, "ConditionExpression": rows.NEW}


def _log_rows(adjustment: Adjustment, keys: Sequence[ItemKey]) -> Iterator[tuple[str, Item]]:
    """Yield the writes that leave what it adds to the shares to be folded."""
    digest = hashlib.sha256(f"{_PK}#{adjustment.id}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
    for number, data in enumerate(share_pieces(adjustment.tally(keys).shares)):
        yield rows.logging("shares", adjustment.posted_at, digest, number, data)


def _addition(key: ItemKey, delta: Delta) -> tuple[str, Item]:
    """Return the write that adds to one counter, where enough is there to take it from."""
    operation, request = rows.addition(key, delta)
    if delta.nano_usd >= 0:
        return operation, request
    least = {":least": {"N": str(-delta.nano_usd)}}
    values = {**request["ExpressionAttributeValues"], **least}
    return operation, {
        **request,
        "ConditionExpression": _ENOUGH,
        "ExpressionAttributeValues": values,
    }


def _adjustment(row: Item) -> Adjustment:
    return Adjustment(
        id=row["sk"]["S"],
        nano_usd=int(row["nano_usd"]["N"]),
        attributes=json.loads(row["attributes"]["S"]),
        at=parse_utc(row["at"]["S"]),
        reason=row["reason"]["S"],
        by=row["by"]["S"],
        posted_at=parse_utc(row["posted_at"]["S"]),
    )
