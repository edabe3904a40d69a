"""The steps a store takes, and what comes of them: plain values, and the one rule of admission.

A store keeps for each counter what is ``spent`` and what is ``held`` for requests that still run,
and never lets spent + held of a strict budget pass its limit by a reservation. ``spent`` only
grows. All amounts are integer nano-dollars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from spendfuse.budget import DEFAULT_LOCAL_SHARE_PERCENT, Mode, WhenDown


class Level(NamedTuple):
    """One counter that a request is charged to: a budget, whose it is, and in which period."""

    counter: str
    """Its name in every store: safe in keys, whatever the user's id is."""
    budget: str
    value: str
    """Of the budget's ``per``: the user, say. Empty without."""
    period: str
    limit_nano_usd: int
    mode: Mode = "strict"
    when_down: WhenDown = "fail_closed"
    local_share_percent: int = DEFAULT_LOCAL_SHARE_PERCENT
    ends_at: int = 0
    """When the period ends, in Unix seconds; 0 for never."""


class RateLevel(NamedTuple):
    """One sliding window that a request is charged to."""

    counter: str
    rate: str
    value: str
    nano_usd_per_minute: int


class Standing(NamedTuple):
    """A counter as the store sees it."""

    spent_nano_usd: int
    held_nano_usd: int
    is_called_in: bool = False
    """Whether somebody was refused lately because of what others hold: see ``Reserve``."""


class Hold(NamedTuple):
    """Money held for a request: what ``settle`` and ``release`` are about."""

    id: str
    nano_usd: int
    levels: tuple[Level, ...]
    rates: tuple[RateLevel, ...] = ()
    slot: int = 0
    """Where in the sliding windows it was counted; the store's own number."""


class Reserve(NamedTuple):
    """Hold an amount on all levels and rates, or on none."""

    id: str
    """Made by the caller: the same id again gives the same answer and holds nothing more."""
    nano_usd: int
    least_nano_usd: int
    """What would do where only ``fit`` levels are short; equal to ``nano_usd`` otherwise."""
    levels: tuple[Level, ...]
    """Each counter once; none at all is granted."""
    rates: tuple[RateLevel, ...] = ()
    """The asked amount must fit into each of these too, or nothing is held."""
    hold_seconds: float = 600.0
    """After this time the store forgets the hold: a killed worker leaks nothing."""
    seeds: Mapping[str, int] | None = None
    """What a missing counter starts from (absent: 0). None: answer ``Unseeded`` instead."""
    calls_in: bool = False
    """Whether a refusal marks the counters that are short as called in for
    ``CALLED_IN_SECONDS``, so that leases are returned. Those of observe levels never are: they
    refuse nobody."""


class Settle(NamedTuple):
    """Charge what a hold's request really cost, and let go of the rest."""

    hold: Hold
    nano_usd: int
    keep_nano_usd: int | None = None
    """Not None: only a part is charged, and this much (at most what is held now) stays held, for
    another full hold time. Where nothing is held any more, the part counts and nothing is kept."""
    part: int = 0
    """Numbers the parts of one hold, from 1; 0 is the final settle, charged on top of them.

    Parts come in order: one whose number is not above the last counted one's is ``again``. So a
    part without an answer is repeated before the next one is sent.
    """
    hold_seconds: float = 600.0
    """For how long the kept rest is held."""
    seeds: Mapping[str, int] | None = None
    """As for ``Reserve``."""


class Granted(NamedTuple):
    """It is held: on every level, or nowhere."""

    hold: Hold
    """Its amount is less than asked where a ``fit`` level had less left."""
    standings: tuple[Standing, ...]
    """Of the levels in order, this hold included."""
    is_again: bool = False
    """The id was held already; nothing was added."""


class Refused(NamedTuple):
    """Nothing is held."""

    standings: tuple[Standing, ...]
    """Of the levels in order."""
    rate_waits: tuple[float, ...] = ()
    """Of the rates in order: seconds until it would fit; 0 it does; -1 it never will."""


class Unseeded(NamedTuple):
    """Nothing was done: these counters are missing, and the step brought no seeds."""

    counters: tuple[str, ...]


class Settled(NamedTuple):
    """The cost counts."""

    kind: Literal["settled", "late", "again"]
    """late: the hold had expired or was released; again: it had been counted, and counts once."""
    standings: tuple[Standing, ...] = ()
    """Of the levels in order, where they cost the store nothing more; may be empty."""


def room(level: Level, standing: Standing) -> int:
    """Return what is left of a level's limit; below 0 when it is overspent."""
    return level.limit_nano_usd - standing.spent_nano_usd - standing.held_nano_usd


def is_short(level: Level, standing: Standing, nano_usd: int) -> bool:
    """Return whether an amount does not fit any more. Nothing, which costs nothing, always does."""
    return nano_usd > 0 and room(level, standing) < nano_usd


def admitted(
    nano_usd: int, least_nano_usd: int, levels: Sequence[Level], standings: Sequence[Standing]
) -> int | None:
    """Return the amount to hold, or None for a refusal: the rule that every store keeps.

    A strict level takes the whole amount or refuses; a fit level lowers it to what is left, as
    long as that is enough; an observe level takes anything.
    """
    grant = nano_usd
    for level, standing in zip(levels, standings, strict=True):
        if level.mode == "observe" or not is_short(level, standing, nano_usd):
            continue
        left = room(level, standing)
        if level.mode == "strict" or left < max(least_nano_usd, 1):
            return None
        grant = min(grant, left)
    return grant
