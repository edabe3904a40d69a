"""Which counters a request is charged to: the budgets that match its attributes, now.

Matching runs in every request, so what was found for the same attributes is kept while all of its
periods last, and the limits are the same. Of the attributes, those count that a budget asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from spendfuse.budget import Budget, Limits, Rate
from spendfuse.guard.step import Level, RateLevel
from spendfuse.metering.attribution import attribute_text
from spendfuse.period import NEVER, Period, PeriodKind

MAX_CACHED = 10_000
"""Sets of attributes whose levels are remembered."""
_DIGEST_CHARACTERS = 32


class Levels(NamedTuple):
    """What one request is charged to."""

    budgets: tuple[Level, ...]
    rates: tuple[RateLevel, ...]
    since: datetime
    """The beginning of the last period that began: a clock may go back."""
    until: datetime
    """The end of the first period that ends."""
    fits: bool
    """Whether one of them lowers max_tokens to what is left."""
    observes: bool
    """Whether one of them only observes."""


class BudgetTree:
    """One version of the limits, ready for matching."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        scopes = [(each.match, each.per) for each in limits.budgets]
        scopes += [(each.match, each.per) for each in limits.rates]
        names = {name for match, per in scopes for name in (*match, per)}
        self._names = tuple(sorted(filter(None, names)))
        self.asks_provider = "provider" in self._names
        """Whether a budget or a rate matches on who bills the call."""
        self._found: dict[tuple[str | None, ...], Levels] = {}
        self._periods: dict[tuple[PeriodKind, str], _Span] = {}

    def levels(self, attributes: Mapping[str, str], at: datetime) -> Levels:
        """Return the levels of a request at ``at`` (aware); empty attributes count as absent."""
        key = tuple(map(attributes.get, self._names))
        found = self._found.get(key)
        if found is not None and found.since <= at < found.until:
            return found
        # As the meter cuts them, or guard and ledger would count them apart.
        values = tuple(attribute_text(each) if each else None for each in key)
        if values != key:
            found = self._found.get(values)
            if found is not None and found.since <= at < found.until:
                return found
        if len(self._found) >= MAX_CACHED:
            self._found.clear()
        found = self._match({n: v for n, v in zip(self._names, values, strict=True) if v}, at)
        self._found[values] = found
        return found

    def level(self, budget: Budget, value: str, at: datetime) -> Level:
        """Return the level of one budget, and of one of its values, at ``at``."""
        return self._level(budget, value, self._span(budget, at))

    def _match(self, attributes: Mapping[str, str], at: datetime) -> Levels:
        matching = [
            (each, self._span(each, at)) for each in self.limits.budgets if each.matches(attributes)
        ]
        return Levels(
            tuple(self._level(each, each.value_in(attributes), span) for each, span in matching),
            tuple(
                _rate_level(each, each.value_in(attributes))
                for each in self.limits.rates
                if each.matches(attributes)
            ),
            since=max((span.since for _, span in matching), default=_BEGINNING),
            until=min((span.until for _, span in matching), default=NEVER),
            fits=any(each.mode == "fit" for each, _ in matching),
            observes=any(each.mode == "observe" for each, _ in matching),
        )

    def _span(self, budget: Budget, at: datetime) -> _Span:
        key = (budget.period, budget.zone)
        span = self._periods.get(key)
        if span is None or not span.since <= at < span.until:
            period = budget.period_at(at)
            span = self._periods[key] = _Span(period.key, period.start, period.end)
        return span

    def _level(self, budget: Budget, value: str, span: _Span) -> Level:
        return Level(
            counter=counter_name(budget.name, span.key, value),
            budget=budget.name,
            value=value,
            period=span.key,
            limit_nano_usd=self.limits.limit_nano_usd(budget, value),
            mode=budget.mode,
            when_down=budget.when_down,
            local_share_percent=budget.local_share_percent,
            ends_at=0 if span.until == NEVER else int(span.until.timestamp()),
        )


class _Span(NamedTuple):
    """A period, with what is asked of it in every request."""

    key: str
    since: datetime
    until: datetime


_BEGINNING = Period.from_key("total", "total").start


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
