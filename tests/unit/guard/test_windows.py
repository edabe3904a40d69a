"""The sliding window: no 60 seconds hold more than the limit, and none much less than they may."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.guard.stores.windows import (
    BUCKET_SECONDS,
    BUCKETS,
    FITS,
    NEVER_FITS,
    Window,
    Windows,
    slot_of,
)

LIMIT = 100
REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 40) | st.sampled_from([0.0, 4.999, 5.0, 59.999, 60.0]), st.integers(0, 110)
    ),
    max_size=60,
)
"""Seconds since the last one, and what it asks for."""


def at(window: Window, now: float) -> Window:
    window.slide(slot_of(now))
    return window


@given(st.floats(0, 1e6), REQUESTS)
def test_no_minute_ever_holds_more_than_the_limit(now: float, requests) -> None:
    window, taken = Window(slot_of(now)), []
    for seconds, asked in requests:
        now += seconds
        if at(window, now).wait_seconds(asked, LIMIT, now) == FITS:
            window.add(asked, slot_of(now))
            taken.append((now, asked))

    for end, _ in taken:
        assert sum(asked for when, asked in taken if end - 60 < when <= end) <= LIMIT


@given(st.floats(0, 1e6), REQUESTS)
def test_what_is_older_than_65_seconds_takes_no_room(now: float, requests) -> None:
    window, taken = Window(slot_of(now)), []
    for seconds, asked in requests:
        now += seconds
        fits = at(window, now).wait_seconds(asked, LIMIT, now) == FITS
        recent = sum(each for when, each in taken if now - 65 < when)

        assert fits or recent + asked > LIMIT
        if fits:
            window.add(asked, slot_of(now))
            taken.append((now, asked))


@given(st.integers(0, 10**6).map(float), REQUESTS, st.integers(1, LIMIT))
def test_it_fits_when_the_window_said_so_and_not_before(now: float, requests, asked: int) -> None:
    window = Window(slot_of(now))
    for seconds, nano_usd in requests:
        now += round(seconds)
        at(window, now).add(nano_usd, slot_of(now))
    wait = window.wait_seconds(asked, LIMIT, now)

    assert 0 <= wait <= 65
    if wait:
        just_before = now + wait - 0.25
        assert at(window, just_before).wait_seconds(asked, LIMIT, just_before) > 0
    assert at(window, now + wait).wait_seconds(asked, LIMIT, now + wait) == FITS


def test_a_minute_later_is_not_yet_out_and_the_end_of_its_bucket_is() -> None:
    window = Window(slot_of(3))
    window.add(100, slot_of(3))

    assert at(window, 60).wait_seconds(1, LIMIT, 60) == 5
    assert at(window, 64.9).wait_seconds(1, LIMIT, 64.9) == pytest.approx(0.1)
    assert at(window, 65).wait_seconds(1, LIMIT, 65) == FITS


def test_the_wait_is_for_as_much_to_leave_as_is_needed() -> None:
    window = Window(0)
    for slot in range(4):
        window.slide(slot)
        window.add(20, slot)

    assert [window.wait_seconds(asked, LIMIT, 15) for asked in (20, 21, 40, 41, 61, 100)] == [
        0,
        50,
        50,
        55,
        60,
        65,
    ]


def test_what_is_above_the_limit_never_fits_and_nothing_always_does() -> None:
    window = Window(0)
    assert window.wait_seconds(101, LIMIT, 0) == NEVER_FITS
    assert window.wait_seconds(100, LIMIT, 0) == FITS

    window.add(300, 0)

    assert window.wait_seconds(101, LIMIT, 0) == NEVER_FITS
    assert window.wait_seconds(0, LIMIT, 0) == FITS
    assert window.wait_seconds(0, 0, 0) == FITS


@pytest.mark.parametrize(
    ("age", "counts"), [(0, True), (12, True), (13, False), (100, False), (-1, False)]
)
def test_a_correction_counts_only_within_the_window(age: int, counts: bool) -> None:
    window = Window(200)

    window.add(60, 200 - age)

    assert (window.wait_seconds(41, LIMIT, 1_000) > 0) is counts


def test_a_correction_of_the_oldest_bucket_leaves_with_it() -> None:
    window = Window(0)
    window.add(60, 0)
    window.slide(12)
    window.add(-20, 0)
    assert window.wait_seconds(60, LIMIT, 60) == FITS
    assert window.wait_seconds(61, LIMIT, 60) == 5

    window.slide(13)

    window.add(-20, 0)
    assert window.wait_seconds(100, LIMIT, 65) == FITS
    window.add(100, 13)
    assert window.wait_seconds(1, LIMIT, 65) == 65


def test_a_clock_that_reads_a_little_earlier_forgets_nothing() -> None:
    window = Window(20)
    window.add(60, 20)

    window.slide(19)
    window.add(40, 19)

    assert window.wait_seconds(1, LIMIT, 100) > 0
    window.slide(32)
    assert window.wait_seconds(41, LIMIT, 160) > 0
    assert window.wait_seconds(40, LIMIT, 160) == FITS


def test_windows_are_kept_as_long_as_they_count_and_not_much_longer() -> None:
    windows = Windows()
    slots = [0, 5, 12, 13, 17, 24]
    for slot in slots:
        windows.of(f"user-{slot}", slot).add(60, slot)
        for each in slots:
            if each <= slot < each + BUCKETS:
                window = windows.of(f"user-{each}", slot)
                assert window.wait_seconds(41, LIMIT, slot * BUCKET_SECONDS) > 0

    for slot in range(25, 25 + 3 * BUCKETS):
        windows.of("another", slot)

    assert len(windows) == 1


@pytest.mark.parametrize("first", range(2 * BUCKETS))
def test_a_window_that_nobody_asked_for_is_there_as_long_as_it_counts(first: int) -> None:
    windows = Windows()
    for slot in range(first + BUCKETS):
        windows.of("another", slot)
        if slot == first:
            windows.of("user", slot).add(100, slot)

    last = first + BUCKETS - 1
    assert windows.of("user", last).wait_seconds(1, LIMIT, last * BUCKET_SECONDS) > 0


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60))
def test_forgetting_windows_forgets_nothing_that_counts(gaps: list[int]) -> None:
    windows, kept, slot = Windows(), Window(0), 0
    for gap, next_gap in pairwise(gaps):
        slot += gap
        kept.slide(slot)
        for each in (windows.of("user", slot), kept):
            each.add(7, slot)
        for other in range(next_gap):
            windows.of(f"other-{other}", slot + other // 2)
        slot += next_gap
        kept.slide(slot)
        now = slot * BUCKET_SECONDS

        assert windows.of("user", slot).wait_seconds(60, LIMIT, now) == kept.wait_seconds(
            60, LIMIT, now
        )
