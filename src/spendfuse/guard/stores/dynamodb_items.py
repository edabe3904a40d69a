"""The guard's counters and holds as DynamoDB keeps them, and what a step makes of them.

=================================  =========  ==========================================
pk                                 sk         holds
=================================  =========  ==========================================
``counter#<deployment>#<name>``    counter    ``used`` (spent + held together), ``spent``
``hold#<deployment>#<id>``         hold       a reservation, and what became of it
=================================  =========  ==========================================

A condition of DynamoDB compares a number and does not add, so a counter has the one number that a
limit is compared with. A hold has a ``turn``, one more with each change: whoever writes it says
which turn was read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from spendfuse.guard.repeats import is_counted
from spendfuse.guard.step import Level, Reserve, Settle, Standing
from spendfuse.guard.store import LATE_SECONDS, REMEMBERED_SECONDS

HELD_INDEX = "Held"
"""The holds that have not ended, by their end: its keys are ``held_of`` and ``held_until``."""
COUNTER_KEPT_SECONDS = 40 * 86_400
"""After its period's end; longer than usage may be late."""

_PLAIN_ID = re.compile(r"[0-9A-Za-z_.:/-]{1,200}")
State = Literal["held", "settled", "released", "expired"]
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredHold:
    """A reservation; times are Unix seconds."""

    levels: tuple[Level, ...]
    asked: int
    granted: int
    held: int
    """Of what was granted, what is held still."""
    until: float
    """When it ends, or ended, if nobody settles it."""
    state: State = "held"
    charged: int = 0
    """By the final settle; parts are not in it."""
    part: int = 0
    """The number of the last part that was charged."""
    forget_at: int = 0
    """When its id means nothing any more; 0 while it is held: a hold that nobody let go of is in
    ``used`` and must be found."""
    turn: int = 1

    @property
    def counters(self) -> list[str]:
        return [each.counter for each in self.levels]

    def is_known(self, at: float) -> bool:
        """Return whether it still means something: DynamoDB deletes up to days late."""
        return at < (self.forget_at or self.until + LATE_SECONDS)

    def ended(self, state: State, at: float) -> StoredHold:
        """Return it with nothing held any more."""
        forget_at = self.until + LATE_SECONDS if state == "expired" else at + REMEMBERED_SECONDS
        return replace(
            self, state=state, held=0, forget_at=math.ceil(forget_at), turn=self.turn + 1
        )


class Seen(NamedTuple):
    """What a step is about, as it was read."""

    hold: StoredHold | None
    turn: int
    """Of the hold's item, even where its id means nothing any more; 0 where there is none."""
    counters: Mapping[str, Item]
    at: float

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(each for each in names if each not in self.counters)

    def standings(
        self, names: Iterable[str], *, used: int = 0, spent: int = 0
    ) -> tuple[Standing, ...]:
        """Return the counters as they were read, with what a step adds to each of them."""
        found = (standing(self.counters[each], self.at) for each in names)
        return tuple(
            each._replace(
                spent_nano_usd=each.spent_nano_usd + spent,
                held_nano_usd=each.held_nano_usd + used - spent,
            )
            for each in found
        )


class Charge(NamedTuple):
    """What a settle changes."""

    used: int
    """What each counter's ``used`` grows by; below 0 where less was spent than held."""
    hold: StoredHold
    is_late: bool


def new_hold(step: Reserve, nano_usd: int, at: float, *, turn: int) -> StoredHold:
    """Return what a granted step holds; ``turn`` is that of the item that stands there now."""
    until = at + step.hold_seconds
    return StoredHold(step.levels, step.nano_usd, nano_usd, nano_usd, until, turn=turn + 1)


def charge(step: Settle, known: StoredHold | None, at: float, *, turn: int) -> Charge | None:
    """Return what a settle changes, or None where it was counted before.

    ``turn`` is that of the item that stands there now, whether its id still means something or not.

    Raises:
        ReservationError: it was settled, and otherwise.
    """
    is_part = step.keep_nano_usd is not None
    if known is not None and is_counted(
        step, is_settled=known.state == "settled", part=known.part, final=known.charged
    ):
        return None
    is_late = known is None or known.state != "held"
    if known is None:
        # The store has lost it: what it held is in no counter any more.
        asked = step.hold.nano_usd
        known = StoredHold(step.hold.levels, asked, asked, 0, at, "expired", turn=turn)
    if not is_part:
        hold = replace(known.ended("settled", at), charged=step.nano_usd)
    elif is_late:
        hold = replace(known.ended("expired", at), part=step.part)
    else:
        kept = min(step.keep_nano_usd or 0, known.held)
        until = at + step.hold_seconds
        hold = replace(known, held=kept, until=until, part=step.part, turn=known.turn + 1)
    return Charge(step.nano_usd - known.held + hold.held, hold, is_late)


