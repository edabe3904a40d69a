"""Ways of processing that cost more or less: batch, flex, priority, fast; and discounts.

A catalogue dates a variant from the day on which it learned of it, often long after the provider
began to sell it. Before that day the variant has the same relation to the standard price of the
time: half price stays half price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from spendfuse.metering.catalogue import Model, Rate, Rates, Row, Variant, midnight
from spendfuse.metering.overrides import Override
from spendfuse.metering.price import PriceError
from spendfuse.money import EXACT

STANDARD = "standard"
TIERS = frozenset({"flex", "priority", "fast"})
_STANDARD_NAMES = frozenset(
    {"", "standard", "default", "auto", "on_demand", "on-demand", "standard_only"}
)
_CONDITIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "batch": (("processing", "batch"),),
    "flex": (("service_tier", "flex"),),
    "priority": (("service_tier", "priority"),),
    "fast": (("service_tier", "fast"), ("speed", "fast")),
}
"""The catalogue's conditions for each way of processing."""
_DIGITS = Decimal(10) ** -15


def processing_of(tier: str | None, *, batch: bool) -> str:
    """Return the one way of processing that a tier and a batch flag mean.

    Raises:
        PriceError: they contradict each other, or the tier is unknown.
    """
    kind = (tier or "").strip().lower()
    if kind == "batch" or (batch and kind in _STANDARD_NAMES):
        return "batch"
    if batch:
        raise PriceError(f"a call is either in a batch or of tier {tier!r}; leave one out")
    if kind in _STANDARD_NAMES:
        return STANDARD
    if kind not in TIERS:
        raise PriceError(f"there is no tier {tier!r}; there are {', '.join(sorted(TIERS))}")
    return kind


def processed(
    model: Model, row: Row, entries: Sequence[Override], processing: str, at: datetime
) -> Rates:
    """Return the rates of a model in a way of processing.

    Args:
        model: as the catalogue has it.
        row: its standard prices at that time.
        entries: the overrides that hold then, later ones stronger.
        processing: standard, batch, flex, priority or fast.
        at: when.

    Raises:
        PriceError: nobody says what this way of processing costs.
    """
    patches: dict[str, Rate] = {}
    for entry in entries:
        patches.update(entry.rates)
    rates: Rates = {**row.rates, **patches}
    if processing != STANDARD:
        own = [entry.processing[processing] for entry in entries if processing in entry.processing]
        variant = _variant(model, processing, at)
        if own:
            rates = _by_override(rates, own[-1])
        elif variant is not None:
            rates = _by_variant(rates, patches, model, variant, at)
        else:
            raise _no_price(model, entries, processing)
    for entry in entries:
        if entry.discount_percent:
            share = Fraction(100 - entry.discount_percent) / 100
            rates = {unit: _times(rate, share) for unit, rate in rates.items()}
        if entry.surcharge_percent:
            rates = _times_tokens(rates, Fraction(100 + entry.surcharge_percent) / 100)
    return rates


def _by_override(rates: Rates, override: Decimal | Rates) -> Rates:
    if isinstance(override, Decimal):
        return _times_tokens(rates, Fraction(override))
    return {**rates, **override}


def _times_tokens(rates: Rates, share: Fraction) -> Rates:
    """Return the rates with those of tokens times ``share``: a search costs the same anywhere."""
    return {
        unit: _times(rate, share) if unit.endswith("_tokens") else rate
        for unit, rate in rates.items()
    }


def _variant(model: Model, processing: str, at: datetime) -> Variant | None:
    wanted = [each for each in model.variants if each.when in _CONDITIONS[processing]]
    held = [each for each in wanted if each.from_day is None or at >= midnight(each.from_day)]
    # The catalogue's first that holds wins; before all of them, the first that will.
    return next(iter(held or wanted), None)


def _by_variant(
    rates: Rates, patches: Rates, model: Model, variant: Variant, at: datetime
) -> Rates:
    """Return the rates with the variant's: as they stand, or in proportion to another price."""
    result = dict(rates)
    is_early = variant.from_day is not None and at < midnight(variant.from_day)
    then = _row_at(model, variant, at).rates
    for unit, rate in variant.rates.items():
        if (is_early or unit in patches) and unit in rates and unit in then and then[unit].usd:
            result[unit] = _times(rates[unit], Fraction(rate.usd) / Fraction(then[unit].usd))
        else:
            result[unit] = rate
    return result


def _row_at(model: Model, variant: Variant, at: datetime) -> Row:
    when = at if variant.from_day is None else max(at, midnight(variant.from_day))
    return row_at(model, when)


def row_at(model: Model, at: datetime) -> Row:
    """Return the row that holds at a time: the last that does, or the first of all."""
    return next((each for each in reversed(model.rows) if each.holds(at)), model.rows[0])


def _times(rate: Rate, share: Fraction) -> Rate:
    return Rate(
        _product(rate.usd, share), tuple((start, _product(usd, share)) for start, usd in rate.tiers)
    )


def _product(amount: Decimal, share: Fraction) -> Decimal:
    exact = Fraction(amount) * share
    amount = EXACT.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    return EXACT.normalize(EXACT.quantize(amount, _DIGITS))


def _no_price(model: Model, entries: Sequence[Override], processing: str) -> PriceError:
    kinds = {kind for kind in _CONDITIONS if any(kind in each.processing for each in entries)}
    kinds |= {
        kind
        for kind, conditions in _CONDITIONS.items()
        if any(each.when in conditions for each in model.variants)
    }
    return PriceError(
        f"{model.id} has no {processing} price; there are {', '.join([STANDARD, *sorted(kinds)])}. "
        "Add it under processing in your price overrides (docs/metering.md)"
    )
