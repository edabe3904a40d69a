"""What gauges ask of the minutes and days of late."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packs import NOW

from spendfuse.clock import parse_utc
from spendfuse.errors import InputError
from spendfuse.ledger.series_state import DAYS_KEPT, MINUTES_KEPT, SeriesState
from spendfuse.ledger.tally import Series, SeriesKey, minute_of
from spendfuse.ledger.tally_pieces import packed

MINUTE = minute_of(NOW)


def state_of(**by_minutes_ago: Series) -> SeriesState:
    figures = {SeriesKey(MINUTE - int(ago[1:])): each for ago, each in by_minutes_ago.items()}
    return SeriesState().with_added(figures, NOW)


def test_nothing_is_known_before_the_first_usage() -> None:
    state = SeriesState()

    assert state.minutes_since_usage(NOW) is None
    assert (state.month_to_date(NOW), state.last_hour(NOW)) == (0, 0)
    assert state.errors_of_last(5, NOW) == (0, 0)
    assert state.tokens("aws", NOW - timedelta(hours=1), NOW) == 0


def test_an_hour_is_sixty_whole_minutes_before_now_s_own() -> None:
    state = state_of(m0=Series(1, 1), m1=Series(10, 1), m60=Series(100, 1), m61=Series(1000, 1))

    assert state.last_hour(NOW) == 110
    assert state.last_hour(NOW + timedelta(minutes=1)) == 11


def test_errors_are_of_whole_minutes_too() -> None:
    state = state_of(
        m0=Series(requests=9, errors=9), m1=Series(requests=5, errors=2), m5=Series(requests=3),
        m6=Series(requests=7, errors=7),
    )  # fmt: skip

    assert state.errors_of_last(5, NOW) == (2, 8)


def test_days_and_months_are_utc_s() -> None:
    now = parse_utc("2026-11-01T00:30:00Z")
    figures = {
        SeriesKey(minute_of(now)): Series(1, 1),
        SeriesKey(minute_of(now - timedelta(hours=1))): Series(10, 1),
        SeriesKey(minute_of(now), "model", "m"): Series(1000, 1),
    }
    state = SeriesState().with_added(figures, now)

    assert state.spent_on(date(2026, 11, 1)) == state.month_to_date(now) == 1
    assert state.spent_on(date(2026, 10, 31)) == 10
    assert state.month_to_date(parse_utc("2026-10-31T23:59:59Z")) == 10


def test_late_usage_counts_on_its_own_day_and_is_no_sign_of_life() -> None:
    state = state_of(m7=Series(1, 1)).with_added(
        {SeriesKey(MINUTE - 3 * 24 * 60): Series(5, 1)}, NOW
    )

    assert state.minutes_since_usage(NOW) == 7
    assert state.spent_on(NOW.date() - timedelta(days=3)) == 5
    assert state.month_to_date(NOW) == 6


def test_rejected_records_are_no_usage() -> None:
    assert state_of(m7=Series(1, 1), m1=Series(rejected=3)).minutes_since_usage(NOW) == 7


def test_a_minute_that_is_ahead_is_now() -> None:
    state = SeriesState().with_added({SeriesKey(MINUTE + 4): Series(1, 1)}, NOW)

    assert state.minutes_since_usage(NOW) == 0


def test_tokens_are_since_inclusive_until_exclusive() -> None:
    figures = {
        SeriesKey(MINUTE - ago, "provider", provider): Series(input_tokens=count, output_tokens=1)
        for ago, provider, count in [(0, "aws", 1), (1, "aws", 10), (2, "aws", 100), (2, "o", 1000)]
    }
    state = SeriesState().with_added(figures, NOW)
    minute = timedelta(minutes=1)

    assert state.tokens("aws", NOW - 2 * minute, NOW) == 112
    assert state.tokens("aws", NOW - 2 * minute + timedelta(seconds=1), NOW) == 11
    assert state.tokens("aws", NOW - minute, NOW + timedelta(seconds=1)) == 13


def test_senders_that_take_ids_for_providers_don_t_fill_the_state() -> None:
    ids = {SeriesKey(MINUTE, "provider", f"req-{n}"): Series(input_tokens=1) for n in range(999)}
    state = SeriesState().with_added(ids, NOW)

    assert len(state.to_bytes()) < 200


def test_what_is_too_old_is_forgotten() -> None:
    state = state_of(m0=Series(1, 1), m180=Series(2, 1), m181=Series(4, 1)).with_added(
        {
            SeriesKey(MINUTE - 200, "provider", "aws"): Series(input_tokens=1),
            SeriesKey(MINUTE - DAYS_KEPT * 24 * 60): Series(8, 1),
            SeriesKey(MINUTE - (DAYS_KEPT + 1) * 24 * 60): Series(16, 1),
        },
        NOW,
    )

    assert state.minutes.keys() == {MINUTE, MINUTE - MINUTES_KEPT}
    assert state.provider_tokens == {}
    assert sum(state.days.values()) == 15


FIGURES = st.dictionaries(
    st.builds(
        SeriesKey,
        st.integers(MINUTE - 300, MINUTE + 5),
        st.sampled_from(["", "model", "provider"]),
        st.sampled_from(["aws", "o", ""]),
    ),
    st.builds(Series, *[st.integers(0, 10**15)] * 9),
    max_size=20,
)


@given(FIGURES, FIGURES)
def test_a_state_reads_back_exactly_and_grows_the_same(
    one: dict[SeriesKey, Series], other: dict[SeriesKey, Series]
) -> None:
    state = SeriesState().with_added(one, NOW)
    read = SeriesState.from_bytes(state.to_bytes())

    assert read == state
    assert read.with_added(other, NOW) == state.with_added(other, NOW)


@pytest.mark.parametrize("data", [b"", packed({}), packed({"days": {"yesterday": 1}})])
def test_a_state_of_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        SeriesState.from_bytes(data)
