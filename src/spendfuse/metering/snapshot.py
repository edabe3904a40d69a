"""The catalogue as JSON, and back: prices for a Lambda, which has no price library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import partial
from typing import Any

from spendfuse.metering.catalogue import (
    Catalogue,
    Clause,
    Model,
    Provider,
    Rate,
    Rates,
    Row,
    Variant,
)


def catalogue_json(catalogue: Catalogue, providers: Sequence[str]) -> dict[str, Any]:
    """Return some providers of a catalogue, as what JSON can hold."""
    wanted = [each for each in catalogue.providers if each.id in providers]
    return {"version": catalogue.version, "providers": [_provider_json(each) for each in wanted]}


def catalogue_from(raw: Mapping[str, Any]) -> Catalogue:
    """Return the catalogue that ``catalogue_json`` wrote."""
    return Catalogue(raw["version"], tuple(_provider(each) for each in raw["providers"]))


def _provider_json(provider: Provider) -> dict[str, Any]:
    return {
        "id": provider.id,
        "model_match": provider.model_match,
        "fallbacks": list(provider.fallbacks),
        "source": provider.source,
        "models": [_model_json(each) for each in provider.models()],
    }


def _provider(raw: Mapping[str, Any]) -> Provider:
    models = tuple(_model(each) for each in raw["models"])
    return Provider(
        id=raw["id"],
        model_match=_clause(raw["model_match"]),
        fallbacks=tuple(raw["fallbacks"]),
        source=raw["source"],
        models=partial(_same, models),
    )


def _same(models: tuple[Model, ...]) -> tuple[Model, ...]:
    return models


def _model_json(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "match": model.match,
        "rows": [
            {"rates": _rates_json(row.rates), "from": _text(row.from_day), "hours": _hours(row)}
            for row in model.rows
        ],
        "variants": [
            {
                "when": list(each.when),
                "rates": _rates_json(each.rates),
                "from": _text(each.from_day),
            }
            for each in model.variants
        ],
    }


def _model(raw: Mapping[str, Any]) -> Model:
    return Model(
        id=raw["id"],
        match=_clause(raw["match"]) or ("equals", raw["id"]),
        rows=tuple(
            Row(_rates(row["rates"]), _day(row["from"]), _times(row["hours"]))
            for row in raw["rows"]
        ),
        variants=tuple(
            Variant((each["when"][0], each["when"][1]), _rates(each["rates"]), _day(each["from"]))
            for each in raw["variants"]
        ),
    )


def _rates_json(rates: Rates) -> dict[str, list[Any]]:
    return {
        unit: [str(rate.usd), [[start, str(usd)] for start, usd in rate.tiers]]
        for unit, rate in rates.items()
    }


def _rates(raw: Mapping[str, Any]) -> dict[str, Rate]:
    return {
        unit: Rate(Decimal(usd), tuple((start, Decimal(each)) for start, each in tiers))
        for unit, (usd, tiers) in raw.items()
    }


def _clause(raw: Any) -> Clause | None:
    if raw is None:
        return None
    kind, what = raw
    return (kind, tuple(_clause(each) for each in what) if kind in {"any", "all"} else what)


def _hours(row: Row) -> list[str] | None:
    return [each.isoformat() for each in row.hours] if row.hours else None


def _times(raw: list[str] | None) -> tuple[time, time] | None:
    return (time.fromisoformat(raw[0]), time.fromisoformat(raw[1])) if raw else None


def _text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
