"""The shapes of the ledger's rows: their keys, and what is written to them.

==============================  ======================================  =====================
pk                              sk                                      holds
==============================  ======================================  =====================
``budget#<name>#<period>``      ``total``, ``key#<API key id>``         the counters
``budget#<name>#<period>``      ``per#<value>``                         one value's counter
``pack#<pack id>``              ``marker``                              that it was counted
``pack#<pack id>``              ``chunk#<n>``, ``plan#<digest>#<n>``    of a large one: see below
``rungs#<budget>#<period>``     ``<percent>#<limit>#<allowance>``       that it fired
``rungs#<budget>#<period>``     ``limit#<limit>``                       how it was first seen
``quarantine#<day>``            ``<pack id>#<position>``                a rejected record
``adjustments``                 ``<id>``                                a person's correction
``budgets``                     ``definitions``                         what is deployed
``budgets``                     ``override#<budget>#<value>``           a limit set since
``log#shares``, ``log#series``  ``<time>#<digest of packs>#<n>``        a tally, until it is folded
``fold#shares``,                ``plan``                                the last fold: its number,
``fold#series``                                                         the rows that it takes
``shares#<budget>#<period>``    ``<by>#<bucket>``                       a page of a book
``series``                      ``state``                               the minutes of late
``named_values``                ``named_values``                        who is named in metrics
==============================  ======================================  =====================

A pack that does not fit one transaction has its plan in its marker until all is counted; a plan
that does not fit one item goes on in ``plan#…``. Each chunk that was counted has its own marker.
"""

from __future__ import annotations

from datetime import datetime

from spendfuse.clock import parse_utc, utc_text
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.pack import LATEST_USAGE
from spendfuse.ledger.plan import WrittenPlan
from spendfuse.ledger.rungs import RungKey
from spendfuse.ledger.table import Item
from spendfuse.ledger.tally_pieces import Log

MARKERS_KEPT = LATEST_USAGE
"""As long as usage may be late, so no pack outlives its marker."""
NEW = "attribute_not_exists(pk)"
SIGHTING = "limit#"
SERIES_KEY: Item = {"pk": {"S": "series"}, "sk": {"S": "state"}}
_ADD = "ADD nano_usd :nano_usd, requests :requests, unpriced :unpriced"


def counter_key(key: ItemKey) -> Item:
    return {"pk": {"S": f"budget#{key.budget}#{key.period}"}, "sk": {"S": key.share}}


def rung_key(budget: str, period: str, key: RungKey) -> Item:
    return {"pk": {"S": f"rungs#{budget}#{period}"}, "sk": {"S": str(key)}}


def sighting_key(budget: str, period: str, limit_nano_usd: int) -> Item:
    return {"pk": {"S": f"rungs#{budget}#{period}"}, "sk": {"S": f"{SIGHTING}{limit_nano_usd}"}}


def counted(item: Item | None) -> Delta:
    """Return what a counter's row has; zero where there is none."""
    row = item or {}
    return Delta(
        *(int(row.get(name, {}).get("N", 0)) for name in ("nano_usd", "requests", "unpriced"))
    )


def quarantine_pk(day: str) -> str:
    return f"quarantine#{day}"


def quarantine_key(day: str, pack_id: str, position: int) -> Item:
    return {"pk": {"S": quarantine_pk(day)}, "sk": {"S": f"{pack_id}#{position:05d}"}}


def pack_key(pack_id: str, sk: str = "marker") -> Item:
    return {"pk": {"S": f"pack#{pack_id}"}, "sk": {"S": sk}}


def log_pk(log: Log) -> str:
    return f"log#{log}"


def log_key(log: Log, sk: str) -> Item:
    return {"pk": {"S": log_pk(log)}, "sk": {"S": sk}}


def logged_at(sk: str) -> datetime:
    """Return when a row of a log was written."""
    return parse_utc(sk.partition("#")[0])


def fold_key(log: Log) -> Item:
    return {"pk": {"S": f"fold#{log}"}, "sk": {"S": "plan"}}


def shares_pk(budget: str, period: str) -> str:
    return f"shares#{budget}#{period}"


def shares_key(budget: str, period: str, page: str) -> Item:
    return {"pk": {"S": shares_pk(budget, period)}, "sk": {"S": page}}


def logging(log: Log, now: datetime, digest: str, number: int, data: bytes) -> tuple[str, Item]:
    """Return the write that leaves a part of a tally to be folded.

    Args:
        log: which.
        now: the current time; rows are folded in its order.
        digest: of what makes the transaction unlike all others: its packs, its chunk.
        number: of the part, among those of its transaction.
        data: the part.
    """
    sk = f"{utc_text(now)}#{digest}#{number:03d}"
    return "Put", {"Item": {**log_key(log, sk), "data": {"B": data}}}


def addition(key: ItemKey, delta: Delta) -> tuple[str, Item]:
    """Return the write that adds to one counter."""
    request = {
        "Key": counter_key(key),
        "UpdateExpression": _ADD,
        "ExpressionAttributeValues": {
            ":nano_usd": {"N": str(delta.nano_usd)},
            ":requests": {"N": str(delta.requests)},
            ":unpriced": {"N": str(delta.unpriced)},
        },
    }
    return "Update", request


def marking(pack_id: str, now: datetime, sk: str = "marker") -> tuple[str, Item]:
    """Return the write that marks a pack, or a chunk of it, as counted: it works once."""
    marker = {**pack_key(pack_id, sk), "posted_at": {"S": utc_text(now)}, **_expiry(now)}
    return "Put", {"Item": marker, "ConditionExpression": NEW}


def chunk_sk(number: int) -> str:
    return f"chunk#{number:05d}"


def piece_sk(digest: str, number: int) -> str:
    return f"plan#{digest}#{number:05d}"


def planned_marker(pack_id: str, plan: WrittenPlan, now: datetime) -> Item:
    """Return the marker of a pack that is being counted by its plan."""
    return {
        **pack_key(pack_id),
        "planned_at": {"S": utc_text(now)},
        "plan_data": {"B": plan.pieces[0]},
        "plan_digest": {"S": plan.digest},
        "plan_pieces": {"N": str(len(plan.pieces))},
        **_expiry(now),
    }


def further_pieces(pack_id: str, plan: WrittenPlan, now: datetime) -> list[Item]:
    """Return what of the plan does not fit the marker."""
    return [
        {**pack_key(pack_id, piece_sk(plan.digest, number)), "plan_data": {"B": piece}}
        | _expiry(now)
        for number, piece in enumerate(plan.pieces)
        if number > 0
    ]


def completion(pack_id: str, now: datetime) -> Item:
    """Return the request that turns a planned marker into one like any other's: it works once."""
    return {
        "Key": pack_key(pack_id),
        "UpdateExpression": "SET posted_at = :now REMOVE plan_data, plan_digest, plan_pieces",
        "ConditionExpression": "attribute_exists(plan_data)",
        "ExpressionAttributeValues": {":now": {"S": utc_text(now)}},
    }


def _expiry(now: datetime) -> dict[str, Item]:
    return {"expires_at": {"N": str(int((now + MARKERS_KEPT).timestamp()))}}
