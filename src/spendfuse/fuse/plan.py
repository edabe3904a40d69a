"""Which keys a trip disables, in which order, and what it leaves alone and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from spendfuse.fuse.key import FUSE_TAG, PROTECT_TAG, Key
from spendfuse.fuse.records import CALLED, KeyRecord
from spendfuse.fuse_state import TripOrder


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A key that the trip does not touch."""

    key: Key
    reason: str
    by_somebody: bool = False
    """Whether somebody else had disabled it: their decision, which no restore undoes."""


@dataclass(frozen=True, slots=True)
class Plan:
    disable: tuple[Key, ...]
    """The dearest first."""
    left: tuple[LeftAlone, ...]
    foreign: int
    """How many keys are not this fuse's: they don't carry its tag."""


def plan_trip(listed: Sequence[Key], order: TripOrder, records: Collection[KeyRecord]) -> Plan:
    """Return what is to be done for ``order``, given what is done already.

    Args:
        listed: every key of the fuse's stores, as it is now.
        order: whose ``keys`` say which keys are dear.
        records: of all trips, this one's included when it is being continued.
    """
    own = [key for key in listed if key.tags.get(FUSE_TAG) == order.fuse]
    foreign = len(listed) - len(own)
    left = [each for key in own if (each := _left_alone(key, order, records)) is not None]
    untouched = {each.key.ref for each in left}
    spent = {each.key_id: each.nano_usd for each in order.keys}
    disable = sorted(
        (key for key in own if key.ref not in untouched),
        key=lambda key: (-spent.get(key.id, 0), key.owner, key.name, key.store, key.id),
    )
    return Plan(tuple(disable), tuple(left), foreign)


def _left_alone(key: Key, order: TripOrder, records: Collection[KeyRecord]) -> LeftAlone | None:
    if key.is_protected:
        return LeftAlone(key, f"tagged {PROTECT_TAG}=true")
    about = [record for record in records if record.ref == key.ref]
    mine = next((record.status for record in about if record.trip_id == order.id), None)
    if key.enabled:
        # Somebody knew better while this trip was under way; don't fight over it.
        reason = "somebody enabled it again after this trip had disabled it"
        return LeftAlone(key, reason) if mine == "disabled" else None
    if mine in ("disabling", "failed"):
        return None  # It is disabled, but not yet verified and written down.
    if any(record.status in CALLED for record in about):
        return LeftAlone(key, "already disabled by this fuse")
    return LeftAlone(key, "already disabled by somebody else", by_somebody=True)


def no_key_reason(plan: Plan, fuse: str) -> str:
    """Say why a plan is empty, and what would change that."""
    if plan.left:
        return f"every key tagged {FUSE_TAG}={fuse} is disabled already or protected"
    return f"no key is tagged {FUSE_TAG}={fuse}: tag the keys that this fuse is to disable"
