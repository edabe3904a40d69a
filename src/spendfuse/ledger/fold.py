"""Folds a log into its book: rows that wait are added to it, each exactly once.

The rows that a fold takes are frozen by their keys in the log's *fold row*, under the fold's
number. Whoever folds then adds them to each part of the book, under the condition that the part
has not had this number yet; notes in the fold row that all is added; and deletes the rows. A
crash anywhere leaves a fold that the next run goes on with: what was added is not added again.
The next fold begins only when the rows of the last one are gone.

A folder claims a fold while it works, so that two at once don't do the same twice. That saves work
and keeps figures from being published twice; the books would be right without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import rows
from spendfuse.ledger.table import Item, Table
from spendfuse.ledger.tally_pieces import Log, packed, unpacked

logger = logging.getLogger(__name__)

MOST_ROWS = 500
MOST_BYTES = 2_000_000
"""Compressed; what a fold reads must fit a function's memory many times over."""
CLAIMED = timedelta(seconds=55)
"""Longer than a function that folds may run, and less than until it runs next."""
_STILL_OPEN = "attribute_not_exists(folded_at)"

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class FoldRow:
    """The last fold of a log, as it stands in the table."""

    number: int = 0
    """0: there was none."""
    keys: tuple[str, ...] = ()
    """The ``sk`` of the rows that it takes."""
    is_done: bool = True
    """All is in the book; some rows may not be deleted yet."""
    claimed_at: str = ""


