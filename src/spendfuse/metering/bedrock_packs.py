"""Records of one delivery as packs, the same each time that the delivery comes.

The ledger counts a pack once by its id. Made from the ids of the log events, it stays the same
when Lambda runs the function again with the same batch. The same events in another batch would
be other packs: Bedrock's entries have ids of their own, but the ledger has no marker a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from spendfuse.clock import utc_text
from spendfuse.metering.bedrock_log import Delivery
from spendfuse.metering.record import Record

MAX_BYTES = 230_000
"""Of records; the rest of the pack's 240 KB is its head."""
MAX_RECORDS = 500
MAX_KEYS = 10
"""API keys in one pack: each adds a counter a budget to the ledger's transaction."""
_DIGITS = 32


def packs(delivery: Delivery, records: Sequence[Record], *, now: datetime) -> Iterator[str]:
    """Yield the packs' texts; none where there are no records."""
    stem = _stem(delivery)
    for number, chunk in enumerate(_chunks(records)):
        # Joined by hand, because each record is text already: its size was measured.
        head = json.dumps(
            {
                "schema": 1,
                "id": f"bedrock-{stem}-{number}",
                "created_at": utc_text(now),
                "sent_at": utc_text(now),
            }
        )
        yield f'{head[:-1]}, "records": [{", ".join(chunk)}]}}'


def _stem(delivery: Delivery) -> str:
    text = json.dumps([*delivery.source, *sorted(delivery.event_ids)])
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _chunks(records: Sequence[Record]) -> Iterator[list[str]]:
    chunk: list[str] = []
    keys: set[str] = set()
    size = 0
    for record in records:
        text = json.dumps(record.to_json(), separators=(",", ":"))
        key = record.attributes.get("key_id")
        too_many_keys = key is not None and len(keys | {key}) > MAX_KEYS
        if chunk and (size + len(text) > MAX_BYTES or len(chunk) >= MAX_RECORDS or too_many_keys):
            yield chunk
            chunk, keys, size = [], set(), 0
        chunk.append(text)
        keys |= {key} if key is not None else set()
        size += len(text) + 2
    if chunk:
        yield chunk