def counter_pk(deployment: str, name: str) -> str:
    return f"counter#{deployment}#{name}"


def hold_pk(deployment: str, hold_id: str) -> str:
    """Return a hold's key; an id that is no plain word stands there as a hash."""
    if not _PLAIN_ID.fullmatch(hold_id):
        hold_id = "#" + hashlib.sha256(hold_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"hold#{deployment}#{hold_id}"


def key(pk: str) -> dict[str, Any]:
    """Return an item's whole key: a counter's sort key is ``counter``, a hold's ``hold``."""
    return {"pk": {"S": pk}, "sk": {"S": pk.partition("#")[0]}}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def standing(item: Item, at: float) -> Standing:
    """Return a counter as everybody sees it."""
    used, spent = int(item["used"]["N"]), int(item["spent"]["N"])
    called_in_until = int(item.get("called_in_until", {}).get("N", 0)) / 1000
    return Standing(spent, used - spent, at < called_in_until)


def seeded_counter(pk: str, level: Level, spent: int) -> dict[str, Any]:
    """Return a new counter's item; that of a total stays for good."""
    expiry = {"expires_at": number(level.ends_at + COUNTER_KEPT_SECONDS)} if level.ends_at else {}
    return {**key(pk), "used": number(spent), "spent": number(spent), **expiry}


def addition(table: str, pk: str, *, used: int, spent: int, most: int | None) -> dict[str, Any]:
    """Return a transaction's change of a counter; ``most`` is what may be used before it."""
    condition, values = "attribute_exists(used)", {":used": number(used), ":spent": number(spent)}
    if most is not None:
        condition += " AND used <= :most"
        values[":most"] = number(most)
    return {
        "Update": {
            "TableName": table,
            "Key": key(pk),
            "UpdateExpression": "ADD used :used, spent :spent",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
    }


def hold_put(table: str, deployment: str, pk: str, hold: StoredHold) -> dict[str, Any]:
    """Return a transaction's write of a hold, if nobody has changed it since it was read."""
    put = {"TableName": table, "Item": _hold_item(deployment, pk, hold)}
    if hold.turn == 1:
        return {"Put": {**put, "ConditionExpression": "attribute_not_exists(pk)"}}
    before = {":before": number(hold.turn - 1)}
    condition = {"ConditionExpression": "turn = :before", "ExpressionAttributeValues": before}
    return {"Put": {**put, **condition}}


def _hold_item(deployment: str, pk: str, hold: StoredHold) -> dict[str, Any]:
    until = number(milliseconds(hold.until))
    if hold.state == "held":
        ends: dict[str, Any] = {"held_of": {"S": deployment}, "held_until": until}
    else:
        ends = {"expires_at": number(hold.forget_at)}
    return {
        **key(pk),
        "levels": {"S": json.dumps(hold.levels)},
        "asked": number(hold.asked),
        "granted": number(hold.granted),
        "held": number(hold.held),
        "until": until,
        "state": {"S": hold.state},
        "charged": number(hold.charged),
        "part": number(hold.part),
        "turn": number(hold.turn),
        **ends,
    }


def stored_hold(item: Item) -> StoredHold:
    """Read a hold's item."""
    levels: Sequence[Sequence[Any]] = json.loads(item["levels"]["S"])
    return StoredHold(
        # A newer process, which knows more of a level, may have written it.
        levels=tuple(Level(*each[: len(Level._fields)]) for each in levels),
        asked=int(item["asked"]["N"]),
        granted=int(item["granted"]["N"]),
        held=int(item["held"]["N"]),
        until=int(item["until"]["N"]) / 1000,
        state=item["state"]["S"],
        charged=int(item["charged"]["N"]),
        part=int(item["part"]["N"]),
        forget_at=int(item.get("expires_at", {}).get("N", 0)),
        turn=int(item["turn"]["N"]),
    )


def milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
