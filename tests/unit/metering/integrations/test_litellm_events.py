"""The shapes are those that litellm 1.106 hands to its callbacks; test_litellm.py runs it."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from unit.metering.integrations.openai_samples import EMBEDDING, MODEL, chat
from unit.metering.integrations.recording import Recording

from spendfuse.metering.attribution import attributed
from spendfuse.metering.integrations import recent
from spendfuse.metering.integrations.litellm_events import LitellmMeter
from spendfuse.metering.usage import NOTHING_USED, Usage

START = datetime(2026, 11, 22, 10, 0, 0)  # noqa: DTZ001 (litellm's are naive)
END = START + timedelta(seconds=1.5)
USAGE = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=64, reasoning_tokens=8)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "litellm_call_id": "call-1",
        "model": "gpt-4o",
        "custom_llm_provider": "openai",
        "stream": False,
        "call_type": "completion",
        "cache_hit": None,
        "user": None,
        "litellm_params": {"custom_llm_provider": "openai", "metadata": {}},
        "messages": [{"role": "user", "content": "secret"}],
        **changes,
    }


@pytest.fixture
def tracker() -> Recording:
    return Recording()


@pytest.fixture
def meter(tracker: Recording) -> LitellmMeter:
    return LitellmMeter(tracker, {})


def test_an_answer_is_tracked(meter: LitellmMeter, tracker: Recording) -> None:
    with attributed(team="ads"):
        meter.succeeded(event(), chat(), START, END)

    call = tracker.call
    assert (call.provider, call.model, call.usage) == ("openai", MODEL, USAGE)
    assert (call.latency_ms, call.status, call.cached) == (1500, "ok", False)
    assert call.attribution.attributes == {"team": "ads"}


def test_what_was_answered_from_litellms_cache_is_cached(
    meter: LitellmMeter, tracker: Recording
) -> None:
    meter.succeeded(event(cache_hit=True), chat(), START, END)

    assert tracker.call.cached
    assert tracker.call.usage == USAGE


@pytest.mark.parametrize(
    "name", ["complete_streaming_response", "async_complete_streaming_response"]
)
def test_a_stream_is_counted_by_its_whole(
    name: str, meter: LitellmMeter, tracker: Recording
) -> None:
    last_chunk = {"object": "chat.completion.chunk", "choices": [], "model": "gpt-4o"}
    meter.succeeded(event(stream=True, **{name: chat()}), last_chunk, START, END)

    assert tracker.call.usage == USAGE


def test_a_streams_attribution_is_its_callers(meter: LitellmMeter, tracker: Recording) -> None:
    with attributed(team="ads"):
        meter.began(event())
    # litellm ends a stream on a thread of its own.
    meter.succeeded(event(complete_streaming_response=chat()), chat(), START, END)

    assert tracker.call.attribution.attributes == {"team": "ads"}
    assert len(meter._begun) == 0


def test_one_call_told_twice_counts_once(meter: LitellmMeter, tracker: Recording) -> None:
    meter.succeeded(event(), chat(), START, END)
    meter.succeeded(event(), chat(), START, END)

    assert len(tracker.calls) == 1


def test_a_retry_costs_nothing_twice(meter: LitellmMeter, tracker: Recording) -> None:
    failure = event(exception=TimeoutError("the prompt was: secret"))
    meter.failed(failure, START, END)
    meter.failed(failure, START, END)
    meter.succeeded(event(), chat(), START, END)

    failed, answered = tracker.calls
    assert (failed.status, failed.error_type, failed.usage) == (
        "error",
        "TimeoutError",
        NOTHING_USED,
    )
    assert (answered.status, answered.usage) == ("ok", USAGE)
    assert "secret" not in repr(tracker.calls)


@pytest.mark.parametrize(
    ("provider", "ours"),
    [
        ("bedrock", "aws"),
        ("bedrock_converse", "aws"),
        ("vertex_ai", "google"),
        ("gemini", "google"),
        ("azure", "azure"),
        ("xai", "x-ai"),
        ("hosted_vllm", "hosted_vllm"),
    ],
)
def test_providers_are_named_as_the_price_book_names_them(
    provider: str, ours: str, meter: LitellmMeter, tracker: Recording
) -> None:
    meter.succeeded(event(custom_llm_provider=provider), chat(), START, END)

    assert tracker.call.provider == ours


def test_bedrock_is_billed_by_the_id_that_names_the_region(
    meter: LitellmMeter, tracker: Recording
) -> None:
    asked = event(custom_llm_provider="bedrock", model="eu.anthropic.claude-haiku-4-5-v1:0")
    meter.succeeded(asked, chat(model="claude-haiku-4-5"), START, END)

    assert tracker.call.model == "eu.anthropic.claude-haiku-4-5-v1:0"


def test_litellms_user_and_metadata_are_attributes(meter: LitellmMeter, tracker: Recording) -> None:
    metadata = {
        "team": "ads",
        "feature": "search",
        "user_api_key_hash": "88dc28d0",
        "tags": ["a"],
        "headers": {"authorization": "secret"},
    }
    params = {"metadata": metadata}
    with attributed(team="search"):
        meter.succeeded(event(user="u1", litellm_params=params), chat(), START, END)

    assert tracker.call.attribution.attributes == {
        "user": "u1",
        "team": "ads",
        "feature": "search",
        "key_id": "88dc28d0",
    }


def test_embeddings_and_speech_and_transcriptions_are_counted(
    meter: LitellmMeter, tracker: Recording
) -> None:
    spoken = SimpleNamespace(text="A fuse.", _hidden_params={"audio_transcription_duration": 12.3})
    said = event(litellm_call_id="3", call_type="aspeech", input="A fuse.")
    meter.succeeded(event(litellm_call_id="1"), EMBEDDING, START, END)
    meter.succeeded(event(litellm_call_id="2"), spoken, START, END)
    meter.succeeded(said, SimpleNamespace(response=None), START, END)

    assert [call.usage for call in tracker.calls] == [
        Usage(input_tokens=7),
        {"seconds": 12.3},
        Usage(characters=7),
    ]


def test_an_answer_without_usage_is_never_nothing(meter: LitellmMeter, tracker: Recording) -> None:
    meter.succeeded(event(), chat(usage=None), START, END)

    assert tracker.call.usage is None


@pytest.mark.parametrize("odd", [{"litellm_params": 5}, {"litellm_params": None, "user": 7}])
def test_odd_events_break_nothing(
    odd: dict[str, Any], meter: LitellmMeter, tracker: Recording
) -> None:
    meter.began(event(**odd))
    meter.succeeded(event(**odd), chat(), START, END)
    meter.failed(event(**odd), START, END)

    assert len(tracker.calls) + len(tracker.refused) == 2


def test_memory_stays_bounded(meter: LitellmMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MAX_REMEMBERED", 5)
    with attributed(team="ads"):
        for number in range(20):
            meter.began(event(litellm_call_id=str(number)))
            meter.succeeded(event(litellm_call_id=f"other {number}"), chat(), START, END)

    assert len(meter._begun) <= 5
    assert len(meter._ended) <= 5
