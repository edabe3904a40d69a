"""Responses as providers send them, cut down to what is read; no words of theirs are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.metering.responses import Response, read_response
from spendfuse.metering.usage import Usage, UsageError

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
    "service_tier": "default",
}
CHAT_USAGE = Usage(input_tokens=19, output_tokens=10)
MESSAGE = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "…"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 21,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 2000,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        "output_tokens": 393,
        "service_tier": "standard",
    },
}
MESSAGE_USAGE = Usage(
    input_tokens=2121,
    cached_input_tokens=2000,
    cache_write_tokens=100,
    cache_write_1h_tokens=60,
    output_tokens=393,
)
CONVERSE = {
    "ResponseMetadata": {"RequestId": "r", "HTTPStatusCode": 200, "HTTPHeaders": {}},
    "output": {"message": {"role": "assistant", "content": [{"text": "…"}]}},
    "stopReason": "end_turn",
    "usage": {
        "inputTokens": 30,
        "outputTokens": 628,
        "totalTokens": 1158,
        "cacheReadInputTokens": 500,
        "cacheWriteInputTokens": 0,
    },
    "metrics": {"latencyMs": 1275},
}
CONVERSE_USAGE = Usage(input_tokens=530, cached_input_tokens=500, output_tokens=628)
GEMINI = {
    "candidates": [{"content": {"parts": [], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 8,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 150,
        "totalTokenCount": 168,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "x",
}
GEMINI_USAGE = Usage(input_tokens=8, output_tokens=160, reasoning_tokens=150)
HEADERS = {
    "x-amzn-bedrock-input-token-count": "12",
    "x-amzn-bedrock-output-token-count": "34",
    "x-amzn-bedrock-cache-read-input-token-count": "100",
    "x-amzn-bedrock-cache-write-input-token-count": "8",
    "x-amzn-bedrock-invocation-latency": "731",
}
HEADERS_USAGE = Usage(
    input_tokens=120, cached_input_tokens=100, cache_write_tokens=8, output_tokens=34
)


def invoked(body: object, **fields: Any) -> dict[str, Any]:
    """Return what botocore returns of InvokeModel."""
    return {"ResponseMetadata": {"HTTPHeaders": HEADERS}, "body": body, **fields}


class Unread:
    """A body that is still a stream: it belongs to the caller."""

    def read(self) -> bytes:
        raise AssertionError("the caller's stream was read")


CASES: dict[str, tuple[dict[str, Any], Response]] = {
    "openai chat": (CHAT, Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE)),
    "openai chat, flex": (
        CHAT | {"service_tier": "flex"},
        Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE, "flex"),
    ),
    "openai responses": (
        {
            "id": "resp_1",
            "object": "response",
            "model": "gpt-5",
            "output": [
                {"type": "reasoning"},
                {"type": "web_search_call", "status": "completed"},
                {"type": "web_search_call", "status": "completed"},
                {"type": "file_search_call"},
                {"type": "message"},
            ],
            "service_tier": "priority",
            "usage": {
                "input_tokens": 328,
                "input_tokens_details": {"cached_tokens": 128},
                "output_tokens": 52,
                "output_tokens_details": {"reasoning_tokens": 40},
                "total_tokens": 380,
            },
        },
        Response(
            "openai",
            "gpt-5",
            Usage(
                input_tokens=328,
                cached_input_tokens=128,
                output_tokens=52,
                reasoning_tokens=40,
                web_searches=2,
                file_searches=1,
            ),
            "priority",
        ),
    ),
    # Opening a page is a call too, and is not billed: the count of what is billed holds.
    "openai responses, billed searches": (
        {
            "object": "response",
            "model": "gpt-5",
            "output": [{"type": "web_search_call"}, {"type": "web_search_call"}],
            "tool_usage": {"web_search": {"num_requests": 1}, "image_gen": {}},
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
        Response("openai", "gpt-5", Usage(input_tokens=3, output_tokens=2, web_searches=1)),
    ),
    "openai embeddings": (
        {
            "object": "list",
            "data": [{"object": "embedding", "embedding": [0.1], "index": 0}],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        Response("openai", "text-embedding-3-small", Usage(input_tokens=8)),
    ),
    "embeddings with a larger total": (
        {"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 9}},
        Response("", "", Usage(input_tokens=8)),
    ),
    "voyage embeddings": (
        {"object": "list", "data": [], "model": "voyage-3.5", "usage": {"total_tokens": 10}},
        Response("", "voyage-3.5", Usage(input_tokens=10)),
    ),
    "openai images": (
        {
            "created": 1713833628,
            "data": [{"b64_json": "…"}],
            "usage": {
                "total_tokens": 1106,
                "input_tokens": 50,
                "output_tokens": 1056,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            },
        },
        Response(
            "",
            "",
            Usage(
                input_tokens=50,
                input_image_tokens=40,
                output_tokens=1056,
                output_image_tokens=1056,
            ),
        ),
    ),
    "openai images, and words with them": (
        {
            "data": [{"b64_json": "…"}],
            "usage": {
                "input_tokens": 5,
                "output_tokens": 1056,
                "output_tokens_details": {"text_tokens": 56, "image_tokens": 1000},
            },
        },
        Response("", "", Usage(input_tokens=5, output_tokens=1056, output_image_tokens=1000)),
    ),
    "openai transcription": (
        {"text": "…", "usage": {"type": "duration", "seconds": 8.4}},
        Response("", "", Usage(audio_seconds=9)),
    ),
    "openai transcription of before": (
        {"task": "transcribe", "duration": "8.470000267028809", "text": "…", "segments": []},
        Response("", "", Usage(audio_seconds=9)),
    ),
    "azure": (
        CHAT | {"prompt_filter_results": [{"prompt_index": 0}]},
        Response("azure", "gpt-4o-2024-08-06", CHAT_USAGE),
    ),
    "groq": (
        CHAT
        | {
            "model": "llama-3.3-70b-versatile",
            "x_groq": {"id": "req_1"},
            "service_tier": "on_demand",
        },
        Response("groq", "llama-3.3-70b-versatile", CHAT_USAGE),
    ),
    "openrouter": (
        CHAT | {"model": "anthropic/claude-sonnet-4.5", "provider": "Anthropic"},
        Response("openrouter", "anthropic/claude-sonnet-4.5", CHAT_USAGE),
    ),
    "xai": (
        {
            "object": "chat.completion",
            "model": "grok-4-0709",
            "usage": {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
                "num_sources_used": 0,
            },
        },
        Response(
            "x-ai", "grok-4-0709", Usage(input_tokens=32, output_tokens=103, reasoning_tokens=94)
        ),
    ),
    "deepseek": (
        {
            "object": "chat.completion",
            "model": "deepseek-chat",
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
            },
        },
        Response(
            "deepseek",
            "deepseek-chat",
            Usage(input_tokens=100, cached_input_tokens=64, output_tokens=5),
        ),
    ),
    "perplexity": (
        CHAT | {"model": "sonar-pro", "citations": ["https://example.com"]},
        Response("perplexity", "sonar-pro", CHAT_USAGE),
    ),
    "gemini through its chat endpoint": (
        {
            "object": "chat.completion",
            "model": "models/gemini-2.5-flash",
            "usage": {"prompt_tokens": 8, "completion_tokens": 10, "total_tokens": 168},
        },
        Response("google", "gemini-2.5-flash", GEMINI_USAGE),
    ),
    "a server of one's own": (
        CHAT | {"model": "qwen3-32b"},
        Response("", "qwen3-32b", CHAT_USAGE),
    ),
    "open weights are anybody's": (
        CHAT | {"model": "gpt-oss-120b"},
        Response("", "gpt-oss-120b", CHAT_USAGE),
    ),
    "mistral's documents": (
        {
            "pages": [{"index": 0, "images": [{"id": "i", "image_annotation": None}]}],
            "model": "mistral-ocr-2512",
            "usage_info": {"pages_processed": 29, "doc_size_bytes": 3002783},
        },
        Response("mistral", "mistral-ocr-2512", Usage(pages=29)),
    ),
    "mistral's annotated documents": (
        {
            "pages": [{"index": 0, "images": [{"id": "i", "image_annotation": "{}"}]}],
            "model": "mistral-ocr-2512",
            "usage_info": {"pages_processed": 2},
        },
        Response("mistral", "mistral-ocr-2512", Usage(pages=2, annotated_pages=2)),
    ),
    "mistral's documents, annotated as a whole": (
        {
            "pages": [{"index": 0, "images": []}],
            "model": "mistral-ocr-2512",
            "document_annotation": "{}",
            "usage_info": {"pages_processed": 2},
        },
        Response("mistral", "mistral-ocr-2512", Usage(pages=2, annotated_pages=2)),
    ),
    "anthropic": (MESSAGE, Response("anthropic", "claude-sonnet-4-5-20250929", MESSAGE_USAGE)),
    "anthropic, batch": (
        MESSAGE | {"usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "batch"}},
        Response(
            "anthropic",
            "claude-sonnet-4-5-20250929",
            Usage(input_tokens=1, output_tokens=2),
            batch=True,
        ),
    ),
    "anthropic, fast": (
        MESSAGE
        | {
            "usage": {
                "input_tokens": 1,
                "output_tokens": 2,
                "service_tier": "standard",
                "speed": "fast",
            }
        },
        Response(
            "anthropic",
            "claude-sonnet-4-5-20250929",
            Usage(input_tokens=1, output_tokens=2),
            "fast",
        ),
    ),
    "anthropic on vertex": (
        MESSAGE | {"id": "msg_vrtx_01"},
        Response("google", "claude-sonnet-4-5-20250929", MESSAGE_USAGE),
    ),
    "converse": (CONVERSE, Response("aws", "", CONVERSE_USAGE)),
    "converse, flex": (
        CONVERSE | {"serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "standard"}},
        Response("aws", "", CONVERSE_USAGE, "flex"),
    ),
    "converse, optimised": (
        CONVERSE | {"performanceConfig": {"latency": "optimized"}},
        Response("aws", "", CONVERSE_USAGE, "optimized"),
    ),
    "converse through a router": (
        CONVERSE | {"trace": {"promptRouter": {"invokedModelId": "arn:aws:bedrock:m"}}},
        Response("aws", "arn:aws:bedrock:m", CONVERSE_USAGE),
    ),
    "invoke anthropic": (
        invoked(json.dumps(MESSAGE | {"id": "msg_bdrk_01"}).encode(), serviceTier="priority"),
        Response("aws", "claude-sonnet-4-5-20250929", MESSAGE_USAGE, "priority"),
    ),
    "invoke, optimised": (
        invoked(b"", performanceConfigLatency="optimized"),
        Response("aws", "", HEADERS_USAGE, "optimized"),
    ),
    "invoke jamba, its own tier": (
        invoked(CHAT | {"service_tier": "flex"}),
        Response("aws", "gpt-4o-2024-08-06", CHAT_USAGE, "flex"),
    ),
    "invoke anthropic, fast": (
        invoked(MESSAGE | {"usage": {"input_tokens": 1, "speed": "fast"}}),
        Response("aws", "claude-sonnet-4-5-20250929", Usage(input_tokens=1), "fast"),
    ),
    "invoke anthropic, the body alone": (
        MESSAGE | {"id": "msg_bdrk_01"},
        Response("aws", "claude-sonnet-4-5-20250929", MESSAGE_USAGE),
    ),
    "invoke nova": (
        {
            "output": {"message": {"role": "assistant", "content": []}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 6,
                "outputTokens": 13,
                "totalTokens": 119,
                "cacheReadInputTokenCount": 100,
                "cacheWriteInputTokenCount": 0,
            },
        },
        Response("aws", "", Usage(input_tokens=106, cached_input_tokens=100, output_tokens=13)),
    ),
    "invoke titan": (
        {
            "inputTextTokenCount": 5,
            "results": [
                {"tokenCount": 61, "outputText": "…", "completionReason": "FINISH"},
                {"tokenCount": 3, "outputText": "…", "completionReason": "FINISH"},
            ],
        },
        Response("aws", "", Usage(input_tokens=5, output_tokens=64)),
    ),
    "invoke titan embeddings": (
        invoked({"embedding": [0.1], "inputTextTokenCount": 7}),
        Response("aws", "", Usage(input_tokens=7)),
    ),
    "invoke llama": (
        {
            "generation": "…",
            "prompt_token_count": 11,
            "generation_token_count": 22,
            "stop_reason": "stop",
        },
        Response("aws", "", Usage(input_tokens=11, output_tokens=22)),
    ),
    "invoke jurassic": (
        {
            "id": 1234,
            "prompt": {"text": "…", "tokens": [{}, {}, {}]},
            "completions": [{"data": {"text": "…", "tokens": [{}, {}]}}],
        },
        Response("aws", "", Usage(input_tokens=3, output_tokens=2)),
    ),
    "invoke jamba": (
        invoked(json.dumps(CHAT | {"model": "jamba-1.5-large"})),
        Response("aws", "jamba-1.5-large", CHAT_USAGE),
    ),
    "invoke mistral, by its headers": (
        invoked(json.dumps({"outputs": [{"text": "…", "stop_reason": "stop"}]})),
        Response("aws", "", HEADERS_USAGE),
    ),
    "invoke cohere, by its headers": (
        invoked({"generations": [{"text": "…"}], "id": "x"}),
        Response("aws", "", HEADERS_USAGE),
    ),
    "invoke, a body that is no JSON": (invoked(b"\xff{"), Response("aws", "", HEADERS_USAGE)),
    "invoke, a body not yet read": (invoked(Unread()), Response("aws", "", HEADERS_USAGE)),
    "gemini": (GEMINI, Response("google", "gemini-2.5-flash", GEMINI_USAGE)),
    "gemini on vertex, flex": (
        GEMINI | {"usageMetadata": {"promptTokenCount": 8, "trafficType": "ON_DEMAND_FLEX"}},
        Response("google", "gemini-2.5-flash", Usage(input_tokens=8), "flex"),
    ),
    "gemini, priority": (
        GEMINI | {"usageMetadata": {"promptTokenCount": 8, "serviceTier": "PRIORITY"}},
        Response("google", "gemini-2.5-flash", Usage(input_tokens=8), "priority"),
    ),
    "gemini's objects, priority": (
        {"usage_metadata": {"prompt_token_count": 8, "service_tier": "priority"}},
        Response("google", "", Usage(input_tokens=8), "priority"),
    ),
    "gemini's objects, provisioned": (
        {"usage_metadata": {"prompt_token_count": 8, "traffic_type": "PROVISIONED_THROUGHPUT"}},
        Response("google", "", Usage(input_tokens=8), "provisioned_throughput"),
    ),
    "gemini on vertex, on demand": (
        GEMINI | {"usageMetadata": {"promptTokenCount": 8, "trafficType": "ON_DEMAND"}},
        Response("google", "gemini-2.5-flash", Usage(input_tokens=8)),
    ),
    "litellm": (
        CHAT | {"model": "claude-3", "_hidden_params": {"custom_llm_provider": "bedrock"}},
        Response("aws", "claude-3", CHAT_USAGE),
    ),
    "litellm, a provider of the same name": (
        CHAT | {"_hidden_params": {"custom_llm_provider": "anthropic"}},
        Response("anthropic", "gpt-4o-2024-08-06", CHAT_USAGE),
    ),
    "cohere": (
        {
            "id": "c",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant"},
            "usage": {
                "billed_units": {"input_tokens": 5, "output_tokens": 418},
                "tokens": {"input_tokens": 71, "output_tokens": 420},
            },
        },
        Response("cohere", "", Usage(input_tokens=5, output_tokens=418)),
    ),
    "cohere embeddings": (
        {
            "id": "c",
            "embeddings": {},
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}},
        },
        Response("cohere", "", Usage(input_tokens=4)),
    ),
    "cohere rerank": (
        {"results": [{"index": 3}], "meta": {"billed_units": {"search_units": 1}}},
        Response("cohere", "", Usage(requests=1)),
    ),
    "openai batch": (
        {
            "id": "batch_req_1",
            "custom_id": "request-1",
            "response": {"status_code": 200, "request_id": "r", "body": CHAT},
            "error": None,
        },
        Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE, batch=True),
    ),
    "anthropic batch": (
        {"custom_id": "request-1", "result": {"type": "succeeded", "message": MESSAGE}},
        Response("anthropic", "claude-sonnet-4-5-20250929", MESSAGE_USAGE, batch=True),
    ),
    "bedrock batch": (
        {
            "recordId": "CALL0000001",
            "modelInput": {},
            "modelOutput": MESSAGE | {"id": "msg_bdrk_01"},
        },
        Response("aws", "claude-sonnet-4-5-20250929", MESSAGE_USAGE, batch=True),
    ),
    "bedrock batch in OpenAI's words": (
        {"recordId": "CALL0000001", "modelOutput": CHAT | {"model": "jamba-1.5-large"}},
        Response("aws", "jamba-1.5-large", CHAT_USAGE, batch=True),
    ),
    "gemini batch": (
        {"key": "request-1", "response": GEMINI},
        Response("google", "gemini-2.5-flash", GEMINI_USAGE, batch=True),
    ),
    "vertex batch": (
        {"status": "", "processed_time": "t", "request": {}, "response": GEMINI},
        Response("google", "gemini-2.5-flash", GEMINI_USAGE, batch=True),
    ),
}


@pytest.mark.parametrize(("response", "expected"), CASES.values(), ids=CASES)
def test_a_response_tells_who_what_and_how_much(
    response: dict[str, Any], expected: Response
) -> None:
    assert read_response(response) == expected


@pytest.mark.parametrize(("response", "expected"), CASES.values(), ids=CASES)
def test_the_callers_provider_holds(response: dict[str, Any], expected: Response) -> None:
    assert read_response(response, provider="mine").provider == "mine"


@pytest.mark.parametrize(
    ("models", "provider"),
    [
        (
            """gpt-5.2 chatgpt-4o-latest o1-mini o3 o4-mini-deep-research codex-mini-latest
            computer-use-preview ft:gpt-4o-mini-2024-07-18:acme::abc text-embedding-3-large
            text-embedding-ada-002 gpt-image-1""",
            "openai",
        ),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-pro models/gemini-2.5-pro", "google"),
        ("grok-4", "x-ai"),
        ("sonar sonar-deep-research", "perplexity"),
        ("gpt-oss-120b ft:open-mistral-7b:x llama-3.3-70b openai/gpt-4o my-deployment", ""),
    ],
)
def test_models_of_one_house_tell_the_provider(models: str, provider: str) -> None:
    for model in models.split():
        assert read_response(CHAT | {"model": model}).provider == provider


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("bedrock bedrock_converse sagemaker sagemaker_chat amazon_nova", "aws"),
        ("vertex_ai vertex_ai_beta gemini", "google"),
        ("azure azure_ai", "azure"),
        ("openai text-completion-openai", "openai"),
        ("xai", "x-ai"),
        ("cohere cohere_chat", "cohere"),
        ("together_ai", "together"),
        ("voyage", "voyageai"),
        ("moonshot", "moonshotai"),
        ("fireworks_ai", "fireworks"),
        ("ollama", "ollama"),
    ],
)
def test_litellms_providers_go_by_the_price_books_names(theirs: str, ours: str) -> None:
    for name in theirs.split():
        hidden = {"_hidden_params": {"custom_llm_provider": name}}

        assert read_response(CHAT | hidden).provider == ours


@pytest.mark.parametrize(
    ("named", "tier", "batch"),
    [
        ("auto", None, False),
        ("default", None, False),
        ("standard", None, False),
        ("standard_only", None, False),
        ("on_demand", None, False),
        ("TRAFFIC_TYPE_UNSPECIFIED", None, False),
        ("unspecified", None, False),
        ("", None, False),
        (None, None, False),
        (5, None, False),
        ("batch", None, True),
        ("Flex", "flex", False),
        ("ON_DEMAND_FLEX", "flex", False),
        ("ON_DEMAND_PRIORITY", "priority", False),
        ("scale", "scale", False),
        ("x" * 1000, "x" * 64, False),
    ],
)
def test_tiers_go_by_one_name(named: object, tier: str | None, batch: bool) -> None:
    read = read_response(CHAT | {"service_tier": named})

    assert (read.tier, read.batch) == (tier, batch)


def test_a_field_called_provider_is_openrouters_only_beside_its_model_names() -> None:
    assert read_response(CHAT | {"provider": "Azure", "model": "a/b"}).provider == "openrouter"
    assert read_response(CHAT | {"provider": "Azure"}).provider == "openai"
    assert read_response(CHAT | {"provider": {}, "model": "a/b"}).provider == ""


def test_what_came_is_left_as_it_was() -> None:
    before = json.dumps(CHAT), json.dumps(MESSAGE), json.dumps(CONVERSE)

    for response in (CHAT, MESSAGE, CONVERSE):
        read_response(response)

    assert (json.dumps(CHAT), json.dumps(MESSAGE), json.dumps(CONVERSE)) == before


@pytest.mark.parametrize(
    "response",
    [
        {"id": "x", "choices": ["secret"], "model": "gpt-4o"},
        CHAT | {"usage": None, "system": "secret"},
        {"type": "message", "content": "secret"},
        {"duration": 5, "song": "secret"},
        {"usageMetadata": None, "text": "secret"},
        {"ResponseMetadata": {"HTTPHeaders": {"x": "secret"}}},
        {"ResponseMetadata": {}, "body": b'{"outputs": "secret"}'},
    ],
)
def test_without_usage_the_error_names_the_fields_and_no_values(
    response: dict[str, Any],
) -> None:
    with pytest.raises(UsageError, match="has no usage; it has: ") as refused:
        read_response(response)

    assert "secret" not in str(refused.value)


def test_the_fields_of_a_wrapped_body_are_named() -> None:
    with pytest.raises(UsageError, match="it has: outputs;"):
        read_response({"ResponseMetadata": {}, "body": b'{"outputs": []}'})
    with pytest.raises(UsageError, match="it has: ResponseMetadata, body;"):
        read_response({"ResponseMetadata": {}, "body": Unread()})


@pytest.mark.parametrize("response", [None, "text", b"{}", 5, [], {}, object()])
def test_what_is_no_response_is_refused(response: object) -> None:
    with pytest.raises(UsageError, match="a response must be"):
        read_response(response)


@pytest.mark.parametrize("count", ["x", "-5", "1.5", "٣", "9" * 19, "9" * 5000, True])
def test_a_header_that_is_no_count_is_refused(count: object) -> None:
    headers = {"x-amzn-bedrock-input-token-count": count}

    with pytest.raises(UsageError, match="inputTokenCount must"):
        read_response({"ResponseMetadata": {"HTTPHeaders": headers}})


def test_titans_counts_are_checked_before_they_are_added() -> None:
    body = {"inputTextTokenCount": 1, "results": [{"tokenCount": 5}, {"tokenCount": -3}]}

    with pytest.raises(UsageError, match="tokenCount must not be negative"):
        read_response(body)


KNOWN = sorted({name for case, _ in CASES.values() for name in case} | {"type", "usage_metadata"})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN) | st.text(), inner)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(KNOWN), json_values))
def test_any_json_is_a_response_or_a_usage_error(response: dict[str, Any]) -> None:
    try:
        read = read_response(response)
    except UsageError:
        return

    assert type(read) is Response


@given(st.sampled_from(sorted(CASES)), st.data())
def test_a_response_with_anything_in_one_place_is_read_or_refused(
    name: str, data: st.DataObject
) -> None:
    response = json.loads(json.dumps(CASES[name][0], default=str))
    inner = response
    while True:
        key = data.draw(st.sampled_from(sorted(inner)))
        if not (isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans())):
            break
        inner = inner[key]
    inner[key] = data.draw(json_values)

    try:
        read = read_response(response)
    except UsageError:
        return

    assert all(count >= 0 for count in read.usage)
