"""Counts that can be, and the sentence for those that can't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.metering.usage import FIELDS, MAX_COUNT, Usage, UsageError

COUNTS = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"input_tokens": -1}, ("input_tokens", "-1")),
        ({"output_tokens": True}, ("output_tokens", "True")),
        ({"output_tokens": 1.0}, ("output_tokens", "1.0")),
        ({"output_tokens": float("nan")}, ("output_tokens", "nan")),
        ({"input_tokens": "12"}, ("input_tokens", "text of 2 characters")),
        ({"input_tokens": None}, ("input_tokens", "None")),
        ({"input_tokens": MAX_COUNT + 1}, ("input_tokens", str(MAX_COUNT))),
        ({"input_tokens": 10**5000}, ("input_tokens", "bits")),
        ({"reasoning_tokens": True}, ("reasoning_tokens", "True")),
        ({"requests": -2}, ("requests", "-2")),
        ({"requests": True}, ("requests", "True")),
        ({"input_tokens": 5, "cached_input_tokens": 7}, ("cached_input_tokens", "7", "5")),
        (
            {"input_tokens": 9, "cached_input_tokens": 5, "cache_write_tokens": 6},
            ("5 + 6", "input_tokens", "9"),
        ),
        (
            {"input_tokens": 9, "cache_write_tokens": 3, "cache_write_1h_tokens": 4},
            ("cache_write_1h_tokens", "4", "3"),
        ),
        ({"output_tokens": 5, "reasoning_tokens": 6}, ("reasoning_tokens", "6", "5")),
        ({"input_tokens": 5, "input_audio_tokens": 6}, ("input_audio_tokens", "6", "5")),
        (
            {"input_tokens": 9, "input_audio_tokens": 5, "input_image_tokens": 5},
            ("5 + 5", "input_tokens", "9"),
        ),
        (
            {"input_tokens": 9, "input_audio_tokens": 2, "cached_audio_tokens": 3},
            ("cached_audio_tokens", "3", "2"),
        ),
    ],
)
def test_contradictory_counts_are_an_error_that_names_both_numbers(counts, said) -> None:
    with pytest.raises(UsageError) as error:
        Usage(**counts)

    assert [each for each in said if each not in str(error.value)] == []


def test_a_count_that_is_text_is_not_shown_because_it_may_be_a_prompt() -> None:
    with pytest.raises(UsageError) as error:
        Usage(input_tokens="my secret plan")  # type: ignore[arg-type]
    with pytest.raises(UsageError) as inside:
        Usage(input_tokens=["my secret plan"])  # type: ignore[arg-type]

    assert "secret" not in str(error.value)
    assert str(inside.value) == "input_tokens must be a whole number, got a list"


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_whatever_is_accepted_contains_its_parts(whole, output, cached, written, hour) -> None:
    try:
        usage = Usage(
            input_tokens=whole,
            output_tokens=output,
            cached_input_tokens=cached,
            cache_write_tokens=written,
            cache_write_1h_tokens=hour,
        )
    except UsageError:
        assert cached + written > whole or hour > written
    else:
        assert usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
        assert usage.cache_write_1h_tokens <= usage.cache_write_tokens


def test_only_what_was_counted_is_listed() -> None:
    usage = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)

    assert usage.counts() == {
        "input_tokens": 2000,
        "output_tokens": 300,
        "cached_input_tokens": 1920,
    }
    assert repr(usage) == "Usage(input_tokens=2000, output_tokens=300, cached_input_tokens=1920)"
    assert Usage().counts() == {}
    assert Usage(requests=0).counts() == {"requests": 0}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_given_by_its_name(name) -> None:
    counts = dict.fromkeys(("input_tokens", "output_tokens"), 9) | {"cache_write_tokens": 3}
    counts |= dict.fromkeys(("input_audio_tokens", "input_image_tokens"), 3)
    counts |= {"cached_input_tokens": 3} if name.startswith("cached") else {}
    value = counts.get(name, 2)
    usage = Usage(**counts | {name: value})

    assert getattr(usage, name) == value
    assert usage[FIELDS.index(name)] == value
