"""What the ledger shows of itself, as data points for a metrics store. Pure.

*Flows* are what happened, under the minute in which it did; they are added up. *Gauges* are how
things stand. Money stays exact here: whoever writes to CloudWatch turns it into the floats that it
takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from spendfuse import metrics
from spendfuse.ledger.named_values import NamedValues, dimension_value
from spendfuse.ledger.tally import Series, SeriesBy, SeriesKey, bucket_ms, start_of
from spendfuse.money import EXACT, usd

Unit = Literal["None", "Count", "Percent", "Milliseconds"]
Number = int | float | Decimal
_DOLLARS: Unit = "None"

_ERROR_MINUTES = 5
_HUNDRED = Decimal(100)
_OLDEST = timedelta(days=14) - timedelta(hours=1)
"""CloudWatch refuses what is two weeks old; the hour is for a run that comes late."""
_NEWEST = timedelta(hours=2)
_DIMENSIONS: Mapping[SeriesBy, str] = {"model": metrics.MODEL, "feature": metrics.FEATURE}


class Datum(NamedTuple):
    """One data point; the deployment, which all of them have, is left to who publishes it."""

    name: str
    unit: Unit
    at: datetime
    values: tuple[tuple[Number, int], ...]
    """Each value, and how often it occurred."""
    by: tuple[str, str] | None = None
    """A further dimension and its value."""


class Standing(Protocol):
    """How things stand, as ``SeriesState`` knows it."""

    def spent_on(self, day: date) -> int: ...
    def month_to_date(self, now: datetime) -> int: ...
    def last_hour(self, now: datetime) -> int: ...
    def minutes_since_usage(self, now: datetime) -> int | None: ...
    def errors_of_last(self, minutes: int, now: datetime) -> tuple[int, int]: ...


class BudgetSpend(NamedTuple):
    """What a budget has spent in its current period, beside the limit in force."""

    budget: str
    spent_nano_usd: int
    limit_nano_usd: int

    @property
    def used_percent(self) -> Decimal:
        """Of a limit of $0 nothing is used until something is spent, and then all of it."""
        if self.limit_nano_usd:
            return _percent(self.spent_nano_usd, self.limit_nano_usd)
        return _HUNDRED if self.spent_nano_usd > 0 else Decimal(0)


class Flows(NamedTuple):
    """What is to be published of the figures that a fold took."""

    data: list[Datum]
    too_old: Series
    """Of the minutes that the metrics store takes no more: in the books, and in no metric."""


def used_values(figures: Mapping[SeriesKey, Series]) -> dict[str, list[str]]:
    """Return the values of each dimension, the dearest first, as metrics show them."""
    spent: dict[str, dict[str, tuple[int, int]]] = {each: {} for each in _DIMENSIONS.values()}
    for key, series in figures.items():
        if key.by in _DIMENSIONS:
            by_value = spent[_DIMENSIONS[key.by]]
            value = dimension_value(key.value)
            nano, requests = by_value.get(value, (0, 0))
            by_value[value] = (nano + series.nano_usd, requests + series.requests)
    return {
        dimension: sorted(by_value, key=lambda value: (by_value[value], value), reverse=True)
        for dimension, by_value in spent.items()
    }


def flows(
    figures: Mapping[SeriesKey, Series], named: Mapping[str, NamedValues], now: datetime
) -> Flows:
    """Return the figures as data points: in all, by model and by feature, minute by minute.

    Zeros are left out: a metric is billed by the hour in which it is published.
    """
    merged: dict[tuple[int, tuple[str, str] | None], Series] = {}
    too_old = Series()
    for key, series in figures.items():
        if not _is_publishable(key.minute, now):
            if key.by == "":
                too_old += series
        elif key.by == "" or key.by in _DIMENSIONS:
            place = (key.minute, _shown(key, named))
            merged[place] = merged.get(place, Series()) + series
    data = [
        datum
        for (minute, by), series in sorted(merged.items(), key=_order)
        for datum in _flow(series, start_of(minute), by)
    ]
    return Flows(data, too_old)


def zeros(now: datetime) -> list[Datum]:
    """Return nothing, in figures: without it a graph of a quiet app would have gaps.

    A sum does not change by it, so the minute's usage may still come. Latencies have no zero.
    """
    return [Datum(name, unit, now, ((0, 1),)) for name, unit, _ in _amounts(Series())]


def standing(state: Standing, now: datetime) -> list[Datum]:
    """Return how things stand in all."""
    data = [
        _gauge(metrics.MONTH_TO_DATE_USD, _DOLLARS, now, usd(state.month_to_date(now))),
        _gauge(metrics.DAY_TO_DATE_USD, _DOLLARS, now, usd(state.spent_on(_utc_day(now)))),
        _gauge(metrics.HOURLY_USD, _DOLLARS, now, usd(state.last_hour(now))),
    ]
    errors, requests = state.errors_of_last(_ERROR_MINUTES, now)
    if requests >= metrics.MIN_REQUESTS:
        data.append(_gauge(metrics.ERROR_PERCENT, "Percent", now, _percent(errors, requests)))
    minutes = state.minutes_since_usage(now)
    if minutes is not None:
        data.append(_gauge(metrics.MINUTES_SINCE_USAGE, "Count", now, minutes))
    return data


def budget_used(spend: BudgetSpend, now: datetime) -> Datum:
    """Return how much of a budget's limit is used."""
    by = (metrics.BUDGET, dimension_value(spend.budget))
    return Datum(metrics.BUDGET_USED_PERCENT, "Percent", now, ((spend.used_percent, 1),), by)


