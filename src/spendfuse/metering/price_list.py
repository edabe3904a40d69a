"""All models that the book knows by name, with what they cost on a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from spendfuse.errors import InputError
from spendfuse.metering import names
from spendfuse.metering.price import Price, PriceError
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.price_diff import is_free


class ListedPrice(NamedTuple):
    provider: str
    model: str
    price: Price | None
    """The standard price; None where the book has none on that day."""


def listed_prices(
    book: PriceBook, at: datetime, *, provider: str | None = None, text: str = ""
) -> Iterator[ListedPrice]:
    """Yield the models whose ``provider/model`` contains a text, whatever its case."""
    wanted = text.strip().lower()
    for seller, model in book.names(provider):
        if wanted in f"{seller}/{model}".lower():
            yield ListedPrice(seller, model, _price(book, seller, model, at))


def known_provider(book: PriceBook, name: str) -> str:
    """Return the book's id for a provider.

    Raises:
        InputError: the book has no model of it; names the nearest that it has.
    """
    known = book.provider_id(name)
    providers = {seller for seller, _ in book.names()}
    if known in providers:
        return known
    nearest = names.nearest(name, sorted(providers))
    like = f"; nearest: {', '.join(nearest)}" if nearest else ""
    raise InputError(f"the price book has no provider {name!r}{like}")


def _price(book: PriceBook, provider: str, model: str, at: datetime) -> Price | None:
    try:
        price = book.price_of(provider, model, at=at)
    except PriceError:
        return None
    return price if price.rates or is_free(price) else None
