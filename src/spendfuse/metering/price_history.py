"""A model's prices over time: which held when, and what changes between two days.

The book answers for one moment. Here its days and hours of change are put in order, so that no
change between two moments is missed, and prices by the hour are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple

from spendfuse.metering.catalogue import Rates, midnight
from spendfuse.metering.lookup import Turns
from spendfuse.metering.price import Price, PriceError
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.price_diff import is_free
from spendfuse.metering.processing import STANDARD

WAYS = (STANDARD, "batch", "flex", "priority", "fast")
"""All ways of processing that may have a price of their own."""
_ANY_DAY = date(2000, 1, 1)
_ONE_DAY = timedelta(days=1)

Prices = Mapping[str, Price]
"""By way of processing, for those that have a price."""
Hours = tuple[time, time]
"""Begin and end in UTC; the end may be past midnight."""


class Era(NamedTuple):
    """Days in which nothing about a model's prices changes, but perhaps by the hour."""

    from_day: date | None
    until_day: date | None
    """The first day on which it is over."""
    slices: tuple[Prices, ...]
    """One for each of the day's ``slice_hours``."""


class Stretch(NamedTuple):
    """Prices that hold on some days, for all of the day or only at some hours."""

    from_day: date | None
    until_day: date | None
    hours: tuple[Hours, ...]
    """None at all: the whole day."""
    prices: Prices

    def holds(self, at: datetime) -> bool:
        begun = self.from_day is None or at >= midnight(self.from_day)
        if not begun or (self.until_day is not None and at >= midnight(self.until_day)):
            return False
        return not self.hours or any(_within(hours, at) for hours in self.hours)


def prices_at(
    book: PriceBook, provider: str, model: str, at: datetime, *, ways: Iterable[str] = WAYS
) -> dict[str, Price]:
    """Return a model's prices by way of processing, as far as it has them.

    Raises:
        UnknownModelError: the book does not know the model.
    """
    prices = {}
    for way in ways:
        tier = None if way in {STANDARD, "batch"} else way
        try:
            price = book.price_of(provider, model, at=at, tier=tier, batch=way == "batch")
        except PriceError:
            continue
        # The catalogue knows models of which it has no price at all.
        if price.rates or is_free(price):
            prices[way] = price
    return prices


def all_turns(book: PriceBook, provider: str, model: str, at: datetime) -> Turns:
    """Return when the model's prices change, at any time, found from those known at ``at``."""
    days: set[date] = set()
    times: set[time] = set()
    moments = [at]
    while moments:
        turns = book.turns(provider, model, at=moments.pop())
        moments += map(midnight, turns.days - days)
        days |= turns.days
        times |= set(turns.times)
    return Turns(frozenset(days), tuple(sorted(times)))


def slice_hours(times: Sequence[time]) -> tuple[Hours, ...]:
    """Return the parts of a day between these times; none for a day of one piece."""
    return tuple(pairwise((*times, times[0]))) if times else ()


def joined_hours(hours: Iterable[Hours]) -> tuple[Hours, ...]:
    """Return hours in the day's order with those joined that follow each other."""
    joined: list[Hours] = []
    for begin, end in hours:
        if joined and joined[-1][1] == begin:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    if len(joined) > 1 and joined[-1][1] == joined[0][0]:
        after_midnight = joined.pop(0)
        joined[-1] = (joined[-1][0], after_midnight[1])
    return tuple(joined)


def eras(book: PriceBook, provider: str, model: str, turns: Turns) -> list[Era]:
    """Return the model's prices between all of its turns, oldest first."""
    bounds = [None, *sorted(turns.days), None]
    begins = turns.times or (time.min,)
    return [
        Era(begin, end, tuple(prices_at(book, provider, model, moment) for moment in moments))
        for begin, end in pairwise(bounds)
        for moments in [[_moment(begin, end, each) for each in begins]]
    ]


def history(book: PriceBook, provider: str, model: str, *, at: datetime) -> list[Stretch]:
    """Return the model's prices from the oldest to what is known of the future.

    Raises:
        UnknownModelError: the book does not know the model.
    """
    turns = all_turns(book, provider, model, at)
    hours = slice_hours(turns.times)
    found = _merged(eras(book, provider, model, turns))
    return [stretch for era in found for stretch in _stretches(era, hours)]


def any_price(prices: Prices) -> Price:
    """Return the standard price, or another where a model is sold in another way only."""
    return prices.get(STANDARD) or next(iter(prices.values()))


def rates_by_way(prices: Prices) -> dict[str, Rates | None]:
    """Return what two prices must share to be the same; None for what is free."""
    return {way: None if is_free(price) else price.rates for way, price in prices.items()}


def _moment(begin: date | None, end: date | None, at: time) -> datetime:
    day = begin or (end - _ONE_DAY if end else _ANY_DAY)
    return datetime.combine(day, at, UTC)


def _within(hours: Hours, at: datetime) -> bool:
    begin, end = hours
    now = at.astimezone(UTC).time()
    return begin <= now < end if begin < end else now >= begin or now < end


def _merged(found: Sequence[Era]) -> list[Era]:
    merged: list[Era] = []
    for era in found:
        if merged and _same(merged[-1], era):
            merged[-1] = merged[-1]._replace(until_day=era.until_day)
        else:
            merged.append(era)
    return merged


def _same(one: Era, other: Era) -> bool:
    return list(map(rates_by_way, one.slices)) == list(map(rates_by_way, other.slices))


def _stretches(era: Era, hours: Sequence[Hours]) -> Iterator[Stretch]:
    """Yield the era's prices, each once with all the hours at which it holds."""
    kinds: list[tuple[Prices, list[Hours]]] = []
    for index, prices in enumerate(era.slices):
        same = next((each for each in kinds if rates_by_way(each[0]) == rates_by_way(prices)), None)
        if same is None:
            same = (prices, [])
            kinds.append(same)
        same[1].extend(hours[index : index + 1])
    for prices, at in kinds:
        when = () if len(kinds) == 1 else joined_hours(at)
        yield Stretch(era.from_day, era.until_day, when, prices)
