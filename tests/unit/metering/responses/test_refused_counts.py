"""Counts that can't be are refused by name, and nothing known is never a silent zero."""

from __future__ import annotations

import math
from typing import Any

import pytest

from spendfuse.metering.responses import read_response, usage_from
from spendfuse.metering.usage import FIELDS, MAX_COUNT, UsageError


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "must be a whole number, got True"),
        (1.5, "must be a whole number, got 1.5"),
        (math.nan, "must be a whole number, got nan"),
        (math.inf, "must be a whole number, got inf"),
        ("12", "must be a whole number, got text of 2 characters"),
        (b"12", "must be a whole number, got text of 2 characters"),
        ([12], "must be a whole number, got a list"),
        ({}, "must be a whole number, got a dict"),
        (-1, "must not be negative, got -1"),
        (-1.0, "must not be negative, got -1"),
        (MAX_COUNT + 1, f"must be at most {MAX_COUNT}, got {MAX_COUNT + 1}"),
        (1e300, f"must be at most {MAX_COUNT}, got 1000"),
        pytest.param(10**5000, f"must be at most {MAX_COUNT}, got a number of", id="huge"),
    ],
)
@pytest.mark.parametrize(
    "name", ["prompt_tokens", "input_tokens", "web_searches", "thoughtsTokenCount"]
)
def test_what_is_no_count_is_refused_under_the_callers_name(
    name: str, value: object, words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        usage_from({name: value, "completion_tokens": 1})

    assert str(refused.value).startswith(f"{name} {words}")


@pytest.mark.parametrize("count", [0, 0.0, MAX_COUNT, float(MAX_COUNT)])
@pytest.mark.parametrize("name", ["prompt_tokens", "input_tokens"])
def test_the_least_and_the_most_are_counts(name: str, count: float) -> None:
    assert usage_from({name: count}).input_tokens == count


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [False, True, "1", -1])
def test_no_field_of_ours_takes_what_is_no_count(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{name} must"):
        usage_from({name: value})


def test_a_bad_count_inside_is_named_with_its_path() -> None:
    with pytest.raises(UsageError, match=r"^prompt_tokens_details\.cached_tokens must not be neg"):
        usage_from({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -5}})
    with pytest.raises(
        UsageError, match=r"^cacheDetails must be a whole number, got text of 1 char"
    ):
        usage_from({"inputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": "x"}]})
    with pytest.raises(UsageError, match=r"^prompt_tokens_details must be an object .*, got 7"):
        usage_from({"prompt_tokens": 1, "prompt_tokens_details": 7})


@pytest.mark.parametrize("seconds", [-0.5, math.nan, math.inf, True, "8"])
def test_seconds_that_can_not_be_are_refused(seconds: object) -> None:
    with pytest.raises(UsageError, match=r"^seconds must"):
        usage_from({"seconds": seconds})


@pytest.mark.parametrize(
    ("counts", "numbers"),
    [
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 11}}, ("11", "10")),
        ({"input_tokens": 10, "cached_input_tokens": 6, "cache_write_tokens": 5}, ("6 + 5", "10")),
        ({"output_tokens": 10, "reasoning_tokens": 12}, ("12", "10")),
        ({"prompt_tokens": 10, "cache_read_input_tokens": 11}, ("11", "10")),
        (
            {"input_tokens": 90, "cache_write_tokens": 5, "cache_write_5m_tokens": 7},
            ("7 + 0", "5"),
        ),
    ],
)
def test_parts_above_their_whole_are_refused_with_both_numbers(
    counts: dict[str, Any], numbers: tuple[str, str]
) -> None:
    with pytest.raises(UsageError) as refused:
        usage_from(counts)

    assert all(f"({number})" in str(refused.value) for number in numbers)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"tokens_in": 5, "tokens_out": 7}, "it has: tokens_in, tokens_out"),
        ({"prompt_tokens": None}, "it has: prompt_tokens"),
        ({"prompt_tokens_details": {"nothing": 5}}, "it has: prompt_tokens_details"),
        ({"usage": {"prompt_tokens": 5}}, "it has: usage"),
        ({"total_tokens": 5}, "total_tokens alone"),
        ({}, "got an empty dict"),
        (None, "got nothing"),
        ([], "got list"),
        ("prompt_tokens", "got str"),
        (5, "got int"),
        (dict, "got type"),
    ],
)
def test_nothing_known_is_an_error_and_never_zero(counts: object, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        usage_from(counts)

    assert words in str(refused.value)


def test_an_error_never_grows_with_what_was_sent() -> None:
    counts = {f"{number}{'x' * 10_000}": "secret" for number in range(1000)}

    with pytest.raises(UsageError) as refused:
        usage_from(counts)
    with pytest.raises(UsageError) as too_long:
        usage_from({"prompt_tokens": "p" * 10_000})

    assert len(str(refused.value)) < 1500
    assert "secret" not in str(refused.value)
    assert len(str(too_long.value)) < 200


PROMPT = "Dear doctor, my diagnosis is"


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": PROMPT},
        {"prompt_tokens": 1, "completion_tokens": PROMPT},
        {"prompt_tokens": 1, "prompt_tokens_details": PROMPT},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": PROMPT}},
        {"inputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": PROMPT}]},
        {PROMPT: 1},
        {PROMPT: 1, "tokens_in": 5},
        {"input_tokens": [PROMPT]},
        {"usage": {"prompt_tokens": PROMPT}},
    ],
)
def test_no_error_shows_what_may_be_somebodys_text(counts: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as by_counts:
        usage_from(counts)
    with pytest.raises(UsageError) as by_response:
        read_response(counts)

    assert "doctor" not in str(by_counts.value)
    assert "doctor" not in str(by_response.value)


def test_an_error_lists_names_that_look_like_names_and_counts_the_others() -> None:
    odd = {"tokens.in-2": 1, "x" * 40: 1, "x" * 41: 1, "naïve": 1, 7: 1, "": 1}

    with pytest.raises(
        UsageError, match=rf"it has: tokens\.in-2, {'x' * 40}, 4 that can't be shown;"
    ):
        usage_from(odd)


def test_strict_shows_the_person_what_was_typed() -> None:
    with pytest.raises(UsageError, match=r"^input_tokens must be a whole number, got 'many'$"):
        usage_from({"input_tokens": "many"}, strict=True)
    with pytest.raises(UsageError, match=r"^unknown count input tokens; did you mean input_tokens"):
        usage_from({"input tokens": 1}, strict=True)


def test_strict_refuses_an_unknown_name_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown count input_token; did you mean input_tokens"):
        usage_from({"input_token": 5, "output_tokens": 1}, strict=True)
    inside = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_token": 1}}
    with pytest.raises(
        UsageError, match=r"count prompt_tokens_details\.cached_token; did you mean"
    ):
        usage_from(inside, strict=True)
    with pytest.raises(UsageError, match=r"^unknown count zzz$"):
        usage_from({"zzz": 5, "output_tokens": 1}, strict=True)
