"""One price, compiled: integers for each field of a usage, and one rounding a request.

A part's price replaces its whole's: cached input costs the cached rate and not the input rate.
As counts are contained in each other, the cost is linear in them, so that a price is a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

from spendfuse.errors import InputError
from spendfuse.metering.catalogue import PER, Rates
from spendfuse.metering.usage import FIELDS, FIRST_NOT_TOKENS, Usage
from spendfuse.money import EXACT, NANO_PER_USD
from spendfuse.money import usd as dollars

SCALE = 9_000_000
"""A multiple of all in ``PER``: prices of all units are whole nano-dollars times SCALE."""

PARENTS: dict[str, tuple[str, ...]] = {
    "cached_input_tokens": ("input_tokens",),
    "cache_write_tokens": ("input_tokens",),
    "cache_write_1h_tokens": ("cache_write_tokens",),
    "reasoning_tokens": ("output_tokens",),
    "citation_tokens": ("output_tokens",),
    "input_audio_tokens": ("input_tokens",),
    "output_audio_tokens": ("output_tokens",),
    "cached_audio_tokens": ("input_audio_tokens", "cached_input_tokens"),
    "input_image_tokens": ("input_tokens",),
    "output_image_tokens": ("output_tokens",),
    "cached_image_tokens": ("input_image_tokens", "cached_input_tokens"),
    "input_video_tokens": ("input_tokens",),
    "output_video_tokens": ("output_tokens",),
}
_JOINS = {"cached_audio_tokens": "input_audio_tokens", "cached_image_tokens": "input_image_tokens"}
_INDEX = {name: index for index, name in enumerate(FIELDS)}
_OTHER_DEFAULTS = tuple(Usage())[FIRST_NOT_TOKENS:]

Terms = tuple[tuple[int, int], ...]
"""(index of the field, nano-dollars times SCALE a unit), without zeros."""


class PriceError(InputError):
    """The book knows the model, but not what this usage of it costs."""


@dataclass(frozen=True, slots=True)
class CostPart:
    """One line of a cost: ``count`` units at ``usd_per`` dollars for each ``per`` of them."""

    name: str
    count: int
    usd_per: Decimal
    per: int
    usd: Decimal
    """Exact; the sum over all parts is rounded up once, to the nano-dollar."""


@dataclass(frozen=True, slots=True, eq=False)
class Price:
    """What a model costs at a time, in one processing tier."""

    provider: str
    model: str
    """The book's id, which may cover many names."""
    rates: Rates
    terms: Terms
    tiers: tuple[tuple[int, Terms], ...]
    """(input tokens above which they hold, terms), highest first."""
    unpriced: tuple[str, ...]
    """Fields that count for nothing here: a usage with one of them has no price."""
    unpriced_tokens: bool
    """Whether tokens are among them: output of an embedding model, say."""
    version: str
    source: str
    valid_from: date | None = None
    tier: str = "standard"
    context_window: int | None = None
    """Tokens of input and output together; None where the catalogue does not say."""

    def nano_usd(self, usage: Usage) -> int:
        """Return the cost, rounded up to the nano-dollar.

        Raises:
            PriceError: the usage has units that this model has no price for.
        """
        terms = self.terms
        if self.tiers:
            terms = self._terms_at(usage[0])
        total = 0
        for index, nano in terms:
            total += nano * usage[index]
        if self.unpriced_tokens or usage[FIRST_NOT_TOKENS:] != _OTHER_DEFAULTS:
            self._check(usage)
        # What overlaps without being said (cached audio) could go below zero by its rounding.
        return -(-total // SCALE) if total > 0 else 0

    def _terms_at(self, input_tokens: int) -> Terms:
        for start, terms in self.tiers:
            if input_tokens > start:
                return terms
        return self.terms

    def _check(self, usage: Usage) -> None:
        missing = [name for name in self.unpriced if usage[_INDEX[name]]]
        if missing:
            counts = ", ".join(f"{name} ({usage[_INDEX[name]]})" for name in missing)
            raise PriceError(
                f"{self.provider} {self.model} has no price for {counts}; "
                "add one to your price overrides"
            )

    def parts(self, usage: Usage) -> list[CostPart]:
        """Return what the cost is made of, without the parts that are zero."""
        parts = []
        for name, leaf in _leaves(frozenset(self.rates)).items():
            count = sum(sign * usage[index] for index, sign in leaf)
            rate = self.rates[name].at(usage.input_tokens)
            if count:
                usd = EXACT.divide(EXACT.multiply(rate, count), PER[name])
                parts.append(CostPart(name, count, rate, PER[name], usd))
        return parts


class Cost:
    """What one usage costs: integer nano-dollars now, Decimal dollars when somebody asks."""

    __slots__ = ("nano_usd", "price", "usage")

    def __init__(self, nano_usd: int, price: Price, usage: Usage) -> None:
        self.nano_usd = nano_usd
        self.price = price
        self.usage = usage

    @property
    def usd(self) -> Decimal:
        return dollars(self.nano_usd)

    def parts(self) -> list[CostPart]:
        """Return what the cost is made of."""
        return self.price.parts(self.usage)

    def __repr__(self) -> str:
        return f"Cost({self.usd} USD, {self.price.provider} {self.price.model})"


@lru_cache(maxsize=256)
def _leaves(priced: frozenset[str]) -> dict[str, Terms]:
    """Return for each priced unit what it is billed for: its count less that of its parts."""
    leaves: dict[str, dict[int, int]] = {}
    for name in sorted(priced, key=lambda each: (-len(_ancestors(each)), each)):
        leaf = {_INDEX[name]: 1}
        for part, part_leaf in leaves.items():
            if name in _ancestors(part):
                for index, sign in part_leaf.items():
                    leaf[index] = leaf.get(index, 0) - sign
        leaves[name] = leaf
    return {
        name: tuple((index, sign) for index, sign in leaves[name].items() if sign)
        for name in sorted(leaves, key=_INDEX.__getitem__)
    }


@lru_cache(maxsize=64)
def _ancestors(name: str) -> frozenset[str]:
    parents = PARENTS.get(name, ())
    return frozenset(parents).union(*(_ancestors(each) for each in parents))


def compiled(
    rates: Rates,
    *,
    provider: str,
    model: str,
    version: str,
    source: str,
    valid_from: date | None = None,
    tier: str = "standard",
    is_free: bool = False,
    context_window: int | None = None,
) -> Price:
    """Compile rates; what is free has none, and costs nothing whatever is counted."""
    rates = with_joins(rates)
    starts = sorted({start for rate in rates.values() for start, _ in rate.tiers}, reverse=True)
    unpriced = () if is_free else _unpriced(set(rates))
    return Price(
        provider=provider,
        model=model,
        rates=rates,
        terms=_terms(rates, 0),
        tiers=tuple((start, _terms(rates, start + 1)) for start in starts),
        unpriced=unpriced,
        unpriced_tokens=any(_INDEX[name] < FIRST_NOT_TOKENS for name in unpriced),
        version=version,
        source=source,
        valid_from=valid_from,
        tier=tier,
        context_window=context_window,
    )


def _unpriced(priced: set[str]) -> tuple[str, ...]:
    return tuple(
        name
        for name in FIELDS
        if name != "requests" and name not in priced and not _ancestors(name) & priced
    )


def with_joins(rates: Rates) -> Rates:
    """Return the rates with one for cached audio and images where both wholes have one.

    Where a provider lists no discount for them, they cost what they cost uncached.
    """
    missing = {
        join: rates[part]
        for join, part in _JOINS.items()
        if join not in rates and part in rates and "cached_input_tokens" in rates
    }
    return {**rates, **missing}


def _terms(rates: Rates, input_tokens: int) -> Terms:
    totals: dict[int, int] = {}
    for name, leaf in _leaves(frozenset(rates)).items():
        nano = _scaled(rates[name].at(input_tokens), PER[name])
        for index, sign in leaf:
            totals[index] = totals.get(index, 0) + sign * nano
    return tuple(sorted((index, nano) for index, nano in totals.items() if nano))


def _scaled(price: Decimal, per: int) -> int:
    return ceil(Fraction(price) * NANO_PER_USD * (SCALE // per))
