"""Who has a metric of its own: few enough for the bill, and the same ones tomorrow."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.errors import InputError
from spendfuse.ledger.named_values import (
    NONE,
    NamedValues,
    dimension_value,
    named_values_from_json,
    named_values_to_json,
)
from spendfuse.metrics import MAX_VALUES, OTHER
from spendfuse.sandbox.metric_limits import refusal

TODAY = date(2026, 11, 21)
DAY = timedelta(days=1)
FULL = tuple(f"feature-{number}" for number in range(MAX_VALUES))


def test_a_value_has_a_place_from_its_first_use_on() -> None:
    named = NamedValues().after(["search"], TODAY)

    assert named.shown("search") == "search"
    assert named.shown("chat") == OTHER


def test_where_all_places_are_taken_who_comes_first_is_served_and_the_rest_is_other() -> None:
    named = NamedValues().after([*FULL, "late"], TODAY)

    assert len(named.last_used) == MAX_VALUES
    assert named.shown(FULL[-1]) == FULL[-1]
    assert named.shown("late") == OTHER


def test_a_place_that_was_used_yesterday_is_not_given_away() -> None:
    named = NamedValues().after(FULL, TODAY).after(["new"], TODAY + DAY)

    assert named.shown("new") == OTHER


def test_the_place_that_lies_idle_longest_goes_to_the_next_who_wants_it() -> None:
    named = NamedValues().after(FULL, TODAY).after(FULL[1:], TODAY + DAY)
    later = named.after(["new", "newer"], TODAY + 2 * DAY)

    assert later.shown("new") == "new"
    assert later.shown(FULL[0]) == OTHER
    assert later.shown("newer") == OTHER


def test_whoever_is_used_in_the_same_breath_keeps_his_place() -> None:
    named = NamedValues().after(FULL, TODAY)
    later = named.after(["new", *FULL], TODAY + 5 * DAY)

    assert later.shown("new") == OTHER
    assert set(later.last_used) == set(FULL)


def test_nobody_loses_a_place_that_nobody_wants() -> None:
    named = NamedValues().after(["search"], TODAY).after(["chat"], TODAY + 300 * DAY)

    assert named.shown("search") == "search"


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 200), max_size=80), st.integers(0, 3)), max_size=20)
)
def test_there_are_never_more_places_than_cloudwatch_is_to_bill(
    folds: list[tuple[list[int], int]],
) -> None:
    named, today = NamedValues(), TODAY
    for used, days in folds:
        today += timedelta(days=days)
        named = named.after([str(each) for each in used], today)

        assert len(named.last_used) <= MAX_VALUES


def test_places_survive_being_written_down() -> None:
    named = {"Model": NamedValues().after(["gpt-4o"], TODAY), "Feature": NamedValues()}

    assert named_values_from_json(named_values_to_json(named)) == named


@pytest.mark.parametrize("text", ["", "[]", '{"Model": 1}', '{"Model": {"a": "yesterday"}}'])
def test_what_is_no_such_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="can't be read"):
        named_values_from_json(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpt-4o", "gpt-4o"),
        ("", NONE),
        ("  ", NONE),
        (":colon", r"\x3acolon"),
        ("検索", r"\u691c\u7d22"),
        ("two\nlines", r"two\nlines"),
    ],
)
def test_cloudwatch_s_characters_are_all_that_is_left(text: str, shown: str) -> None:
    assert dimension_value(text) == shown


@given(st.text(max_size=256))
def test_cloudwatch_takes_every_name(text: str) -> None:
    shown = dimension_value(text)
    datum = {"MetricName": "m", "Value": 1.0, "Dimensions": [{"Name": "Model", "Value": shown}]}

    assert not shown.startswith(":")
    assert refusal([datum], now=None) is None  # type: ignore[arg-type]
