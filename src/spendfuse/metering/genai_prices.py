"""The catalogue from the ``genai-prices`` library: prices kept by people who do it well.

A row of theirs becomes a row of ours; units that we do not count are left out, so that a usage
which needs one has no price rather than a wrong one. https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from genai_prices import types
from genai_prices.data import providers as their_providers

from spendfuse.metering.catalogue import Catalogue, Clause, Model, Provider, Rate, Row, Variant

UNITS: Mapping[str, str] = {
    "input_mtok": "input_tokens",
    "output_mtok": "output_tokens",
    "cache_read_mtok": "cached_input_tokens",
    "cache_write_mtok": "cache_write_tokens",
    "cache_write_1h_mtok": "cache_write_1h_tokens",
    "output_reasoning_mtok": "reasoning_tokens",
    "output_citation_mtok": "citation_tokens",
    "input_audio_mtok": "input_audio_tokens",
    "output_audio_mtok": "output_audio_tokens",
    "cache_audio_read_mtok": "cached_audio_tokens",
    "input_image_mtok": "input_image_tokens",
    "output_image_mtok": "output_image_tokens",
    "cache_image_read_mtok": "cached_image_tokens",
    "input_video_mtok": "input_video_tokens",
    "output_video_mtok": "output_video_tokens",
    "input_mchars": "characters",
    "audio_hours": "audio_seconds",
    "input_audio_hours": "audio_seconds",
    "input_document_kpages": "pages",
    "input_annotated_document_kpages": "annotated_pages",
    "web_searches_kcount": "web_searches",
    "storage_searches_kcount": "file_searches",
    "requests_kcount": "requests",
}
"""Our unit for each of their price keys; both list a price per the same number of units."""


def genai_catalogue() -> Catalogue:
    """Return the installed library's prices; a provider's models are translated when needed."""
    return Catalogue(
        version=f"genai-prices-{version('genai-prices')}",
        providers=tuple(_provider(each) for each in their_providers),
    )


def _provider(theirs: types.Provider) -> Provider:
    return Provider(
        id=theirs.id,
        model_match=_clause(theirs.model_match),
        fallbacks=tuple(theirs.fallback_model_providers or ()),
        source=(theirs.pricing_urls or [""])[0],
        models=cache(partial(_models, theirs)),
    )


def _models(theirs: types.Provider) -> tuple[Model, ...]:
    return tuple(
        Model(
            # Theirs is no id that Bedrock takes: a region without a profile has the price too.
            id=each.id.removeprefix("regional."),
            match=_clause(each.match) or ("equals", each.id.lower()),
            rows=tuple(_rows(each)),
            variants=tuple(_variants(each)),
            context_window=each.context_window,
        )
        for each in theirs.models
    )


def _rows(model: types.ModelInfo) -> Iterator[Row]:
    if isinstance(model.prices, types.ModelPrice):
        yield Row(_rates(model.prices))
        return
    for conditional in model.prices:
        constraint = conditional.constraint
        yield Row(
            _rates(conditional.prices),
            from_day=getattr(constraint, "start_date", None),
            hours=_hours(constraint),
        )


def _hours(constraint: object) -> Any:
    if not isinstance(constraint, types.TimeOfDateConstraint):
        return None
    # All of theirs are in UTC; the test of the catalogue says so when that changes.
    return (
        constraint.start_time.replace(tzinfo=None),
        constraint.end_time.replace(tzinfo=None),
    )


def _variants(model: types.ModelInfo) -> Iterator[Variant]:
    for variant in model.price_variants or ():
        rates = _rates(variant.prices)
        if len(variant.when) == 1:
            (when,) = variant.when.items()
            yield Variant(when, rates, getattr(variant.constraint, "start_date", None))


def _rates(prices: types.ModelPrice) -> dict[str, Rate]:
    rates = {}
    for key, value in vars(prices).items():
        if key in UNITS and value is not None:
            rates[UNITS[key]] = _rate(value)
    return rates


def _rate(value: Any) -> Rate:
    if isinstance(value, types.TieredPrices):
        return Rate(value.base, tuple((tier.start, tier.price) for tier in value.tiers))
    return Rate(value)


_KINDS: Mapping[type, str] = {
    types.ClauseEquals: "equals",
    types.ClauseStartsWith: "starts_with",
    types.ClauseEndsWith: "ends_with",
    types.ClauseContains: "contains",
}


def _clause(theirs: Any) -> Clause | None:
    if theirs is None:
        return None
    if isinstance(theirs, types.ClauseOr):
        return ("any", tuple(_clause(each) for each in theirs.or_))
    if isinstance(theirs, types.ClauseAnd):
        return ("all", tuple(_clause(each) for each in theirs.and_))
    if isinstance(theirs, types.ClauseRegex):
        return ("regex", theirs.regex)
    field = _KINDS[type(theirs)]
    return (field.partition("_")[0], getattr(theirs, field).lower())
