"""Records of one delivery as packs, the same each time that the delivery comes.

The ledger counts a pack once by its id. Made from the ids of the log events, it stays the same
when Lambda runs the function again with the same batch. The same events in another batch would
be other packs: Bedrock's entries have ids of their own, but the ledger has no marker a record.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from spendfuse.metering.bedrock_log import Delivery
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.packing import pack_records

_DIGITS = 32


def packs(delivery: Delivery, records: Sequence[Record], *, now: datetime) -> Iterator[str]:
    """Yield the packs' texts; none where there are no records."""
    stem = _stem(delivery)
    numbers = itertools.count()
    for pack in pack_records(
        records,
        created_at=now,
        new_id=lambda: f"bedrock-{stem}-{next(numbers)}",
        refuse=_fail,
    ):
        yield pack.body(now)


def _stem(delivery: Delivery) -> str:
    text = json.dumps([*delivery.source, *sorted(delivery.event_ids)])
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _fail(error: Exception) -> None:
    """Let the function fail, so that the delivery comes again: a record left out would be lost."""
    raise error
