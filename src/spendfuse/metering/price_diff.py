"""How two prices of a model differ: unit by unit, and tier by tier."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from spendfuse.metering.catalogue import Rate, Rates
from spendfuse.metering.price import PARENTS, Price
from spendfuse.metering.usage import FIELDS

EQUAL = Decimal(0)


class RateDiff(NamedTuple):
    """One unit's price on two sides; None where a side has no price for it."""

    unit: str
    above: int
    """It holds for requests with more input tokens than this; 0 for all others."""
    before: Decimal | None
    after: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """By how much the price after is above the one before; None where that says nothing."""
        if self.before is None or self.after is None or not self.before:
            return None
        return (self.after - self.before) * 100 / self.before


def is_free(price: Price) -> bool:
    """Return whether the model costs nothing, whatever is counted."""
    return not price.rates and not price.unpriced


def billed_rate(rates: Rates, unit: str) -> Rate | None:
    """Return what a unit is billed at: its own price, or that of the whole it is part of."""
    if unit in rates:
        return rates[unit]
    wholes = (billed_rate(rates, whole) for whole in PARENTS.get(unit, ()))
    return next((rate for rate in wholes if rate is not None), None)


def rate_diffs(
    before: Rates,
    after: Rates,
    *,
    units: Container[str] = FIELDS,
    tolerance: Decimal = EQUAL,
) -> tuple[RateDiff, ...]:
    """Return where two sets of prices differ.

    Args:
        before: one side.
        after: the other.
        units: only these are compared.
        tolerance: the share of the larger price up to which two prices are the same.
    """
    listed = [unit for unit in FIELDS if unit in units and (unit in before or unit in after)]
    found: list[RateDiff] = []
    for unit in listed:
        old, new = billed_rate(before, unit), billed_rate(after, unit)
        base = RateDiff(unit, 0, old.usd if old else None, new.usd if new else None)
        if _differ(base, tolerance):
            found.append(base)
        found += (each for each in _tier_diffs(unit, old, new) if _differ(each, tolerance))
    return tuple(found)


def _tier_diffs(unit: str, old: Rate | None, new: Rate | None) -> Iterator[RateDiff]:
    starts = {start for rate in (old, new) if rate for start, _ in rate.tiers}
    # From 200,000 tokens on, or above 200,000: which of the two, price tables tell loosely.
    for start in sorted(each for each in starts if each + 1 not in starts):
        tokens = start + 1
        yield RateDiff(
            unit, start, old.at(tokens) if old else None, new.at(tokens) if new else None
        )


def _differ(diff: RateDiff, tolerance: Decimal) -> bool:
    before, after = diff.before, diff.after
    if before is None or after is None:
        return before is not after
    return abs(before - after) > tolerance * max(before, after)


def price_diffs(
    before: Mapping[str, Price], after: Mapping[str, Price]
) -> dict[str, tuple[RateDiff, ...]]:
    """Return where two sets of prices differ, by way of processing."""
    found = {}
    for way in dict.fromkeys([*before, *after]):
        old, new = _rates(before, way, after), _rates(after, way, before)
        if diffs := rate_diffs(old, new):
            found[way] = diffs
    return found


def _rates(side: Mapping[str, Price], way: str, other: Mapping[str, Price]) -> Rates:
    price = side.get(way)
    if price is None:
        return {}
    if is_free(price):
        units = other[way].rates if way in other else ("input_tokens", "output_tokens")
        return dict.fromkeys(units, Rate(Decimal(0)))
    return price.rates
