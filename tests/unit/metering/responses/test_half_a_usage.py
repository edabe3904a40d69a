"""Half a usage with a total: what nobody counted apart is billed all the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.metering.responses import read_response, usage_from

CASES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "no prompt": (
        {"completion_tokens": 50, "total_tokens": 150},
        {"input_tokens": 100, "output_tokens": 50},
    ),
    "no completion": (
        {"prompt_tokens": 50, "total_tokens": 150},
        {"input_tokens": 50, "output_tokens": 100},
    ),
    "no output": (
        {"input_tokens": 50, "total_tokens": 150},
        {"input_tokens": 50, "output_tokens": 100},
    ),
    "None is absent": (
        {"prompt_tokens": None, "completion_tokens": 50, "total_tokens": 150},
        {"input_tokens": 100, "output_tokens": 50},
    ),
    "0 is a count": (
        {"prompt_tokens": 0, "completion_tokens": 50, "total_tokens": 150},
        {"output_tokens": 50},
    ),
    "a smaller total": ({"prompt_tokens": 50, "total_tokens": 40}, {"input_tokens": 50}),
    "embeddings": ({"prompt_tokens": 8, "total_tokens": 8}, {"input_tokens": 8}),
    "both and a total that is larger": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99},
        {"input_tokens": 10, "output_tokens": 5},
    ),
    # The prompt contains what was cached: 150 - 50.
    "cached, no prompt": (
        {
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 80},
        },
        {"input_tokens": 100, "cached_input_tokens": 80, "output_tokens": 50},
    ),
    "bedrock, written to the cache, no output": (
        {"inputTokens": 18, "cacheWriteInputTokens": 7502, "totalTokens": 7906},
        {"input_tokens": 7520, "cache_write_tokens": 7502, "output_tokens": 386},
    ),
    # What was read stands beside an input that is not given: 200 - 50, of which 100 were cached.
    "bedrock, read from the cache, no input": (
        {"outputTokens": 50, "cacheReadInputTokens": 100, "totalTokens": 200},
        {"input_tokens": 150, "cached_input_tokens": 100, "output_tokens": 50},
    ),
    "deepseek's halves are an input": (
        {
            "prompt_cache_hit_tokens": 60,
            "prompt_cache_miss_tokens": 40,
            "completion_tokens": 5,
            "total_tokens": 199,
        },
        {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 5},
    ),
    "reasoned, no completion": (
        {
            "prompt_tokens": 100,
            "total_tokens": 150,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        {"input_tokens": 100, "output_tokens": 50, "reasoning_tokens": 30},
    ),
    "nothing but reasoning": (
        {
            "prompt_tokens": 100,
            "total_tokens": 130,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        {"input_tokens": 100, "output_tokens": 30, "reasoning_tokens": 30},
    ),
    # In the completion, as with most: 150 - 100. The total can't tell both.
    "reasoned, no prompt": (
        {
            "completion_tokens": 100,
            "total_tokens": 150,
            "completion_tokens_details": {"reasoning_tokens": 50},
        },
        {"input_tokens": 50, "output_tokens": 100, "reasoning_tokens": 50},
    ),
    # More than the completion is beside it (xAI): 135 - 9 - 94.
    "reasoned beside the completion, no prompt": (
        {
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        {"input_tokens": 32, "output_tokens": 103, "reasoning_tokens": 94},
    ),
    # 100 - 21 - 60 are candidates.
    "gemini's thoughts, no candidates": (
        {"promptTokenCount": 21, "thoughtsTokenCount": 60, "totalTokenCount": 100},
        {"input_tokens": 21, "output_tokens": 79, "reasoning_tokens": 60},
    ),
    "gemini, no prompt": (
        {"candidatesTokenCount": 10, "thoughtsTokenCount": 60, "totalTokenCount": 100},
        {"input_tokens": 30, "output_tokens": 70, "reasoning_tokens": 60},
    ),
    # Its total leaves out what stands apart: 3364 - 3256.
    "perplexity, no prompt": (
        {
            "completion_tokens": 3256,
            "total_tokens": 3364,
            "citation_tokens": 7299,
            "reasoning_tokens": 73_248,
        },
        {
            "input_tokens": 108,
            "output_tokens": 83_803,
            "reasoning_tokens": 73_248,
            "citation_tokens": 7299,
        },
    ),
}


@pytest.mark.parametrize(("counts", "expected"), CASES.values(), ids=CASES)
def test_the_total_tells_the_side_that_is_absent(
    counts: dict[str, Any], expected: dict[str, int]
) -> None:
    assert usage_from(counts).counts() == expected


def test_a_provider_with_rules_of_its_own_is_told_the_absent_side_too() -> None:
    google = {"completion_tokens": 10, "total_tokens": 168}
    xai = {
        "completion_tokens": 100,
        "total_tokens": 182,
        "completion_tokens_details": {"reasoning_tokens": 50},
    }

    assert usage_from(google, provider="google").counts() == {
        "input_tokens": 158,
        "output_tokens": 10,
    }
    assert usage_from(xai, provider="x-ai").counts() == {
        "input_tokens": 32,
        "output_tokens": 150,
        "reasoning_tokens": 50,
    }


def test_embeddings_have_no_output_whatever_their_total() -> None:
    counts = {"prompt_tokens": 8, "total_tokens": 9, "prompt_tokens_details": {"image_tokens": 2}}

    usage = read_response({"object": "list", "data": [], "usage": counts}).usage

    assert usage.counts() == {"input_tokens": 8, "input_image_tokens": 2}


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_half_and_the_total_are_as_good_as_both_halves(prompt: int, completion: int) -> None:
    whole = {"prompt_tokens": prompt, "completion_tokens": completion}
    total = {"total_tokens": prompt + completion}

    usage = usage_from(whole)

    assert usage_from({"prompt_tokens": prompt} | total) == usage
    assert usage_from({"completion_tokens": completion} | total) == usage
