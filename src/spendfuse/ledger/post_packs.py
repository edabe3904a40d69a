"""The use case that counts packs in the ledger's table, each once.

Packs that fit one transaction are counted in one, several together. A pack that does not fit is
counted by a plan. The plan is frozen in the pack's own marker, so that one put-if-absent tells
all three cases apart: a new pack, one that is being counted, one that was. Then its chunks are
counted, each in a transaction with a marker of its own, and last the plan is taken out of the
pack's marker. A crash anywhere needs nothing but the same pack once more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import rows
from spendfuse.ledger.counters import Delta, ItemKey, merged
from spendfuse.ledger.plan import Chunk, chunks_of, written
from spendfuse.ledger.posting import Posting
from spendfuse.ledger.table import (
    ConditionsFailedError,
    ConflictError,
    Item,
    Table,
    WriteRefusedError,
)

MAX_TRANSACTION_ITEMS = 100
"""AWS's limit for one TransactWriteItems call."""
_ATTEMPTS = 8

Batch = dict[str, Mapping[ItemKey, Delta]]
"""What several packs add, by pack id, in one transaction."""
_Answer = TypeVar("_Answer")


@dataclass
class _Progress:
    new: int = 0
    """Packs that were counted by us."""
    marked: list[str] = field(default_factory=list)
    """Packs that had a marker already, or have one with a plan now."""
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
        for batch in _batches([each for each in unique if _fits(each)]):
            try:
                self._count(batch, now, progress)
            except WriteRefusedError as error:
                progress.failures.append(error)
                self._count_one_by_one(batch, now, progress)
        for each in unique:
            if not _fits(each):
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

    def _count_one_by_one(self, batch: Batch, now: datetime, progress: _Progress) -> None:
        """Count what can be: a pack that AWS will never take holds up none beside it."""
        for pack_id, added in batch.items() if len(batch) > 1 else ():
            self._attempt(partial(self._count, {pack_id: added}, now, progress), progress)

    def _count(self, batch: Batch, now: datetime, progress: _Progress) -> None:
        left = dict(batch)
        while left:
            try:
                self._retried(partial(self._transact, left, now))
            except ConditionsFailedError as known:
                # The markers stand first in the transaction, in the order of the packs.
                for pack_id in [list(left)[position] for position in known.positions]:
                    progress.marked.append(pack_id)
                    del left[pack_id]
            else:
                progress.new += len(left)
                return

    def _transact(self, packs: Batch, now: datetime) -> None:
        added = merged(packs.values())
        writes = [rows.marking(pack_id, now) for pack_id in packs]
        writes += [rows.addition(key, delta) for key, delta in sorted(added.items())]
        self.table.transact(writes)

    def _plan(self, posting: Posting, now: datetime, progress: _Progress) -> None:
        """Freeze what a large pack adds, unless it is known already."""
        plan = written(posting.added)
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
        writes += [rows.addition(key, delta) for key, delta in chunk]
        try:
            self._retried(partial(self.table.transact, writes))
        except ConditionsFailedError:
            return  # it was counted before

    def _retried(self, write: Callable[[], _Answer]) -> _Answer:
        for attempt in range(_ATTEMPTS):
            try:
                return write()
            except ConflictError:
                # Full jitter: recorders that collided once should not collide again.
                self.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311
        raise UnavailableError(f"the ledger refused {_ATTEMPTS} times; it is contended")


def _fits(posting: Posting) -> bool:
    return len(posting.added) < MAX_TRANSACTION_ITEMS


def _batches(postings: Sequence[Posting]) -> Iterable[Batch]:
    """Yield groups of packs that fit one transaction."""
    batch: Batch = {}
    keys: set[ItemKey] = set()
    for each in postings:
        together = keys.union(each.added)
        if batch and len(batch) + 1 + len(together) > MAX_TRANSACTION_ITEMS:
            yield batch
            batch, together = {}, set(each.added)
        batch[each.pack_id] = each.added
        keys = together
    if batch:
        yield batch
