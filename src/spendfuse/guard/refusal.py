"""Why was it refused, and when is it worth trying again? What a store answered, for people."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import (
    BudgetExceededError,
    BudgetFigures,
    GuardDownError,
    RateExceededError,
    RefusedError,
)
from spendfuse.guard.step import Granted, Level, Refused, Reserve, Standing, is_short, room

WHEN_HELD_SECONDS = 5
"""Retry-After where only running requests stand in the way: they end before the period does."""


def figures(level: Level, standing: Standing, *, is_short: bool) -> BudgetFigures:
    """Return one level's figures."""
    return BudgetFigures(
        level.budget,
        level.value,
        level.period,
        level.limit_nano_usd,
        standing.spent_nano_usd,
        standing.held_nano_usd,
        datetime.fromtimestamp(level.ends_at, UTC) if level.ends_at else None,
        is_short=is_short,
    )


def refusal(step: Reserve, refused: Refused, *, at: datetime) -> RefusedError:
    """Return the error of a refused step: the strictest budget's, else the slowest rate's."""
    pairs = list(zip(step.levels, refused.standings, strict=True))
    in_the_way = [(level, standing) for level, standing in pairs if _refuses(step, level, standing)]
    if not in_the_way and any(refused.rate_waits):
        return _rate_refusal(step, refused)
    if not in_the_way:
        # The store knew better than its figures say, as when all that is left is lent out.
        in_the_way = [pair for pair in pairs if pair[0].mode != "observe"] or pairs
    level, standing = min(in_the_way, key=lambda pair: room(*pair))
    waits = [_wait(step, *pair, at=at) for pair in in_the_way]
    return BudgetExceededError(
        figures(level, standing, is_short=True),
        step.nano_usd,
        # All of them must have room again.
        retry_after_seconds=None if None in waits else max(filter(None, waits)),
        budgets=[
            figures(*pair, is_short=pair in in_the_way or is_short(*pair, step.nano_usd))
            for pair in pairs
        ],
    )


def _needed(step: Reserve, level: Level) -> int:
    """Return the amount that a level must have room for."""
    return max(step.least_nano_usd, 1) if level.mode == "fit" else step.nano_usd


def _refuses(step: Reserve, level: Level, standing: Standing) -> bool:
    return level.mode != "observe" and is_short(level, standing, _needed(step, level))


def _wait(step: Reserve, level: Level, standing: Standing, *, at: datetime) -> int | None:
    needed = _needed(step, level)
    if needed > level.limit_nano_usd:
        return None
    if standing.spent_nano_usd + needed <= level.limit_nano_usd:
        return WHEN_HELD_SECONDS
    return max(1, math.ceil(level.ends_at - at.timestamp())) if level.ends_at else None


def _rate_refusal(step: Reserve, refused: Refused) -> RateExceededError:
    def slowness(wait: float) -> float:
        return math.inf if wait < 0 else wait

    rate, wait = max(
        zip(step.rates, refused.rate_waits, strict=True), key=lambda pair: slowness(pair[1])
    )
    return RateExceededError(
        rate.rate,
        rate.value,
        rate.nano_usd_per_minute,
        step.nano_usd,
        retry_after_seconds=None if wait < 0 else max(1, math.ceil(wait)),
    )


def down(step: Reserve, error: UnavailableError) -> GuardDownError:
    """Return the error of a request for which the store, or the ledger, can't be asked."""
    # What clients read names no host: the log says what it is.
    reason = "its counters can't be reached"
    told: str | None = getattr(error, "budget", None)
    if told is not None:
        return GuardDownError(told, reason)
    for each in step.levels:
        if each.when_down == "fail_closed" and each.mode != "observe":
            return GuardDownError(each.budget, f"{reason} (when_down: fail_closed)")
    name = step.levels[0].budget if step.levels else "-"
    return GuardDownError(
        name, f"{reason}; to let its when_down decide, put a Fallback around the guard's store"
    )


def overdrawn(granted: Granted) -> tuple[BudgetFigures, ...]:
    """Return the observing budgets that what was granted does not fit into."""
    over = []
    for level, standing in zip(granted.hold.levels, granted.standings, strict=False):
        if level.mode == "observe" and room(level, standing) < 0:
            held = standing.held_nano_usd - granted.hold.nano_usd
            before = standing._replace(held_nano_usd=held)
            if is_short(level, before, granted.hold.nano_usd):
                over.append(figures(level, before, is_short=True))
    return tuple(over)