@dataclass(frozen=True)
class Fold(Generic[Content]):
    """Folds one log; ``read`` turns a row's data into its content, or raises an InputError."""

    table: Table
    log: Log
    read: Callable[[bytes], Content]
    parts: Callable[[Content], Iterable[Hashable]]
    """What adding a row's content has to touch; what several rows touch is one part."""
    most_parts: int
    """Of a fold; its last row may exceed it."""

    def run(
        self,
        now: datetime,
        *,
        wait: timedelta,
        add: Callable[[int, Mapping[str, Content]], None],
    ) -> int:
        """Fold once what waits, or go on with the open fold; return how many rows it had.

        Args:
            now: the current time.
            wait: how long rows may wait for company, where they don't fill a fold.
            add: adds rows to the book, once under one number. Where it raises, the fold stays
                open, and the next run goes on with it.

        Returns:
            0 where nothing waits, nothing is due, or another folder is at it.
        """
        last = self.last()
        taken = self._begun(last, now, wait) if last.is_done else self._reopened(last, now)
        if taken is None:
            return 0
        number, found = taken
        try:
            add(number, found)
        except Exception:
            self._release(number)
            raise
        self._update_open(number, "SET folded_at = :now", {":now": {"S": utc_text(now)}})
        self._delete(found)
        return len(found)

    def last(self) -> FoldRow:
        """Return the log's last fold.

        Raises:
            UnavailableError: the table can't be read, or the row can't.
        """
        item = self.table.get(rows.fold_key(self.log))
        if item is None:
            return FoldRow()
        try:
            keys = tuple(unpacked(item["fold_keys"]["B"])["keys"])
        except InputError as error:
            raise UnavailableError(f"the fold row of {self.log} can't be read: {error}") from error
        claimed_at = item.get("claimed_at", {}).get("S", "")
        return FoldRow(int(item["fold_number"]["N"]), keys, "folded_at" in item, claimed_at)

    def unfolded(self, last: FoldRow) -> dict[str, Content]:
        """Return the rows that are not wholly folded: those of an open fold, and those waiting."""
        done = frozenset(last.keys if last.is_done else ())
        found = {}
        for item in self.table.query(rows.log_pk(self.log)):
            content = None if _sk(item) in done else self._readable(item)
            if content is not None:
                found[_sk(item)] = content
        return found

    def oldest(self) -> datetime | None:
        """Return when the oldest of the rows that are not wholly folded was written, if any is."""
        last = self.last()
        done = frozenset(last.keys if last.is_done else ())
        waiting = map(_sk, self.table.query(rows.log_pk(self.log)))
        sk = next((sk for sk in waiting if sk not in done), None)
        return None if sk is None else rows.logged_at(sk)

    def _begun(
        self, last: FoldRow, now: datetime, wait: timedelta
    ) -> tuple[int, Mapping[str, Content]] | None:
        left, found, is_full = self._left_and_waiting(last)
        self._delete(left)
        if not found or not (is_full or now - rows.logged_at(min(found)) >= wait):
            return None
        number = last.number + 1
        item = {
            **rows.fold_key(self.log),
            "fold_number": {"N": str(number)},
            "fold_keys": {"B": packed({"keys": list(found)})},
            "claimed_at": {"S": utc_text(now)},
        }
        condition = {"ConditionExpression": rows.NEW} if last.number == 0 else _number_is(last)
        is_ours = self.table.write_if("put_item", Item=item, **condition)
        return (number, found) if is_ours else None

    def _left_and_waiting(self, last: FoldRow) -> tuple[list[str], dict[str, Content], bool]:
        """Return what the last fold left behind when it died, and the oldest rows that wait.

        And whether these fill a fold.
        """
        gone, end = frozenset(last.keys), max(last.keys, default="")
        left: list[str] = []
        found: dict[str, Content] = {}
        parts: set[Hashable] = set()
        size, is_full = 0, False
        for item in self.table.query(rows.log_pk(self.log)):
            sk = _sk(item)
            if sk in gone:
                left.append(sk)
            elif not (is_full := self._is_full(len(found), size, len(parts))):
                content = self._readable(item)
                if content is not None:
                    found[sk] = content
                    size += len(item["data"]["B"])
                    parts.update(self.parts(content))
            elif sk > end:
                break
        return left, found, is_full

    def _is_full(self, count: int, size: int, parts: int) -> bool:
        return count >= MOST_ROWS or size >= MOST_BYTES or parts >= self.most_parts

    def _reopened(self, last: FoldRow, now: datetime) -> tuple[int, Mapping[str, Content]] | None:
        """Claim a fold that was left open, unless whoever began it may be at it still."""
        values = {":now": {"S": utc_text(now)}}
        if not last.claimed_at:
            condition = "attribute_not_exists(claimed_at)"
        elif now - parse_utc(last.claimed_at) < CLAIMED:
            return None
        else:
            condition = "claimed_at = :claimed_at"
            values[":claimed_at"] = {"S": last.claimed_at}
        if not self._update_open(last.number, "SET claimed_at = :now", values, condition):
            return None
        wanted, end = frozenset(last.keys), max(last.keys)
        found = {}
        for item in self.table.query(rows.log_pk(self.log)):
            if _sk(item) > end:
                break
            if _sk(item) in wanted:
                found[_sk(item)] = self._content(item)
        return last.number, found

    def _release(self, number: int) -> None:
        """Let the next run go on at once; without, it would wait until the claim is over."""
        try:
            self._update_open(number, "REMOVE claimed_at", {})
        except UnavailableError:
            logger.warning("the fold %d of the log %s stays claimed for a minute", number, self.log)

    def _update_open(self, number: int, expression: str, values: Item, *conditions: str) -> bool:
        return self.table.write_if(
            "update_item",
            Key=rows.fold_key(self.log),
            UpdateExpression=expression,
            ConditionExpression=" AND ".join(("fold_number = :number", _STILL_OPEN, *conditions)),
            ExpressionAttributeValues={":number": {"N": str(number)}, **values},
        )

    def _delete(self, sks: Iterable[str]) -> None:
        self.table.delete_all([rows.log_key(self.log, sk) for sk in sks])

    def _content(self, item: Item) -> Content:
        try:
            return self.read(item["data"]["B"])
        except InputError as error:
            raise UnavailableError(f"the log {self.log} can't be folded on: {error}") from error

    def _readable(self, item: Item) -> Content | None:
        try:
            return self.read(item["data"]["B"])
        except InputError as error:
            # It stays where it is: a newer version may have written it, and will read it.
            logger.warning("the row %s of the log %s waits: %s", _sk(item), self.log, error)
            return None


def _number_is(last: FoldRow) -> dict[str, object]:
    return {
        "ConditionExpression": "fold_number = :number",
        "ExpressionAttributeValues": {":number": {"N": str(last.number)}},
    }


def _sk(item: Item) -> str:
    sk: str = item["sk"]["S"]
    return sk
