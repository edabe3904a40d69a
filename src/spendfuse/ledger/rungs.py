"""Which rungs are due: a question of state, not of motion.

Due are the rungs at or below the total, less those that have fired and those that stay silent
because people know already. Nothing depends on which totals a watcher happened to see, on their
order, or on a message that got lost.

What stays silent under a limit is decided once, when the limit is first seen in the period, and
written down in its *sighting*; so every watcher, whenever it comes, decides the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from spendfuse.budget import Budget, Rung
from spendfuse.fuse_state import Allowance


@dataclass(frozen=True, slots=True)
class RungKey:
    """One firing of one rung in a period: a raised limit or a restore arms it anew."""

    percent: int
    limit_nano_usd: int
    allowance: int = 0

    def __str__(self) -> str:
        return f"{self.percent:04d}#{self.limit_nano_usd}#{self.allowance}"


@dataclass(frozen=True, slots=True)
class FiredRung:
    key: RungKey
    status: str
    """``pending`` until its alert was published, then ``sent``."""
    alert: str
    """The alert as JSON text, as it was first written."""
    fired_at: datetime
    orders: bool = True
    """Whether its alert has an order to the fuse; an older row, that does not say, counts as one
    that has."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a watcher found when it first saw a limit in a period."""

    limit_nano_usd: int
    spent_nano_usd: int
    seen_at: datetime
    turn: int = 1
    """Grows whenever another limit comes into force; the highest is the one in force last."""
    silent: tuple[int, ...] = ()
    """The percentages of the rungs that inform and stay silent under this limit."""
    told_by: int | None = None
    """The rung whose alert names the silent ones; None where people had heard of them before."""


@dataclass(frozen=True, slots=True)
class RungHistory:
    """What is remembered of one budget's rungs in one period."""

    fired: tuple[FiredRung, ...] = ()
    sightings: tuple[Sighting, ...] = ()

    @property
    def keys(self) -> frozenset[RungKey]:
        return frozenset(each.key for each in self.fired)

    @property
    def last_turn(self) -> int:
        return max((each.turn for each in self.sightings), default=0)

    @property
    def last_limit_nano_usd(self) -> int | None:
        """The limit that was last seen in force; None where no limit was seen yet."""
        if self.sightings:
            return max(self.sightings, key=lambda each: each.turn).limit_nano_usd
        # Rungs that fired before there were sightings tell their limit too.
        if self.fired:
            return max(self.fired, key=lambda each: each.fired_at).key.limit_nano_usd
        return None

    def spent_keys(self, budget: Budget, *, over: bool) -> frozenset[RungKey]:
        """Return the rungs that need not fire any more.

        A rung that trips has fired once it gave its order: not if it only informed so far, or its
        order was withdrawn. In a period that is over nothing trips.
        """
        tripping = {rung.percent for rung in budget.ladder if rung.trips and not over}
        return frozenset(
            each.key for each in self.fired if each.orders or each.key.percent not in tripping
        )

    def sighting(self, limit_nano_usd: int) -> Sighting | None:
        """Return the sighting of that limit, if it was seen in this period."""
        return next((s for s in self.sightings if s.limit_nano_usd == limit_nano_usd), None)


@dataclass(frozen=True, slots=True)
class DueRung:
    key: RungKey
    rung: Rung
    passed: tuple[int, ...] = ()
    """The lower rungs that stay silent because this one's alert names them."""


def due_rungs(
    budget: Budget,
    spent_nano_usd: int,
    fired: Collection[RungKey],
    allowance: Allowance | None,
    sighting: Sighting | None = None,
) -> list[DueRung]:
    """Return the rungs of one budget's period that are due, lowest first.

    Args:
        budget: whose ladder it is, with the limit in force.
        spent_nano_usd: the period's total.
        fired: the rungs of this period that have fired already.
        allowance: what the last restore in this period allowed, if there was one.
        sighting: of the limit in force. It silences no rung that trips.
    """
    reached = _reached(budget, spent_nano_usd, allowance)
    silent: tuple[int, ...] = ()
    if sighting is not None and _is_told(sighting, reached, fired):
        silent = sighting.silent
    return [
        DueRung(each.key, each.rung, _passed(each, sighting))
        for each in reached
        if each.key not in fired and (each.rung.trips or each.rung.percent not in silent)
    ]


def first_sighting(
    budget: Budget, spent_nano_usd: int, history: RungHistory, now: datetime
) -> Sighting:
    """Return what there is to write down about a limit that this period has not seen before.

    A raised limit arms the rungs above the spend again: those that it has passed stay silent,
    if people heard of them under a lower limit. Under a lowered limit many rungs may be reached
    at once: the highest that informs names the others, if all who would hear of them hear it.
    """
    before, limit = history.last_limit_nano_usd, budget.limit_nano_usd
    informing = [
        each.rung
        for each in _reached(budget, spent_nano_usd, allowance=None)
        if not each.rung.trips and each.key not in history.keys
    ]
    silent: tuple[int, ...] = ()
    told_by: int | None = None
    if before is not None and before < limit:
        heard = _heard_below(limit, history)
        silent = tuple(rung.percent for rung in informing if rung.percent in heard)
    elif before is not None and before > limit and informing:
        *lower, highest = informing
        silent = tuple(r.percent for r in lower if set(r.channels) <= set(highest.channels))
        told_by = highest.percent if silent else None
    return Sighting(limit, spent_nano_usd, now, history.last_turn + 1, silent, told_by)


def _heard_below(limit_nano_usd: int, history: RungHistory) -> set[int]:
    """Return the percentages of which people heard in this period, under lower limits."""
    keys = [key for key in history.keys if key.limit_nano_usd < limit_nano_usd]
    heard = {key.percent for key in keys}
    for sighting in history.sightings:
        under = sighting.limit_nano_usd
        fired = {key.percent for key in keys if key.limit_nano_usd == under}
        if under < limit_nano_usd and (sighting.told_by is None or sighting.told_by in fired):
            heard.update(sighting.silent)
    return heard


def _is_told(sighting: Sighting, reached: Collection[DueRung], fired: Collection[RungKey]) -> bool:
    """Whether people hear of the silent rungs: the one that tells of them may be gone by now."""
    tells = {each.rung.percent for each in reached}
    tells.update(key.percent for key in fired if key.limit_nano_usd == sighting.limit_nano_usd)
    return sighting.told_by is None or sighting.told_by in tells


def _passed(due: DueRung, sighting: Sighting | None) -> tuple[int, ...]:
    if sighting is None or sighting.told_by != due.rung.percent:
        return ()
    return sighting.silent


def _reached(budget: Budget, spent_nano_usd: int, allowance: Allowance | None) -> list[DueRung]:
    armed = (_armed(budget, rung, allowance) for rung in budget.ladder)
    return [due for due, threshold in armed if spent_nano_usd >= threshold]


def _armed(budget: Budget, rung: Rung, allowance: Allowance | None) -> tuple[DueRung, int]:
    # A limit may be set to nothing; while nothing is spent, no rung of it is reached.
    threshold = max(rung.threshold_nano_usd(budget.limit_nano_usd), 1)
    number = 0
    if rung.trips and allowance is not None:
        number = allowance.number
        # A limit raised since the restore counts; the allowance never makes it stricter.
        threshold = max(threshold, allowance.until_nano_usd)
    return DueRung(RungKey(rung.percent, budget.limit_nano_usd, number), rung), threshold
