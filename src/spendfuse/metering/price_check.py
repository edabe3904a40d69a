"""Where the price book and a published table differ, so that a person can look which is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from spendfuse.metering.catalogue import Rates
from spendfuse.metering.litellm_table import Listed
from spendfuse.metering.lookup import UnknownModelError
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.price_diff import RateDiff, is_free, rate_diffs
from spendfuse.metering.price_history import prices_at

TOLERANCE = Decimal("0.001")
"""Prices that differ by less are the same: both tables round."""
_INSTEAD_OF_TOKENS = {"audio_seconds", "characters"}


class Difference(NamedTuple):
    """One price that the two have otherwise: ``before`` is ours, ``after`` the table's."""

    model: str
    matched: str
    """The book's id."""
    processing: str
    rate: RateDiff


@dataclass
class ProviderCheck:
    """What came of the models of one provider."""

    provider: str
    same: int = 0
    differing: list[Difference] = field(default_factory=list)
    without_price: int = 0
    """The table says $0, which means free to one and unknown to another."""
    unknown: list[str] = field(default_factory=list)
    """Names that the book does not know."""

    @property
    def differing_models(self) -> int:
        """How many models have a price in both, and not the same."""
        return len(self._models_with_other_prices())

    @property
    def missing_models(self) -> int:
        """How many models have what we know at the same price, and more that we lack."""
        return len({each.model for each in self.differing} - self._models_with_other_prices())

    @property
    def compared(self) -> int:
        return self.same + self.differing_models + self.missing_models

    def _models_with_other_prices(self) -> set[str]:
        return {each.model for each in self.differing if each.rate.before is not None}


def check(book: PriceBook, table: Iterable[Listed], at: datetime) -> list[ProviderCheck]:
    """Compare all that a table lists with the book, by provider; units it lacks are passed over."""
    checks: dict[str, ProviderCheck] = {}
    for listed in table:
        provider = book.provider_id(listed.provider)
        result = checks.setdefault(provider, ProviderCheck(provider))
        if not any(rate.usd for rates in listed.prices.values() for rate in rates.values()):
            result.without_price += 1
            continue
        try:
            found = differences(book, listed, at)
        except UnknownModelError:
            result.unknown.append(listed.name)
            continue
        result.differing += found
        result.same += not found
    return sorted(checks.values(), key=lambda each: each.provider)


def differences(book: PriceBook, listed: Listed, at: datetime) -> list[Difference]:
    """Return where the book differs from what a table lists for a model."""
    ours = prices_at(book, listed.provider, listed.name, at, ways=listed.prices)
    found = []
    for way, theirs in listed.prices.items():
        price = ours.get(way)
        if price is not None and is_free(price):
            continue
        rates = price.rates if price else {}
        units = {unit for unit in theirs if unit in rates or _says_something(unit, theirs)}
        diffs = rate_diffs(rates, theirs, units=units, tolerance=TOLERANCE)
        matched = price.model if price else ""
        found += [Difference(listed.name, matched, way, each) for each in diffs]
    return found


def _says_something(unit: str, rates: Rates) -> bool:
    """Return whether a table's price is one that we lack, if we have none for the unit."""
    # Nobody sells a part of the input at $0: it is litellm's way to say "not apart". And where
    # it has seconds or characters beside tokens, they are the same amount in other words.
    is_beside_tokens = unit in _INSTEAD_OF_TOKENS and "input_tokens" in rates
    return rates[unit].usd > 0 and not is_beside_tokens
