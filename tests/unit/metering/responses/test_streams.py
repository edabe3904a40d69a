"""Streams as they come, whole and broken off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import RawMessageDeltaEvent, RawMessageStartEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseCompletedEvent

from spendfuse.metering.responses import Response, StreamUsage
from spendfuse.metering.usage import Usage, UsageError

Event = dict[str, Any]


def chat_chunk(**fields: Any) -> Event:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": "…"}, "finish_reason": None}],
        "usage": None,
        **fields,
    }


CHAT_COUNTS = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
CHAT_USAGE = Usage(input_tokens=19, output_tokens=10)
STOP = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
CHAT = [chat_chunk(), chat_chunk(choices=STOP), chat_chunk(choices=[], usage=CHAT_COUNTS)]

MESSAGE: list[Event] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "model": "claude-sonnet-4-5",
            "usage": {
                "input_tokens": 25,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 8,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 0,
                    "ephemeral_1h_input_tokens": 8,
                },
                "output_tokens": 1,
                "service_tier": "priority",
            },
        },
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "…"}},
    {"type": "ping"},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 15, "input_tokens": None},
    },
    {"type": "message_stop"},
]
MESSAGE_USAGE = Usage(
    input_tokens=133,
    cached_input_tokens=100,
    cache_write_tokens=8,
    cache_write_1h_tokens=8,
    output_tokens=15,
)
METRICS = {
    "inputTokenCount": 25,
    "outputTokenCount": 15,
    "cacheReadInputTokenCount": 100,
    "cacheWriteInputTokenCount": 8,
    "invocationLatency": 1,
}
METRICS_USAGE = MESSAGE_USAGE._replace(cache_write_1h_tokens=0)


def invoked(*chunks: Event) -> list[Event]:
    """Return what botocore yields of InvokeModelWithResponseStream."""
    return [{"chunk": {"bytes": json.dumps(chunk).encode()}} for chunk in chunks]


def gemini_chunk(candidates: int, thoughts: int, reason: str | None = None) -> Event:
    return {
        "candidates": [{"content": {}, "finishReason": reason}],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": candidates,
            "thoughtsTokenCount": thoughts,
        },
        "modelVersion": "gemini-2.5-flash",
    }


def responses_event(kind: str, **fields: Any) -> Event:
    return {"type": kind, "response": {"object": "response", "model": "gpt-5", **fields}}


GPT5_COUNTS = {"input_tokens": 75, "output_tokens": 20, "total_tokens": 95}
GPT5_USAGE = Usage(input_tokens=75, output_tokens=20)
STREAMS: dict[str, tuple[list[Event], Response]] = {
    "openai chat": (CHAT, Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE)),
    "openai chat, its SDK's own events": (
        [{"type": "chunk", "chunk": chunk} for chunk in CHAT],
        Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE),
    ),
    "azure": (
        [chat_chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}]), *CHAT],
        Response("azure", "gpt-4o-2024-08-06", CHAT_USAGE),
    ),
    "groq": (
        [
            chat_chunk(model="llama-3.3-70b-versatile"),
            chat_chunk(
                model="llama-3.3-70b-versatile",
                choices=STOP,
                x_groq={"id": "r", "usage": CHAT_COUNTS},
            ),
        ],
        Response("groq", "llama-3.3-70b-versatile", CHAT_USAGE),
    ),
    "mistral, with the last words": (
        [
            chat_chunk(model="mistral-large-latest"),
            chat_chunk(model="mistral-large-latest", choices=STOP, usage=CHAT_COUNTS),
        ],
        Response("", "mistral-large-latest", CHAT_USAGE),
    ),
    "litellm, in a chunk with an empty choice": (
        [chat_chunk(), chat_chunk(choices=STOP), chat_chunk(usage=CHAT_COUNTS)],
        Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE),
    ),
    "a server that counts as it goes": (
        [
            chat_chunk(usage={"prompt_tokens": 19, "completion_tokens": 1}),
            chat_chunk(usage={"prompt_tokens": 19, "completion_tokens": 6}),
            chat_chunk(choices=STOP, usage=CHAT_COUNTS),
        ],
        Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE),
    ),
    "openai responses": (
        [
            responses_event("response.created", usage=None),
            {"type": "response.output_text.delta", "delta": "…"},
            responses_event("response.completed", usage=GPT5_COUNTS, service_tier="flex"),
        ],
        Response("openai", "gpt-5", GPT5_USAGE, "flex"),
    ),
    "openai responses, cut short": (
        [responses_event("response.incomplete", usage=GPT5_COUNTS)],
        Response("openai", "gpt-5", GPT5_USAGE),
    ),
    "openai images": (
        [
            {"type": "image_generation.partial_image", "b64_json": "…"},
            {
                "type": "image_generation.completed",
                "b64_json": "…",
                "usage": {"input_tokens": 5, "output_tokens": 1056, "total_tokens": 1061},
            },
        ],
        Response("", "", Usage(input_tokens=5, output_tokens=1056, output_image_tokens=1056)),
    ),
    "anthropic": (MESSAGE, Response("anthropic", "claude-sonnet-4-5", MESSAGE_USAGE, "priority")),
    # Sums grow while a tool of the server runs: what came last holds.
    "anthropic, later counts hold": (
        [
            MESSAGE[0],
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {
                    "input_tokens": 40,
                    "cache_read_input_tokens": 300,
                    "output_tokens": 15,
                    "server_tool_use": {"web_search_requests": 1},
                },
            },
        ],
        Response(
            "anthropic",
            "claude-sonnet-4-5",
            Usage(
                input_tokens=348,
                cached_input_tokens=300,
                cache_write_tokens=8,
                cache_write_1h_tokens=8,
                output_tokens=15,
                web_searches=1,
            ),
            "priority",
        ),
    ),
    "converse": (
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "…"}, "contentBlockIndex": 0}},
            {"messageStop": {"stopReason": "end_turn"}},
            {
                "metadata": {
                    "usage": {
                        "inputTokens": 25,
                        "outputTokens": 15,
                        "totalTokens": 140,
                        "cacheReadInputTokens": 100,
                    },
                    "metrics": {"latencyMs": 1},
                    "serviceTier": {"type": "priority"},
                }
            },
        ],
        Response(
            "aws",
            "",
            Usage(input_tokens=125, cached_input_tokens=100, output_tokens=15),
            "priority",
        ),
    ),
    "invoke anthropic": (
        invoked(*MESSAGE[:-1], MESSAGE[-1] | {"amazon-bedrock-invocationMetrics": METRICS}),
        Response("aws", "claude-sonnet-4-5", MESSAGE_USAGE, "priority"),
    ),
    "invoke anthropic, no counts but the metrics": (
        invoked(
            {"type": "message_start", "message": {"id": "m", "model": "claude"}},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}},
            MESSAGE[-1] | {"amazon-bedrock-invocationMetrics": METRICS},
        ),
        Response("aws", "", METRICS_USAGE),
    ),
    "invoke nova": (
        invoked({"metadata": {"usage": {"inputTokens": 6, "outputTokens": 13}}}),
        Response("aws", "", Usage(input_tokens=6, output_tokens=13)),
    ),
    "invoke llama": (
        invoked(
            {"generation": "…", "prompt_token_count": 25, "generation_token_count": 1},
            {"generation": "…", "prompt_token_count": None, "generation_token_count": 2},
            {
                "generation": "",
                "generation_token_count": 15,
                "stop_reason": "stop",
                "amazon-bedrock-invocationMetrics": METRICS,
            },
        ),
        Response("aws", "", METRICS_USAGE),
    ),
    "invoke mistral": (
        invoked(
            {"outputs": [{"text": "…", "stop_reason": None}]},
            {
                "outputs": [{"text": "", "stop_reason": "stop"}],
                "amazon-bedrock-invocationMetrics": METRICS,
            },
        ),
        Response("aws", "", METRICS_USAGE),
    ),
    "gemini": (
        [gemini_chunk(2, 30), gemini_chunk(6, 30), gemini_chunk(9, 30, "STOP")],
        Response(
            "google",
            "gemini-2.5-flash",
            Usage(input_tokens=8, output_tokens=39, reasoning_tokens=30),
        ),
    ),
    "cohere": (
        [
            {"type": "content-delta", "index": 0, "delta": {}},
            {
                "type": "message-end",
                "delta": {
                    "finish_reason": "COMPLETE",
                    "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 4}},
                },
            },
        ],
        Response("cohere", "", Usage(input_tokens=3, output_tokens=4)),
    ),
    "cohere, first version": (
        [
            {
                "event_type": "stream-end",
                "response": {"meta": {"billed_units": {"input_tokens": 3, "output_tokens": 4}}},
            }
        ],
        Response("cohere", "", Usage(input_tokens=3, output_tokens=4)),
    ),
}


def stream_of(events: list[Event]) -> StreamUsage:
    stream = StreamUsage()
    for event in events:
        stream.add(event)
    return stream


@pytest.mark.parametrize(("events", "expected"), STREAMS.values(), ids=STREAMS)
def test_a_whole_stream_tells_its_usage(events: list[Event], expected: Response) -> None:
    stream = stream_of(events)

    assert stream.complete
    assert stream.response() == expected


@pytest.mark.parametrize(("events", "expected"), STREAMS.values(), ids=STREAMS)
def test_before_its_last_counts_a_stream_is_not_complete(
    events: list[Event], expected: Response
) -> None:
    stream = StreamUsage()
    for event in events:
        before = stream.complete
        stream.add(event)
        if stream.complete:
            break

    assert not before
    # What Bedrock's metrics and message_stop bring later changes no count.
    assert stream.response() is not None
    assert stream.response().usage.input_tokens == expected.usage.input_tokens


@pytest.mark.parametrize(
    ("events", "known"),
    [
        (CHAT[:2], None),
        ([], None),
        ([{"type": "ping"}], None),
        (MESSAGE[:2], MESSAGE_USAGE._replace(output_tokens=1)),
        (invoked(*MESSAGE[:2]), MESSAGE_USAGE._replace(output_tokens=1)),
        (
            invoked(
                {"generation": "…", "prompt_token_count": 25, "generation_token_count": 1},
                {"generation": "…", "prompt_token_count": None, "generation_token_count": 2},
            ),
            Usage(input_tokens=25, output_tokens=2),
        ),
        (
            invoked({"outputText": "…", "inputTextTokenCount": 5, "totalOutputTextTokenCount": 9}),
            Usage(input_tokens=5, output_tokens=9),
        ),
        (
            [gemini_chunk(2, 30)],
            Usage(input_tokens=8, output_tokens=32, reasoning_tokens=30),
        ),
        ([chat_chunk(usage=CHAT_COUNTS)], CHAT_USAGE),
    ],
)
def test_broken_off_a_stream_tells_what_is_known_so_far(
    events: list[Event], known: Usage | None
) -> None:
    stream = stream_of(events)
    response = stream.response("p", "m")

    assert not stream.complete
    assert (response and response.usage) == known


def test_the_model_asked_for_holds_where_the_events_name_none_and_on_bedrock() -> None:
    converse, _ = STREAMS["converse"]
    invoke, _ = STREAMS["invoke anthropic"]

    assert stream_of(CHAT).response("azure", "my-deployment").model == "gpt-4o-2024-08-06"
    assert stream_of(converse).response(model="us.amazon.nova").model == "us.amazon.nova"
    assert stream_of(invoke).response(model="us.claude").model == "us.claude"
    assert stream_of(STREAMS["cohere"][0]).response(model="command-a").model == "command-a"
    assert stream_of(CHAT).response("mine").provider == "mine"


def test_a_model_named_at_the_beginning_holds_to_the_end() -> None:
    events = [
        responses_event("response.created"),
        {"type": "response.completed", "response": {"object": "response", "usage": GPT5_COUNTS}},
    ]

    assert stream_of(events).response().model == "gpt-5"


@pytest.mark.parametrize(
    "kind",
    ["response.completed", "response.incomplete", "response.failed", "response.done"],
)
def test_however_a_response_ends_its_usage_is_read(kind: str) -> None:
    stream = stream_of([responses_event(kind, usage=GPT5_COUNTS)])

    assert stream.complete
    assert stream.response() == Response("openai", "gpt-5", GPT5_USAGE)


@pytest.mark.parametrize(
    "kind", ["image_generation.completed", "image_edit.completed", "transcript.text.done"]
)
def test_events_that_have_their_usage_themselves_are_read(kind: str) -> None:
    stream = stream_of([{"type": kind, "usage": GPT5_COUNTS}])

    assert stream.complete
    assert stream.response(model="m") == Response("", "m", GPT5_USAGE)


def test_a_chunk_of_usage_alone_is_the_last() -> None:
    assert stream_of(CHAT[-1:]).complete


def test_geminis_objects_are_complete_when_they_finish() -> None:
    chunk = {
        "candidates": [{"finish_reason": "STOP"}],
        "usage_metadata": {"prompt_token_count": 8, "candidates_token_count": 2},
    }

    assert stream_of([chunk]).complete
    assert not stream_of([chunk | {"candidates": None}]).complete


def test_metadata_without_usage_leaves_what_was_known() -> None:
    events, expected = STREAMS["converse"]
    later = {"metadata": {"metrics": {"latencyMs": 1}}}

    assert stream_of([*events, later]).response() == expected
    assert stream_of([later]).response() is None


def test_the_id_of_a_message_tells_its_host() -> None:
    start = {"type": "message_start", "message": {"id": "msg_vrtx_1", "usage": {"input_tokens": 5}}}

    assert stream_of([start]).response().provider == "google"


def test_anthropics_events_are_known_from_either_end() -> None:
    assert stream_of(MESSAGE[:1]).response().provider == "anthropic"
    assert stream_of(MESSAGE[3:]).response() == Response("anthropic", "", Usage(output_tokens=15))


def test_a_message_is_complete_when_it_stops() -> None:
    delta = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}}

    assert not stream_of([MESSAGE[0], delta]).complete
    assert stream_of([MESSAGE[0], delta, MESSAGE[-1]]).complete
    assert not stream_of([MESSAGE[-1]]).complete


def test_a_second_start_begins_anew() -> None:
    other = {"id": "msg_2", "model": "claude-opus", "usage": {"input_tokens": 1}}

    stream = stream_of([MESSAGE[0], {"type": "message_start", "message": other}, MESSAGE[3]])

    assert stream.response() == Response(
        "anthropic", "claude-opus", Usage(input_tokens=1, output_tokens=15)
    )


def test_events_of_the_sdks_are_read() -> None:
    start = RawMessageStartEvent.model_validate(
        {
            "type": "message_start",
            "message": {
                **MESSAGE[0]["message"],
                "role": "assistant",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
            },
        }
    )
    delta = RawMessageDeltaEvent.model_validate(
        MESSAGE[3] | {"delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    )
    completed = ResponseCompletedEvent.construct(**STREAMS["openai responses"][0][-1])
    chunks = [ChatCompletionChunk.model_validate(chunk) for chunk in CHAT]

    assert stream_of([start, delta]).response() == STREAMS["anthropic"][1]
    assert stream_of([completed]).response() == STREAMS["openai responses"][1]
    assert stream_of(chunks).response() == STREAMS["openai chat"][1]


def test_counts_that_can_not_be_are_refused_when_asked_for() -> None:
    stream = stream_of([chat_chunk(choices=[], usage={"prompt_tokens": -1})])

    with pytest.raises(UsageError, match="prompt_tokens must not be negative"):
        stream.response()


class Hostile:
    @property
    def __dict__(self) -> Any:
        raise RuntimeError("no fields for you")


@pytest.mark.parametrize(
    "event",
    [
        None,
        5,
        "data: [DONE]",
        b"{",
        [],
        Hostile(),
        {"chunk": {"bytes": b"{token"}},
        {"chunk": {"bytes": "token"}},
        {"chunk": {"bytes": b'["token"]'}},
        {"type": ["unhashable"]},
        {"type": "message_start", "message": 5},
        {"type": "message_delta", "usage": "x"},
        {"type": "response.completed", "response": None},
    ],
)
def test_an_event_that_can_not_be_read_is_passed_over(event: object) -> None:
    stream = stream_of([CHAT[0], event, *CHAT[1:]])

    assert stream.response().usage == CHAT_USAGE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["usage", "type", "message", "delta", "response", "input_tokens"]),
            inner,
        )
    ),
    max_leaves=10,
)


every_event = st.sampled_from([event for events, _ in STREAMS.values() for event in events])


@given(st.lists(every_event | json_values))
def test_events_in_any_order_give_a_response_none_or_a_usage_error(events: list[Any]) -> None:
    stream = stream_of(events)

    try:
        response = stream.response()
    except UsageError:
        return
    assert response is None or all(count >= 0 for count in response.usage)
