"""Figures → data points: every dollar once, under its minute, in what CloudWatch takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse import metrics
from spendfuse.ledger import gauges
from spendfuse.ledger.gauges import BudgetSpend, Datum
from spendfuse.ledger.named_values import NONE, NamedValues
from spendfuse.ledger.series_state import SeriesState
from spendfuse.ledger.tally import (
    Series,
    SeriesBy,
    SeriesKey,
    bucket_ms,
    latency_bucket,
    minute_of,
)
from spendfuse.money import usd

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
MINUTE = minute_of(NOW) - 1
USD = 10**9
NAMED = {
    metrics.MODEL: NamedValues().after(["gpt-4o"], NOW.date()),
    metrics.FEATURE: NamedValues().after(["search"], NOW.date()),
}
BUSY = Series(
    nano_usd=3 * USD,
    requests=7,
    unpriced=1,
    errors=2,
    cache_hits=3,
    input_tokens=40,
    output_tokens=50,
    dearest_nano_usd=2 * USD,
    rejected=4,
    latencies={latency_bucket(400): 5, latency_bucket(9000): 2},
)


def flows(figures: Mapping[SeriesKey, Series]) -> list[Datum]:
    return gauges.flows(figures, NAMED, NOW).data


def shown(data: Sequence[Datum]) -> dict[str, object]:
    """The single values, by name."""
    return {each.name: each.values[0][0] for each in data if len(each.values) == 1}


def test_a_minute_is_published_whole_under_its_own_time() -> None:
    data = flows({SeriesKey(MINUTE): BUSY})

    assert {each.at for each in data} == {datetime(2026, 11, 21, 11, 59, tzinfo=UTC)}
    assert {each.by for each in data} == {None}
    assert shown(data) == {
        metrics.COST_USD: Decimal(3),
        metrics.REQUESTS: 7,
        metrics.UNPRICED_REQUESTS: 1,
        metrics.ERRORS: 2,
        metrics.CACHE_HITS: 3,
        metrics.INPUT_TOKENS: 40,
        metrics.OUTPUT_TOKENS: 50,
        metrics.DEAREST_REQUEST_USD: Decimal(2),
        metrics.QUARANTINED_RECORDS: 4,
    }


def test_latencies_are_published_with_how_often_each_occurred() -> None:
    (latency,) = [
        each for each in flows({SeriesKey(MINUTE): BUSY}) if each.name == metrics.LATENCY_MS
    ]

    assert latency.unit == "Milliseconds"
    assert latency.values == (
        (bucket_ms(latency_bucket(400)), 5),
        (bucket_ms(latency_bucket(9000)), 2),
    )


def test_a_model_and_a_feature_have_no_dearest_request_and_nothing_in_quarantine() -> None:
    data = flows({SeriesKey(MINUTE, "model", "gpt-4o"): BUSY})

    assert {each.by for each in data} == {(metrics.MODEL, "gpt-4o")}
    assert not {metrics.DEAREST_REQUEST_USD, metrics.QUARANTINED_RECORDS} & set(shown(data))


def test_what_has_no_place_is_published_together_as_other() -> None:
    data = flows(
        {SeriesKey(MINUTE, "feature", name): Series(USD, 1) for name in ("a", "b", "search")}
    )

    assert [(each.by, each.values[0][0]) for each in data if each.name == metrics.COST_USD] == [
        ((metrics.FEATURE, metrics.OTHER), Decimal(2)),
        ((metrics.FEATURE, "search"), Decimal(1)),
    ]


def test_zeros_are_left_out_so_that_no_metric_is_billed_for_them() -> None:
    data = flows({SeriesKey(MINUTE, "model", "gpt-4o"): Series(requests=1)})

    assert set(shown(data)) == {metrics.REQUESTS}


def test_a_provider_is_no_dimension() -> None:
    assert flows({SeriesKey(MINUTE, "provider", "aws"): BUSY}) == []


@pytest.mark.parametrize(
    ("age", "is_published"),
    [
        (timedelta(days=13, hours=22), True),
        (timedelta(days=14), False),
        (timedelta(minutes=-5), True),
        (timedelta(hours=-3), False),
    ],
)
def test_what_cloudwatch_would_refuse_for_its_age_is_left_out_and_said(
    age: timedelta, *, is_published: bool
) -> None:
    found = gauges.flows({SeriesKey(minute_of(NOW - age)): BUSY}, NAMED, NOW)

    assert bool(found.data) is is_published
    assert found.too_old == (Series() if is_published else BUSY)


def test_the_dearest_values_are_the_first_to_get_a_place() -> None:
    figures = {
        SeriesKey(MINUTE, "model", "cheap"): Series(USD, 9),
        SeriesKey(MINUTE - 1, "model", "dear"): Series(2 * USD, 1),
        SeriesKey(MINUTE, "model", "free"): Series(0, 1),
        SeriesKey(MINUTE, "feature", ""): Series(USD, 1),
        SeriesKey(MINUTE): Series(USD, 1),
    }

    assert gauges.used_values(figures) == {
        metrics.MODEL: ["dear", "cheap", "free"],
        metrics.FEATURE: [NONE],
    }


_figures = st.dictionaries(
    st.builds(
        SeriesKey,
        st.integers(MINUTE - 3, MINUTE),
        st.sampled_from(("model", "feature")),
        st.sampled_from(("gpt-4o", "search", "", "a", "b", " a", "é")),
    ),
    st.builds(Series, st.integers(0, 10**15), st.integers(0, 1000)),
)


@given(_figures)
def test_every_dollar_is_published_once_in_each_dimension(
    figures: dict[SeriesKey, Series],
) -> None:
    data = flows(figures)

    by: SeriesBy
    for by, dimension in (("model", metrics.MODEL), ("feature", metrics.FEATURE)):
        spent = sum(series.nano_usd for key, series in figures.items() if key.by == by)
        published = [
            each.values[0][0]
            for each in data
            if each.name == metrics.COST_USD and each.by and each.by[0] == dimension
        ]
        assert sum(published, Decimal(0)) == usd(spent)


@given(_figures)
def test_the_same_figures_give_the_same_data_in_the_same_order(
    figures: dict[SeriesKey, Series],
) -> None:
    assert flows(figures) == flows(dict(reversed(figures.items())))


def test_a_quiet_minute_has_a_zero_in_everything_that_is_added_up() -> None:
    data = gauges.zeros(NOW)

    assert metrics.LATENCY_MS not in {each.name for each in data}
    assert set(shown(data)) == set(shown(flows({SeriesKey(MINUTE): BUSY})))
    assert set(shown(data).values()) == {0}


def a_state(requests: int = metrics.MIN_REQUESTS, errors: int = 3) -> SeriesState:
    yesterday = MINUTE - 24 * 60
    figures = {
        SeriesKey(MINUTE): Series(2 * USD, requests, errors=errors),
        SeriesKey(MINUTE - 120): Series(3 * USD, 1),
        SeriesKey(yesterday): Series(5 * USD, 1),
    }
    return SeriesState().with_added(figures, NOW)


def test_gauges_say_how_things_stand() -> None:
    assert shown(gauges.standing(a_state(), NOW)) == {
        metrics.MONTH_TO_DATE_USD: Decimal(10),
        metrics.DAY_TO_DATE_USD: Decimal(5),
        metrics.HOURLY_USD: Decimal(2),
        metrics.ERROR_PERCENT: Decimal(15),
        metrics.MINUTES_SINCE_USAGE: 1,
    }


def test_one_error_of_few_requests_is_no_rate() -> None:
    few = a_state(requests=metrics.MIN_REQUESTS - 1)

    assert metrics.ERROR_PERCENT not in shown(gauges.standing(few, NOW))


def test_before_the_first_usage_nobody_waits_for_any() -> None:
    assert shown(gauges.standing(SeriesState(), NOW)) == {
        metrics.MONTH_TO_DATE_USD: 0,
        metrics.DAY_TO_DATE_USD: 0,
        metrics.HOURLY_USD: 0,
    }


@pytest.mark.parametrize(
    ("spent", "limit", "percent"),
    [(80, 100, 80), (0, 100, 0), (150, 100, 150), (0, 0, 0), (1, 0, 100), (-5, 100, -5)],
)
def test_a_budget_s_use_is_a_percentage_of_the_limit_in_force(
    spent: int, limit: int, percent: int
) -> None:
    used = gauges.budget_used(BudgetSpend("llm", spent * USD, limit * USD), NOW)

    assert used.values == ((Decimal(percent), 1),)
    assert (used.by, used.unit) == ((metrics.BUDGET, "llm"), "Percent")


@pytest.mark.parametrize(("counted", "metered", "tokens"), [(90, 40, 50), (40, 90, 0), (0, 0, 0)])
def test_what_bedrock_counted_and_nobody_metered_is_never_below_zero(
    counted: int, metered: int, tokens: int
) -> None:
    assert gauges.unmetered_tokens(counted, metered, NOW).values == ((tokens, 1),)
