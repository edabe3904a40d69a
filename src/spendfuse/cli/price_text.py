"""What ``spendfuse prices cost``, ``show`` and ``list`` say to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from spendfuse.cli.price_layout import (
    GAP,
    NONE,
    UNITS,
    aligned,
    dollars,
    even,
    hours_text,
    moment,
    per,
    table,
    width,
    words,
)
from spendfuse.metering.catalogue import Rates
from spendfuse.metering.price import Cost, Price
from spendfuse.metering.price_diff import is_free
from spendfuse.metering.price_history import Prices, Stretch, any_price
from spendfuse.metering.price_list import ListedPrice

_LISTED = ("input_tokens", "cached_input_tokens", "output_tokens")
_LISTED_WIDTH = 12
_SHORTEST_NAME = 20


def cost_lines(cost: Cost, model: str, at: datetime) -> Iterator[str]:
    price = cost.price
    parts = sorted(cost.parts(), key=lambda each: UNITS.index(each.name))
    rates = aligned([dollars(part.usd_per) for part in parts])
    *amounts, total = even([*(part.usd for part in parts), cost.usd])
    rows = [
        (part.name, f"{part.count:,}", f"{rate} {per(part.name)}", amount)
        for part, rate, amount in zip(parts, rates, amounts, strict=True)
    ]
    heads = ("unit", "count", "price", "cost")
    yield f"{_heading(price, model)}, {price.tier}"
    yield ""
    if is_free(price):
        yield f"{GAP}{total}: the price overrides say that it is free"
    else:
        yield from table([heads, *rows, ("total", "", "", total)], right=(1, 2, 3))
    yield ""
    since = f", price from {price.valid_from}" if price.valid_from else ""
    yield f"At {moment(at)}{since}"
    yield from _provenance(price)


def _heading(price: Price, model: str) -> str:
    like = "" if model.strip().lower() == price.model.lower() else f", priced as {price.model}"
    return f"{price.provider} {model}{like}"


def _provenance(price: Price) -> Iterator[str]:
    if price.source:
        yield f"Source {price.source}"
    yield f"Book {price.version}"


def show_lines(
    model: str, stretches: Sequence[Stretch], now: Stretch, at: datetime
) -> Iterator[str]:
    price = any_price(now.prices)
    hours = f", at {hours_text(now.hours)} UTC" if now.hours else ""
    yield _heading(price, model)
    yield f"At {moment(at)}: the prices {_validity(now)}{hours}"
    yield ""
    yield from _rate_table(now.prices)
    if len(stretches) > 1:
        yield ""
        yield from _history_table(stretches, now)
    yield ""
    yield from _provenance(price)


def _validity(stretch: Stretch) -> str:
    begin = f"from {stretch.from_day}" if stretch.from_day else ""
    until = f"until {stretch.until_day}" if stretch.until_day else ""
    return " ".join(filter(None, [begin, until])) or "of all days that the book knows"


def _rate_table(prices: Prices) -> Iterator[str]:
    free = [way for way, price in prices.items() if is_free(price)]
    if free:
        yield f"{GAP}Free, say the price overrides: {', '.join(free)}"
    ways = [way for way in prices if way not in free]
    if not ways:
        return
    rates = [prices[way].rates for way in ways]
    rows = list(_rate_rows(rates))
    columns = [aligned([_usd(each, *row) for row in rows]) for each in rates]
    body = [(unit, per(unit), *amounts) for (unit, _), *amounts in zip(rows, *columns, strict=True)]
    head, *lines = table([("unit", "", *ways), *body], right=range(2, len(ways) + 2))
    yield head
    for start, group in groupby(zip(rows, lines, strict=True), key=lambda each: each[0][1]):
        if start:
            yield f"{GAP}above {start:,} input tokens"
        yield from (line for _, line in group)


def _rate_rows(rates: Sequence[Rates]) -> Iterator[tuple[str, int]]:
    """Yield (unit, input tokens above which its price holds), tier by tier."""
    units = [unit for unit in UNITS if any(unit in each for each in rates)]
    starts = {start for each in rates for rate in each.values() for start, _ in rate.tiers}
    for start in sorted({0, *starts}):
        for unit in units:
            tiers = {each for rate in rates if unit in rate for each, _ in rate[unit].tiers}
            if not start or start in tiers:
                yield unit, start


def _usd(rates: Rates, unit: str, start: int) -> str:
    return dollars(rates[unit].at(start + 1 if start else 0)) if unit in rates else NONE


def _history_table(stretches: Sequence[Stretch], now: Stretch) -> Iterator[str]:
    """Yield what the standard price was and will be, newest first; of units that change."""
    rates = [_standard(each) for each in stretches]
    units = [
        unit
        for unit in UNITS
        if len({each[unit] for each in rates if unit in each}) > 1
        or 0 < sum(unit in each for each in rates) < len(rates)
    ]
    columns = [aligned([_usd(each, unit, 0) for each in rates]) for unit in units]
    rows = [
        (
            str(each.from_day or "before"),
            hours_text(each.hours),
            *amounts,
            "now" if each is now else "",
        )
        for each, *amounts in zip(stretches, *columns, strict=True)
    ]
    heads = ("from", "UTC", *map(words, units), "")
    shown = [heads, *reversed(rows)]
    if not any(each.hours for each in stretches):
        shown = [(row[0], *row[2:]) for row in shown]
    first = len(shown[0]) - len(units) - 1
    yield "History, standard processing"
    yield from table(shown, right=range(first, first + len(units)))


def _standard(stretch: Stretch) -> Rates:
    return any_price(stretch.prices).rates if stretch.prices else {}


def list_lines(listed: Sequence[ListedPrice]) -> Iterator[str]:
    longest = max(len(each.model) for each in listed)
    amounts_width = len(_LISTED) * (_LISTED_WIDTH + 1)
    room = min(longest, max(_SHORTEST_NAME, width() - len(GAP) - amounts_width))
    heads = "".join(f" {words(unit):>{_LISTED_WIDTH}}" for unit in _LISTED)
    yield "US dollars per million tokens, standard processing"
    for provider, models in groupby(listed, key=lambda each: each.provider):
        rows = list(models)
        columns = [aligned([_listed_usd(each.price, unit) for each in rows]) for unit in _LISTED]
        yield ""
        yield f"{provider:<{room + len(GAP)}}{heads}"
        for each, *amounts in zip(rows, *columns, strict=True):
            cells = "".join(f" {amount:>{_LISTED_WIDTH}}" for amount in amounts)
            yield from _list_row(each.model, _in_words(each.price) or cells.rstrip(), room)


def _list_row(name: str, price: str, room: int) -> Iterator[str]:
    line = f"{GAP}{name:<{room}}{price}"
    if len(name) <= room and len(line) <= width():
        yield line
        return
    indent = min(len(GAP) + room, max(len(GAP), width() - len(price)))
    yield f"{GAP}{name}"
    yield " " * indent + price


def _listed_usd(price: Price | None, unit: str) -> str:
    rates = price.rates if price else {}
    return dollars(rates[unit].usd) if unit in rates else NONE


def _in_words(price: Price | None) -> str:
    """Return a price that the columns have no room for: it is not by text tokens."""
    if price is None:
        return f"{GAP}no price"
    if is_free(price):
        return f"{GAP}free"
    if any(unit in price.rates for unit in _LISTED):
        return ""
    rates = [f"{words(unit)} {_usd(price.rates, unit, 0)} {per(unit)}" for unit in price.rates]
    return GAP + ", ".join(rates)
