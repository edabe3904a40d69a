"""The use case that counts packs in the ledger's table, each once.

Packs that fit one transaction are counted in one, several together: their markers, their counters
and the rows of their tally. A pack that does not fit is counted by a plan. The plan is frozen in
the pack's own marker, so that one put-if-absent tells all three cases apart: a new pack, one that
is being counted, one that was. Then its chunks are counted, each in a transaction with a marker
of its own, and last the plan is taken out of the pack's marker. A crash anywhere needs nothing
but the same pack once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import rows
from spendfuse.ledger.conflicts import past_conflicts
from spendfuse.ledger.counters import ItemKey, merged
from spendfuse.ledger.plan import MAX_TRANSACTION_ITEMS, Chunk, chunk_of, chunks_of, written
from spendfuse.ledger.posting import Posting
from spendfuse.ledger.table import (
    ConditionsFailedError,
    Item,
    Table,
    WriteRefusedError,
)
from spendfuse.ledger.tally import merged_tallies

_USUAL_PIECES = 2
"""Of a batch's tally: one of its shares, one of its series."""
_DIGEST_CHARACTERS = 16

_Answer = TypeVar("_Answer")


@dataclass
class _Progress:
    new: int = 0
    """Packs that were counted by us."""
    marked: list[str] = field(default_factory=list)
    """Packs that had a marker already, or have one with a plan now."""
    large: list[Posting] = field(default_factory=list)
    """Packs that no transaction holds."""
    failures: list[Exception] = field(default_factory=list)


@dataclass(frozen=True)
class PostPacks:
    """Counts packs; ``sleep`` waits between attempts."""

    table: Table
    sleep: Callable[[float], None]

    def __call__(self, postings: Sequence[Posting], now: datetime) -> int:
        """Count each pack once, wholly or (for now) not; return how many were new.

        Raises:
            UnavailableError: the table refused; the same packs may be posted again.
        """
        progress = _Progress()
        unique = {each.pack_id: each for each in postings}.values()
        for batch in _batches(unique):
            try:
                self._count(batch, now, progress)
            except WriteRefusedError as error:
                progress.failures.append(error)
                self._count_one_by_one(batch, now, progress)
        for each in progress.large:
            self._attempt(partial(self._plan, each, now, progress), progress)
        for pack_id in progress.marked:
            self._attempt(partial(self._carry_out, pack_id, now, progress), progress)
        if progress.failures:
            raise progress.failures[0]
        return progress.new

    def _attempt(self, work: Callable[[], None], progress: _Progress) -> None:
        try:
            work()
        except UnavailableError as error:
            # A large pack that is held up holds up none beside it.
            progress.failures.append(error)

    def _count_one_by_one(
        self, batch: Sequence[Posting], now: datetime, progress: _Progress
    ) -> None:
        """Count what can be: a pack that AWS will never take holds up none beside it."""
        for each in batch if len(batch) > 1 else ():
            self._attempt(partial(self._count, [each], now, progress), progress)

    def _count(self, batch: Sequence[Posting], now: datetime, progress: _Progress) -> None:
        left = list(batch)
        while left:
            whole = chunk_of(
                merged(each.added for each in left), merged_tallies(each.tally for each in left)
            )
            if not whole.fits(markers=len(left)):
                self._count_halves(left, now, progress)
                return
            ids = [each.pack_id for each in left]
            writes = [rows.marking(pack_id, now) for pack_id in ids]
            writes += _chunk_writes(whole, now, _digest(*ids))
            try:
                self._retried(partial(self.table.transact, writes))
            except ConditionsFailedError as known:
                # The markers stand first in the transaction, in the order of the packs.
                progress.marked += [ids[position] for position in known.positions]
                left = [each for n, each in enumerate(left) if n not in known.positions]
            else:
                progress.new += len(left)
                return

    def _count_halves(self, batch: Sequence[Posting], now: datetime, progress: _Progress) -> None:
        if len(batch) == 1:
            progress.large += batch
            return
        middle = len(batch) // 2
        self._count(batch[:middle], now, progress)
        self._count(batch[middle:], now, progress)

    def _plan(self, posting: Posting, now: datetime, progress: _Progress) -> None:
        """Freeze what a large pack adds, unless it is known already."""
        plan = written(chunk_of(posting.added, posting.tally))
        # Before the marker that points to them: a plan that is there is there whole.
        for item in rows.further_pieces(posting.pack_id, plan, now):
            self._retried(partial(self.table.put, item))
        marker = rows.planned_marker(posting.pack_id, plan, now)
        self._retried(
            partial(self.table.write_if, "put_item", Item=marker, ConditionExpression=rows.NEW)
        )
        progress.marked.append(posting.pack_id)

    def _carry_out(self, pack_id: str, now: datetime, progress: _Progress) -> None:
        """Count what a pack's plan still has left; nothing where the pack was counted."""
        marker = self.table.get(rows.pack_key(pack_id))
        if marker is None or "plan_data" not in marker:
            return
        for number, chunk in enumerate(self._chunks(pack_id, marker)):
            self._count_chunk(pack_id, number, chunk, now)
        completion = rows.completion(pack_id, now)
        if self._retried(partial(self.table.write_if, "update_item", **completion)):
            progress.new += 1

    def _chunks(self, pack_id: str, marker: Item) -> list[Chunk]:
        digest, count = marker["plan_digest"]["S"], int(marker["plan_pieces"]["N"])
        pieces = [marker["plan_data"]["B"]]
        for number in range(1, count):
            item = self.table.get(rows.pack_key(pack_id, rows.piece_sk(digest, number)))
            pieces.append(item["plan_data"]["B"] if item else b"")
        try:
            return chunks_of(pieces, digest)
        except InputError as error:
            raise UnavailableError(f"pack {pack_id} can't be counted on: {error}") from error

    def _count_chunk(self, pack_id: str, number: int, chunk: Chunk, now: datetime) -> None:
        writes = [rows.marking(pack_id, now, rows.chunk_sk(number))]
        writes += _chunk_writes(chunk, now, _digest(pack_id, str(number)))
        try:
            self._retried(partial(self.table.transact, writes))
        except ConditionsFailedError:
            return  # it was counted before

    def _retried(self, write: Callable[[], _Answer]) -> _Answer:
        return past_conflicts(write, self.sleep)


def _batches(postings: Iterable[Posting]) -> Iterable[list[Posting]]:
    """Yield groups of packs that most likely fit one transaction."""
    batch: list[Posting] = []
    keys: set[ItemKey] = set()
    for each in postings:
        together = keys.union(each.added)
        if batch and len(batch) + 1 + len(together) + _USUAL_PIECES > MAX_TRANSACTION_ITEMS:
            yield batch
            batch, together = [], set(each.added)
        batch.append(each)
        keys = together
    if batch:
        yield batch


def _chunk_writes(chunk: Chunk, now: datetime, digest: str) -> list[tuple[str, Item]]:
    writes = [rows.addition(key, delta) for key, delta in chunk.counters]
    writes += [
        rows.logging(log, now, digest, number, data)
        for number, (log, data) in enumerate(chunk.pieces)
    ]
    return writes


def _digest(*texts: str) -> str:
    """Return what tells this transaction's rows in the logs from all others'."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGEST_CHARACTERS]
