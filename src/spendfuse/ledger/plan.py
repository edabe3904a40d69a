"""The plan of a pack that adds more than one transaction holds. Pure.

It is written down before anything is counted, and a pack that is delivered again goes on with
the plan as it stands there: with other budgets by then, it would count other things.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spendfuse.errors import InputError
from spendfuse.ledger.counters import TOTAL, Delta, ItemKey
from spendfuse.ledger.tally import Tally
from spendfuse.ledger.tally_pieces import Log, tally_pieces

MAX_TRANSACTION_ITEMS = 100
"""AWS's limit for one TransactWriteItems call."""
MAX_TRANSACTION_BYTES = 3_000_000
"""Of pieces of tallies; AWS takes 4 MB in all, and a hundred other rows are far below the rest."""
CHUNK_ITEMS = MAX_TRANSACTION_ITEMS - 1
"""Beside the chunk's marker."""
PIECE_BYTES = 300_000
"""Of a plan in one item, which holds 400 KB at most."""
_FORMAT = 2
"""Before it, a plan was a list of lists of counters, and there were no tallies."""
_DIGEST_CHARACTERS = 32


class Chunk(NamedTuple):
    """What one transaction adds."""

    counters: tuple[tuple[ItemKey, Delta], ...] = ()
    pieces: tuple[tuple[Log, bytes], ...] = ()
    """Of the tally."""

    def fits(self, *, markers: int = 1) -> bool:
        """Return whether a transaction takes it, with as many markers beside it."""
        items = markers + len(self.counters) + len(self.pieces)
        return items <= MAX_TRANSACTION_ITEMS and _size(self.pieces) <= MAX_TRANSACTION_BYTES


class WrittenPlan(NamedTuple):
    """A plan as bytes, in pieces that fit an item each."""

    pieces: tuple[bytes, ...]
    digest: str
    """Of all pieces: two recorders with other budgets never mix theirs."""


def chunk_of(added: Mapping[ItemKey, Delta], tally: Tally) -> Chunk:
    """Return all of it as one chunk, whether it fits or not: totals first."""
    # They are what rungs look at. The rest by share, which packs best.
    counters = sorted(
        added.items(), key=lambda each: (each[0].share != TOTAL, each[0].share, each[0])
    )
    return Chunk(tuple(counters), tally_pieces(tally))


def written(whole: Chunk) -> WrittenPlan:
    """Return the plan of what a pack adds; where the chunks begin is a part of it."""
    chunks = [_chunk_json(chunk) for chunk in _chunks(whole)]
    content = {"format": _FORMAT, "chunks": chunks}
    data = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
    pieces = tuple(data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))
    return WrittenPlan(pieces, _digest(data))


def chunks_of(pieces: Iterable[bytes], digest: str) -> list[Chunk]:
    """Return a plan's chunks in order.

    Raises:
        InputError: a piece is missing or is not as it was written, or a newer version wrote it.
    """
    data = b"".join(pieces)
    if _digest(data) != digest:
        raise InputError(f"the plan {digest} does not read back as it was written")
    content = json.loads(zlib.decompress(data))
    if isinstance(content, list):
        return [Chunk(_counters(rows)) for rows in content]
    if content.get("format") != _FORMAT:
        raise InputError(f"the plan {digest} has format {content.get('format')!r}, not {_FORMAT}")
    return [
        Chunk(
            _counters(chunk["counters"]),
            tuple((log, b64decode(data)) for log, data in chunk["pieces"]),
        )
        for chunk in content["chunks"]
    ]


def _chunks(whole: Chunk) -> Iterable[Chunk]:
    counters, pieces = list(whole.counters), list(whole.pieces)
    while counters or pieces:
        first, counters = counters[:CHUNK_ITEMS], counters[CHUNK_ITEMS:]
        room = CHUNK_ITEMS - len(first)
        beside: list[tuple[Log, bytes]] = []
        while pieces and len(beside) < room:
            if _size([*beside, pieces[0]]) > MAX_TRANSACTION_BYTES:
                break
            beside.append(pieces.pop(0))
        yield Chunk(tuple(first), tuple(beside))


def _chunk_json(chunk: Chunk) -> dict[str, Any]:
    return {
        "counters": [
            [key.budget, key.period, key.share, delta.nano_usd, delta.requests, delta.unpriced]
            for key, delta in chunk.counters
        ],
        # As bytes: what stands in the log must not depend on who carries the plan out.
        "pieces": [[log, b64encode(data).decode()] for log, data in chunk.pieces],
    }


def _counters(rows: Iterable[list[Any]]) -> tuple[tuple[ItemKey, Delta], ...]:
    return tuple(
        (ItemKey(budget, period, share), Delta(nano_usd, requests, unpriced))
        for budget, period, share, nano_usd, requests, unpriced in rows
    )


def _size(pieces: Iterable[tuple[Log, bytes]]) -> int:
    return sum(len(data) for _, data in pieces)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]
