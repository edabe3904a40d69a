"""Short ways to write a store's steps; tests say only what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.guard.stores import Rig

from spendfuse.budget import Mode
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    RateLevel,
    Refused,
    Reserve,
    Settle,
    Settled,
    Unseeded,
)
from spendfuse.guard.tree import counter_name

IN_2100 = 4_102_444_800
DOLLAR = 1_000_000_000


def level(
    budget: str = "root", limit: int = 100, *, mode: Mode = "strict", value: str = ""
) -> Level:
    period = "2099-12"
    return Level(
        counter_name(budget, period, value), budget, value, period, limit, mode, ends_at=IN_2100
    )


def rate(name: str = "burst", limit: int = 100, *, value: str = "") -> RateLevel:
    return RateLevel(counter_name(name, "rate", value), name, value, limit)


def reserve(
    rig: Rig,
    hold_id: str,
    nano_usd: int,
    *levels: Level,
    least: int | None = None,
    rates: tuple[RateLevel, ...] = (),
    seconds: float = 600.0,
    seeds: Mapping[str, int] | None = {},
    calls_in: bool = False,
) -> Granted | Refused | Unseeded:
    return rig.store.reserve(
        Reserve(
            hold_id,
            nano_usd,
            nano_usd if least is None else least,
            levels,
            rates,
            seconds,
            seeds,
            calls_in,
        )
    )


def held(rig: Rig, hold_id: str, nano_usd: int, *levels: Level, **more: Any) -> Hold:
    """Reserve what must be granted."""
    outcome = reserve(rig, hold_id, nano_usd, *levels, **more)
    assert isinstance(outcome, Granted), outcome
    return outcome.hold


def refused(rig: Rig, hold_id: str, nano_usd: int, *levels: Level, **more: Any) -> Refused:
    """Reserve what must be refused."""
    outcome = reserve(rig, hold_id, nano_usd, *levels, **more)
    assert isinstance(outcome, Refused), outcome
    return outcome


def settle(
    rig: Rig,
    hold: Hold,
    nano_usd: int,
    *,
    keep: int | None = None,
    part: int = 0,
    seconds: float = 600.0,
    seeds: Mapping[str, int] | None = {},
) -> Settled:
    """Settle where nothing is missing."""
    outcome = rig.store.settle(Settle(hold, nano_usd, keep, part, seconds, seeds))
    assert isinstance(outcome, Settled), outcome
    return outcome
