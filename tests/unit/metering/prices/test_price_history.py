"""A model's prices over time, from a catalogue made by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.prices.hand_made import book

from spendfuse.metering import UnknownModelError
from spendfuse.metering.price_changes import changes_between, changes_by_overrides
from spendfuse.metering.price_history import (
    Stretch,
    history,
    joined_hours,
    prices_at,
    rates_by_way,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NIGHT, DAY = (time(20), time(8)), (time(8), time(20))


def input_usd(stretch: Stretch, way: str = "standard") -> Decimal:
    return stretch.prices[way].rates["input_tokens"].usd


def test_each_price_has_its_days() -> None:
    found = history(book(), "acme", "dated", at=NOW)

    assert [(each.from_day, each.until_day, input_usd(each)) for each in found] == [
        (None, date(2026, 3, 1), 10),
        (date(2026, 3, 1), date(2026, 6, 10), 5),
        (date(2026, 6, 10), None, 2),
    ]


def test_a_batch_keeps_its_share_of_the_price_of_the_time() -> None:
    found = history(book(), "acme", "dated", at=NOW)

    assert [input_usd(each, "batch") for each in found] == [5, Decimal("2.5"), 1]


def test_a_day_on_which_nothing_changes_divides_nothing() -> None:
    same = {"provider": "acme", "models": ["steady"], "from": "2026-01-01", "usd": {
        "input_tokens": 1}}  # fmt: skip
    (only,) = history(book(same), "acme", "steady", at=NOW)

    assert (only.from_day, only.until_day) == (None, None)


def test_prices_by_the_hour_are_stretches_of_their_own() -> None:
    day, night = sorted(history(book(), "acme", "hourly", at=NOW), key=lambda each: each.hours)

    assert (day.hours, input_usd(day)) == ((DAY,), 4)
    assert (night.hours, input_usd(night)) == ((NIGHT,), 2)


def test_one_price_that_replaces_hourly_ones_has_no_hours() -> None:
    flat = {"provider": "acme", "models": ["hourly"], "from": "2026-02-01", "usd": {
        "input_tokens": 3, "output_tokens": 6}}  # fmt: skip
    *before, after = history(book(flat), "acme", "hourly", at=NOW)

    assert [each.hours for each in before] == [(DAY,), (NIGHT,)]
    assert (after.from_day, after.hours, input_usd(after)) == (date(2026, 2, 1), (), 3)


def test_what_another_model_s_prices_are_taken_from_counts_with_its_days() -> None:
    like = {"provider": "acme", "models": ["ours"], "from": "2026-05-01", "like": "acme/dated"}
    found = history(book(like), "acme", "ours", at=NOW)

    assert [(each.from_day, bool(each.prices)) for each in found] == [
        (None, False),
        (date(2026, 5, 1), True),
        (date(2026, 6, 10), True),
    ]


def test_days_that_were_of_interest_only_once_are_found_too() -> None:
    like = {"provider": "acme", "models": ["ours"], "from": "2026-02-01", "until": "2026-07-01",
            "like": "acme/dated"}  # fmt: skip
    found = history(book(like), "acme", "ours", at=NOW)

    assert [each.from_day for each in found if each.prices] == [
        date(2026, 2, 1),
        date(2026, 3, 1),
        date(2026, 6, 10),
    ]


def test_an_unknown_model_has_no_history() -> None:
    with pytest.raises(UnknownModelError):
        history(book(), "acme", "nobody", at=NOW)


@given(
    st.sampled_from(["steady", "dated", "hourly"]),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_at_each_moment_one_stretch_holds_and_has_the_price_of_the_book(
    model: str, at: datetime
) -> None:
    (held,) = [each for each in history(book(), "acme", model, at=NOW) if each.holds(at)]

    assert rates_by_way(held.prices) == rates_by_way(prices_at(book(), "acme", model, at))


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_no_change_between_two_moments_is_missed(begin: datetime, period: timedelta) -> None:
    end = begin + period
    days = [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 6, 10, tzinfo=UTC)]
    found = [each.from_day for each in changes_between(book(), begin, end)]

    assert found == [each.date() for each in days if begin < each <= end]


def test_a_change_of_an_hourly_price_says_at_which_hours() -> None:
    flat = {"provider": "acme", "models": ["hourly"], "from": "2026-02-01", "usd": {
        "input_tokens": 4, "output_tokens": 8}}  # fmt: skip
    january, march = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    (change,) = [each for each in changes_between(book(flat), january, march, "acme")
                 if each.model == "hourly"]  # fmt: skip

    assert (change.from_day, change.hours) == (date(2026, 2, 1), (NIGHT,))
    assert [(each.before, each.after) for each in change.diffs["standard"]] == [(2, 4), (4, 8)]


def test_overrides_change_only_what_they_name_and_while_they_hold() -> None:
    own = book({"provider": "acme", "models": ["d*"], "from": "2026-05-01", "until": "2026-08-01",
                "discount_percent": 50})  # fmt: skip
    found = list(changes_by_overrides(book(), own, own.overrides[-1].entries, NOW))

    assert [(each.model, each.from_day, each.until_day) for each in found] == [
        ("dated", date(2026, 5, 1), date(2026, 6, 10)),
        ("dated", date(2026, 6, 10), date(2026, 8, 1)),
    ]
    assert {each.percent for change in found for each in change.diffs["standard"]} == {-50}


def test_one_difference_over_two_days_of_change_is_one() -> None:
    first = {"provider": "acme", "models": ["steady"], "from": "2026-01-01", "usd": {
        "input_tokens": 3}}  # fmt: skip
    own = book(first, {**first, "from": "2026-02-01"})
    (change,) = changes_by_overrides(book(), own, own.overrides[-1].entries, NOW)

    assert (change.from_day, change.until_day) == (date(2026, 1, 1), None)


@pytest.mark.parametrize(
    ("hours", "joined"),
    [
        ([], []),
        ([(1, 4)], [(1, 4)]),
        ([(1, 4), (4, 6), (8, 9)], [(1, 6), (8, 9)]),
        ([(0, 1), (10, 16), (16, 0)], [(10, 1)]),
        ([(1, 4), (6, 10)], [(1, 4), (6, 10)]),
    ],
)
def test_hours_that_follow_each_other_are_joined(
    hours: list[tuple[int, int]], joined: list[tuple[int, int]]
) -> None:
    clock = [(time(begin), time(end)) for begin, end in hours]

    assert joined_hours(clock) == tuple((time(begin), time(end)) for begin, end in joined)
