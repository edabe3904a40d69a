"""The plan of a pack that touches more counters than one transaction holds. Pure.

It is written down before anything is counted, and a pack that is delivered again goes on with
the plan as it stands there: with other budgets by then, it would count other things.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spendfuse.errors import InputError
from spendfuse.ledger.counters import TOTAL, Delta, ItemKey

CHUNK_ITEMS = 99
"""The counters of one transaction, beside its marker."""
PIECE_BYTES = 300_000
"""Of a plan in one item, which holds 400 KB at most."""
_DIGEST_CHARACTERS = 32

Chunk = Sequence[tuple[ItemKey, Delta]]


@dataclass(frozen=True, slots=True)
class WrittenPlan:
    """A plan as bytes, in pieces that fit an item each."""

    pieces: tuple[bytes, ...]
    digest: str
    """Of all pieces: two recorders with other budgets never mix theirs."""


def written(added: Mapping[ItemKey, Delta]) -> WrittenPlan:
    """Return the plan of what a pack adds; where the chunks begin is a part of it."""
    # Totals first: they are what rungs look at. The rest by share, which packs best.
    items = sorted(added.items(), key=lambda each: (each[0].share != TOTAL, each[0].share, each[0]))
    rows = [
        [key.budget, key.period, key.share, delta.nano_usd, delta.requests, delta.unpriced]
        for key, delta in items
    ]
    chunks = [rows[start : start + CHUNK_ITEMS] for start in range(0, len(rows), CHUNK_ITEMS)]
    data = zlib.compress(json.dumps(chunks, separators=(",", ":")).encode())
    pieces = tuple(data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))
    return WrittenPlan(pieces, _digest(data))


def chunks_of(pieces: Iterable[bytes], digest: str) -> list[Chunk]:
    """Return a plan's chunks in order.

    Raises:
        InputError: a piece is missing or is not as it was written.
    """
    data = b"".join(pieces)
    if _digest(data) != digest:
        raise InputError(f"the plan {digest} does not read back as it was written")
    return [
        [
            (ItemKey(budget, period, share), Delta(nano_usd, requests, unpriced))
            for budget, period, share, nano_usd, requests, unpriced in rows
        ]
        for rows in json.loads(zlib.decompress(data))
    ]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]
