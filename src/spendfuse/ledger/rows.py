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
``budgets``                     ``definitions``                         what is deployed
``budgets``                     ``override#<budget>#<value>``           a limit set since
==============================  ======================================  =====================

A pack that does not fit one transaction has its plan in its marker until all is counted; a plan
that does not fit one item goes on in ``plan#…``. Each chunk that was counted has its own marker.
"""

from __future__ import annotations

from datetime import datetime

from spendfuse.clock import utc_text
from spendfuse.ledger.pack import LATEST_USAGE
from spendfuse.ledger.plan import WrittenPlan
from spendfuse.ledger.posting import Delta, ItemKey
from spendfuse.ledger.rungs import RungKey
from spendfuse.ledger.table import Item

MARKERS_KEPT = LATEST_USAGE
"""As long as usage may be late, so no pack outlives its marker."""
NEW = "attribute_not_exists(pk)"
SIGHTING = "limit#"
_ADD = "ADD nano_usd :nano_usd, requests :requests, unpriced :unpriced"


def counter_key(key: ItemKey) -> Item:
    return {"pk": {"S": f"budget#{key.budget}#{key.period}"}, "sk": {"S": key.share}}


def rung_key(budget: str, period: str, key: RungKey) -> Item:
    return {"pk": {"S": f"rungs#{budget}#{period}"}, "sk": {"S": str(key)}}


def sighting_key(budget: str, period: str, limit_nano_usd: int) -> Item:
    return {"pk": {"S": f"rungs#{budget}#{period}"}, "sk": {"S": f"{SIGHTING}{limit_nano_usd}"}}


def pack_key(pack_id: str, sk: str = "marker") -> Item:
    return {"pk": {"S": f"pack#{pack_id}"}, "sk": {"S": sk}}


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
