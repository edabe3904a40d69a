"""A catalogue made by hand: one provider, with prices by day, by hour and by way of processing."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal

from spendfuse.metering.catalogue import Catalogue, Model, Provider, Rate, Row, Variant
from spendfuse.metering.overrides import parsed
from spendfuse.metering.price_book import PriceBook


def rates(input_usd: str, output_usd: str) -> dict[str, Rate]:
    return {"input_tokens": Rate(Decimal(input_usd)), "output_tokens": Rate(Decimal(output_usd))}


MODELS = (
    Model("steady", ("equals", "steady"), (Row(rates("1", "2")),)),
    Model(
        "dated",
        ("equals", "dated"),
        (
            Row(rates("10", "40")),
            Row(rates("5", "20"), from_day=date(2026, 3, 1)),
            Row(rates("2", "8"), from_day=date(2026, 6, 10)),
        ),
        (Variant(("processing", "batch"), rates("1", "4"), from_day=date(2026, 6, 10)),),
    ),
    Model(
        "hourly",
        ("equals", "hourly"),
        (
            Row(rates("4", "8"), hours=(time(8), time(20))),
            Row(rates("2", "4"), hours=(time(20), time(8))),
        ),
    ),
)
CATALOGUE = Catalogue(
    "hand-made",
    (Provider("acme", None, (), "https://acme.example", lambda: MODELS),),
)


def book(*entries: dict[str, object]) -> PriceBook:
    """Return the catalogue's book, under overrides if there are some."""
    document = {"schema": 1, "version": "own", "prices": list(entries)}
    return PriceBook(CATALOGUE, [parsed(document, name="own")] if entries else [])
