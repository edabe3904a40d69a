"""The quarantine as ``spendfuse ledger quarantine`` reads and shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from spendfuse.cli.budget_report import minute
from spendfuse.cli.budget_text import shell_text
from spendfuse.cli.ledger_queues import DeadLetters
from spendfuse.cli.ledger_text import count, cut, harmless
from spendfuse.cli.price_layout import GAP, width
from spendfuse.clock import utc_text
from spendfuse.ledger.quarantine import Quarantined

_MOST_READ = 10_000
"""At once: each may have 300 KB, and a sender gone wrong makes a million in a day."""
_REASON_LINES = 6
_WIDEST = 160
"""Columns of a record where the output is no terminal: a person looks at it all the same."""


class Read(NamedTuple):
    """What a command needs of the quarantine, newest first."""

    records: Sequence[Quarantined]
    hidden: int
    """Records that went out again, and are left out."""
    origins: Mapping[str, str]
    """Which record a retry's pack carried, by the pack's id."""
    is_all: bool
    """False where there are more than are read at once."""


def read(found: Iterable[Quarantined], is_wanted: Callable[[Quarantined], bool]) -> Read:
    """Return the records that are wanted, of those found; of too many, the first."""
    records: list[Quarantined] = []
    origins: dict[str, str] = {}
    hidden, is_all = 0, True
    for each in found:
        if each.retried_at is not None:
            origins[each.retry_id] = each.id
        if not is_wanted(each):
            hidden += each.retried_at is not None
        elif len(records) == _MOST_READ:
            is_all = False
            break
        else:
            records.append(each)
    return Read(sorted(records, key=_newest_first), hidden, origins, is_all)


def _newest_first(record: Quarantined) -> tuple[float, str, int]:
    at = record.quarantined_at
    return (-at.timestamp() if at else 0, record.pack_id, record.position)


def list_json(
    deployment: str,
    now: datetime,
    found: Read,
    dead: DeadLetters | None,
    *,
    days: int,
    most: int | None,
) -> dict[str, Any]:
    return {
        "deployment": deployment,
        "at": utc_text(now),
        "days": days,
        "waiting": _waiting(found),
        "is_all": found.is_all,
        "records": [
            {
                "id": each.id,
                "pack_id": each.pack_id,
                "position": each.position,
                "day": each.day,
                "quarantined_at": utc_text(each.quarantined_at) if each.quarantined_at else None,
                "reason": each.reason,
                "record": each.record,
                "retried_at": utc_text(each.retried_at) if each.retried_at else None,
                "retry_of": found.origins.get(each.pack_id),
            }
            for each in found.records[:most]
        ],
        "dead_letters": None if dead is None else dead.messages,
    }


def _waiting(found: Read) -> int:
    return sum(each.retried_at is None for each in found.records)


def list_lines(found: Read, *, days: int, most: int) -> Iterator[str]:
    waiting = _waiting(found)
    verb = "wait" if waiting > 1 else "waits"
    many = count(waiting, "record") if waiting else "No record"
    more = "" if found.is_all else " and more"
    yield f"{many}{more} {verb} in quarantine, of the last {count(days, 'day')}."
    for each in found.records[:most]:
        yield ""
        yield from _record_lines(each, found.origins)
    if len(found.records) > most:
        yield ""
        yield f"And {len(found.records) - most:,} older; --most prints more."
    if found.hidden:
        yield ""
        yield f"Not shown: {count(found.hidden, 'record')} that went out again; --all has them."


def _record_lines(record: Quarantined, origins: Mapping[str, str]) -> Iterator[str]:
    at = minute(record.quarantined_at) if record.quarantined_at else record.day
    room = columns() - len(GAP)
    yield f"{at}{GAP}{harmless(record.id)}"
    if record.pack_id in origins:
        yield f"{GAP}rejected again; it was {harmless(origins[record.pack_id])}"
    if record.retried_at:
        yield f"{GAP}sent again {minute(record.retried_at)}"
    # A reason is to be read whole, and a record to be recognised.
    reason = cut(record.reason, _REASON_LINES * room)
    yield from (GAP + line for line in textwrap.wrap(reason, room, break_on_hyphens=False))
    yield GAP + cut(record.record, room)


def dead_letter_lines(dead: DeadLetters | None, queue_arn: str) -> Iterator[str]:
    if dead is None:
        return
    yield ""
    if not dead.messages:
        yield "The usage queue's dead-letter queue is empty."
        return
    verb = "lies" if dead.messages == 1 else "lie"
    yield (
        f"About {count(dead.messages, 'message')} that could not be read, kept or counted {verb} "
        "in the usage queue's dead-letter queue."
    )
    yield "See why (docs/ledger.md), then send them through the queue again:"
    yield f"{GAP}aws sqs start-message-move-task --source-arn {shell_text(dead.queue_arn)} \\"
    yield f"{GAP * 2}--destination-arn {shell_text(queue_arn)}"


def columns() -> int:
    """Return how wide a record is shown."""
    return min(width(), _WIDEST)