def heartbeat(now: datetime) -> Datum:
    """Return that the gauges are published at all."""
    return _gauge(metrics.HEARTBEAT, "Count", now, 1)


def unmetered_tokens(counted: int, metered: int, now: datetime) -> Datum:
    """Return the tokens that Bedrock counted and nobody metered; none where more were metered."""
    return _gauge(metrics.UNMETERED_TOKENS, "Count", now, max(0, counted - metered))


def unconfirmed_emails(count: int, now: datetime) -> Datum:
    """Return how many addresses were subscribed and never confirmed it."""
    return _gauge(metrics.UNCONFIRMED_EMAILS, "Count", now, count)


def _flow(series: Series, at: datetime, by: tuple[str, str] | None) -> Iterable[Datum]:
    for name, unit, amount in _amounts(series, in_all=by is None):
        if amount:
            yield Datum(name, unit, at, ((amount, 1),), by)
    if series.latencies:
        counted = tuple(
            (bucket_ms(bucket), count) for bucket, count in sorted(series.latencies.items())
        )
        yield Datum(metrics.LATENCY_MS, "Milliseconds", at, counted, by)


def _amounts(series: Series, *, in_all: bool = True) -> Iterable[tuple[str, Unit, Number]]:
    yield metrics.COST_USD, _DOLLARS, usd(series.nano_usd)
    yield metrics.REQUESTS, "Count", series.requests
    yield metrics.UNPRICED_REQUESTS, "Count", series.unpriced
    yield metrics.ERRORS, "Count", series.errors
    yield metrics.CACHE_HITS, "Count", series.cache_hits
    yield metrics.INPUT_TOKENS, "Count", series.input_tokens
    yield metrics.OUTPUT_TOKENS, "Count", series.output_tokens
    if in_all:
        yield metrics.DEAREST_REQUEST_USD, _DOLLARS, usd(series.dearest_nano_usd)
        yield metrics.QUARANTINED_RECORDS, "Count", series.rejected


def _shown(key: SeriesKey, named: Mapping[str, NamedValues]) -> tuple[str, str] | None:
    if key.by not in _DIMENSIONS:
        return None
    dimension = _DIMENSIONS[key.by]
    places = named.get(dimension, NamedValues())
    return dimension, places.shown(dimension_value(key.value))


def _order(item: tuple[tuple[int, tuple[str, str] | None], Series]) -> tuple[int, tuple[str, ...]]:
    """The same figures give the same data in the same order, so that a repeat can be told."""
    (minute, by), _ = item
    return minute, by or ()


def _is_publishable(minute: int, now: datetime) -> bool:
    return now - _OLDEST <= start_of(minute) <= now + _NEWEST


def _utc_day(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _gauge(name: str, unit: Unit, now: datetime, value: Number) -> Datum:
    return Datum(name, unit, now, ((value, 1),))


def _percent(part: int, whole: int) -> Decimal:
    return EXACT.divide(EXACT.multiply(Decimal(part), _HUNDRED), Decimal(whole))
