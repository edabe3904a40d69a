"""Each kind of trouble is said once, and a new one is never kept quiet for ever."""

from __future__ import annotations

from spendfuse.metering.said_once import MAX_KINDS, PAUSE_SECONDS, SaidOnce


def test_the_same_is_said_once_and_another_at_once() -> None:
    said = SaidOnce()

    assert [said.is_new("a 1"), said.is_new("a 1"), said.is_new("a 2")] == [True, False, True]


def test_numbers_make_no_difference_where_they_are_ignored() -> None:
    said = SaidOnce(ignoring_numbers=True)

    assert [said.is_new("a 1"), said.is_new("a 22"), said.is_new("b 1")] == [True, False, True]


def test_after_very_many_a_new_one_is_said_once_a_minute() -> None:
    seconds = [0.0]
    said = SaidOnce(clock=lambda: seconds[0])
    for number in range(MAX_KINDS):
        assert said.is_new(f"kind {number}")

    assert [said.is_new("more"), said.is_new("and more")] == [True, False]
    seconds[0] += PAUSE_SECONDS
    assert [said.is_new("later"), said.is_new("kind 3")] == [True, False]
