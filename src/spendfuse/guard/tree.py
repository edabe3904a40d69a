"""Which counters a request is charged to: the budgets that match its attributes, now.

Matching runs in every request, so what was found for the same attributes is kept until a period
ends or the limits change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from spendfuse.budget import Budget, Limits, Rate
from spendfuse.guard.step import Level, RateLevel
from spendfuse.period import NEVER

MAX_CACHED = 10_000
"""Sets of attributes whose levels are remembered."""
_DIGEST_CHARACTERS = 32


class Levels(NamedTuple):
    """What one request is charged to."""

    budgets: tuple[Level, ...]
    rates: tuple[RateLevel, ...]
    until: datetime
    """The end of the first period that ends."""


class BudgetTree:
    """One version of the limits, ready for matching."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._found: dict[tuple[tuple[str, str], ...], Levels] = {}

    def levels(self, attributes: Mapping[str, str], at: datetime) -> Levels:
        """Return the levels of a request with these attributes at ``at`` (aware)."""
        key = tuple(attributes.items())
        found = self._found.get(key)
        if found is not None and at < found.until:
            return found
        if len(self._found) >= MAX_CACHED:
            self._found.clear()
        found = self._match(attributes, at)
        self._found[key] = found
        return found

    def _match(self, attributes: Mapping[str, str], at: datetime) -> Levels:
        matching = [each for each in self.limits.budgets if each.matches(attributes)]
        return Levels(
            tuple(level_of(self.limits, each, each.value_in(attributes), at) for each in matching),
            tuple(
                _rate_level(each, each.value_in(attributes))
                for each in self.limits.rates
                if each.matches(attributes)
            ),
            min((each.period_at(at).end for each in matching), default=NEVER),
        )


def level_of(limits: Limits, budget: Budget, value: str, at: datetime) -> Level:
    """Return the level of one budget, and of one of its values, at ``at``."""
    period = budget.period_at(at)
    end = period.end
    return Level(
        counter=counter_name(budget.name, period.key, value),
        budget=budget.name,
        value=value,
        period=period.key,
        limit_nano_usd=limits.limit_nano_usd(budget, value),
        mode=budget.mode,
        when_down=budget.when_down,
        local_share_percent=budget.local_share_percent,
        ends_at=0 if end == NEVER else int(end.timestamp()),
    )


def counter_name(budget: str, period: str, value: str = "") -> str:
    """Return a counter's name in every store.

    A value can be anything that somebody calls himself, so it stands there as a hash: no name
    that is made up reaches another's counter, and no key tells who it is.
    """
    name = f"{budget}/{period}"
    if not value:
        return name
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name}/{digest[:_DIGEST_CHARACTERS]}"


def _rate_level(rate: Rate, value: str) -> RateLevel:
    return RateLevel(
        counter_name(rate.name, "rate", value), rate.name, value, rate.nano_usd_per_minute
    )
