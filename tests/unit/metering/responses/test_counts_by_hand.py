"""Counts as providers, SDKs and people write them; what is expected was worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from spendfuse.metering.responses import usage_from

CASES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "chat": (
        {"prompt_tokens": 10, "completion_tokens": 5},
        {"input_tokens": 10, "output_tokens": 5},
    ),
    "chat with a total": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        {"input_tokens": 10, "output_tokens": 5},
    ),
    "chat, cached and reasoned": (
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 192,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        {
            "input_tokens": 2006,
            "cached_input_tokens": 1920,
            "output_tokens": 300,
            "reasoning_tokens": 192,
        },
    ),
    "chat, written to the cache": (
        {
            "prompt_tokens": 2600,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 400},
        },
        {
            "input_tokens": 2600,
            "cached_input_tokens": 2000,
            "cache_write_tokens": 400,
            "output_tokens": 10,
        },
    ),
    "chat, predicted outputs are output already": (
        {
            "prompt_tokens": 30,
            "completion_tokens": 90,
            "completion_tokens_details": {
                "accepted_prediction_tokens": 40,
                "rejected_prediction_tokens": 20,
            },
        },
        {"input_tokens": 30, "output_tokens": 90},
    ),
    "chat aloud": (
        {
            "prompt_tokens": 120,
            "completion_tokens": 80,
            "prompt_tokens_details": {"audio_tokens": 100, "text_tokens": 20, "cached_tokens": 0},
            "completion_tokens_details": {"audio_tokens": 60, "text_tokens": 20},
        },
        {
            "input_tokens": 120,
            "input_audio_tokens": 100,
            "output_tokens": 80,
            "output_audio_tokens": 60,
        },
    ),
    # 100 audio + 60 cached is 40 above the 120 of the prompt: so much audio was cached.
    "chat, audio that must have been cached": (
        {
            "prompt_tokens": 120,
            "completion_tokens": 1,
            "prompt_tokens_details": {"audio_tokens": 100, "cached_tokens": 60},
        },
        {
            "input_tokens": 120,
            "input_audio_tokens": 100,
            "cached_input_tokens": 60,
            "cached_audio_tokens": 40,
            "output_tokens": 1,
        },
    ),
    "chat, images that must have been cached": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_tokens_details": {"image_tokens": 80, "cached_tokens": 50},
        },
        {
            "input_tokens": 100,
            "input_image_tokens": 80,
            "cached_input_tokens": 50,
            "cached_image_tokens": 30,
            "output_tokens": 1,
        },
    ),
    # 20 audio + 70 images + 50 cached is 40 above 100: all the audio, and 20 of the images.
    "chat, audio and images that must have been cached": (
        {
            "input_tokens": 100,
            "input_audio_tokens": 20,
            "input_image_tokens": 70,
            "cached_input_tokens": 50,
        },
        {
            "input_tokens": 100,
            "input_audio_tokens": 20,
            "input_image_tokens": 70,
            "cached_input_tokens": 50,
            "cached_audio_tokens": 20,
            "cached_image_tokens": 20,
        },
    ),
    "cached audio that was reported is not worked out": (
        {
            "input_tokens": 120,
            "input_audio_tokens": 100,
            "cached_input_tokens": 60,
            "cached_audio_tokens": 55,
        },
        {
            "input_tokens": 120,
            "input_audio_tokens": 100,
            "cached_input_tokens": 60,
            "cached_audio_tokens": 55,
        },
    ),
    "responses": (
        {
            "input_tokens": 75,
            "input_tokens_details": {"cached_tokens": 25, "cache_write_tokens": 0},
            "output_tokens": 1186,
            "output_tokens_details": {"reasoning_tokens": 1024},
            "total_tokens": 1261,
        },
        {
            "input_tokens": 75,
            "cached_input_tokens": 25,
            "output_tokens": 1186,
            "reasoning_tokens": 1024,
        },
    ),
    "images": (
        {
            "input_tokens": 50,
            "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
            "output_tokens": 1056,
            "output_tokens_details": {"image_tokens": 1000, "text_tokens": 56},
            "total_tokens": 1106,
        },
        {
            "input_tokens": 50,
            "input_image_tokens": 40,
            "output_tokens": 1056,
            "output_image_tokens": 1000,
        },
    ),
    "realtime": (
        {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
        {
            "input_tokens": 132,
            "input_audio_tokens": 13,
            "cached_input_tokens": 64,
            "output_tokens": 121,
            "output_audio_tokens": 91,
        },
    ),
    "embeddings": ({"prompt_tokens": 8, "total_tokens": 8}, {"input_tokens": 8}),
    "transcription by the token": (
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
            "output_tokens": 101,
            "total_tokens": 115,
        },
        {"input_tokens": 14, "input_audio_tokens": 14, "output_tokens": 101},
    ),
    "transcription by the second": ({"type": "duration", "seconds": 8.01}, {"audio_seconds": 9}),
    "transcription of whole seconds": ({"type": "duration", "seconds": 8}, {"audio_seconds": 8}),
    "speech": ({"characters": 1200}, {"characters": 1200}),
    "anthropic": (
        {"input_tokens": 2095, "output_tokens": 503},
        {"input_tokens": 2095, "output_tokens": 503},
    ),
    # 21 fresh + 188,086 read + 512 written = 188,619
    "anthropic, cached": (
        {
            "input_tokens": 21,
            "cache_read_input_tokens": 188_086,
            "cache_creation_input_tokens": 512,
            "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 56},
            "output_tokens": 393,
            "output_tokens_details": {"thinking_tokens": 100},
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
            "service_tier": "standard",
        },
        {
            "input_tokens": 188_619,
            "cached_input_tokens": 188_086,
            "cache_write_tokens": 512,
            "cache_write_1h_tokens": 56,
            "output_tokens": 393,
            "reasoning_tokens": 100,
            "web_searches": 2,
        },
    ),
    "anthropic, writes by lifetime alone": (
        {
            "input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 1,
        },
        {
            "input_tokens": 55,
            "cache_write_tokens": 50,
            "cache_write_1h_tokens": 20,
            "output_tokens": 1,
        },
    ),
    "anthropic, nulls": (
        {
            "input_tokens": 5,
            "cache_read_input_tokens": None,
            "cache_creation_input_tokens": None,
            "cache_creation": None,
            "server_tool_use": None,
            "output_tokens": 1,
        },
        {"input_tokens": 5, "output_tokens": 1},
    ),
    # Summarising the context is billed beside the rest: 10 + 1000 + 5 read, 20 + 200 written out.
    "anthropic, compaction": (
        {
            "iterations": [
                {
                    "type": "compaction",
                    "input_tokens": 1000,
                    "output_tokens": 200,
                    "cache_read_input_tokens": 5,
                    "cache_creation_input_tokens": 0,
                },
                {"type": "message", "input_tokens": 10, "output_tokens": 20},
            ],
            "input_tokens": 10,
            "output_tokens": 20,
        },
        {"input_tokens": 1015, "cached_input_tokens": 5, "output_tokens": 220},
    ),
    "bedrock": (
        {"inputTokens": 30, "outputTokens": 628, "totalTokens": 658},
        {"input_tokens": 30, "output_tokens": 628},
    ),
    # 18 fresh + 7502 written = 7520; the total, 7906, is that and 386 of output.
    "bedrock, written to the cache": (
        {
            "cacheDetails": [{"inputTokens": 7502, "ttl": "5m"}],
            "cacheReadInputTokenCount": 0,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokenCount": 7502,
            "cacheWriteInputTokens": 7502,
            "inputTokens": 18,
            "outputTokens": 386,
            "serverToolUsage": {},
            "totalTokens": 7906,
        },
        {"input_tokens": 7520, "cache_write_tokens": 7502, "output_tokens": 386},
    ),
    # 18 + 100 read + 50 + 20 written
    "bedrock, by lifetime": (
        {
            "cacheDetails": [
                {"inputTokens": 50, "ttl": "1h"},
                {"inputTokens": 20, "ttl": "5m"},
            ],
            "cacheReadInputTokens": 100,
            "cacheWriteInputTokens": 70,
            "inputTokens": 18,
            "outputTokens": 6,
        },
        {
            "input_tokens": 188,
            "cached_input_tokens": 100,
            "cache_write_tokens": 70,
            "cache_write_1h_tokens": 50,
            "output_tokens": 6,
        },
    ),
    "bedrock's invocation metrics": (
        {
            "inputTokenCount": 12,
            "outputTokenCount": 300,
            "invocationLatency": 6523,
            "firstByteLatency": 902,
            "cacheReadInputTokenCount": 1000,
            "cacheWriteInputTokenCount": 8,
        },
        {
            "input_tokens": 1020,
            "cached_input_tokens": 1000,
            "cache_write_tokens": 8,
            "output_tokens": 300,
        },
    ),
    # Thoughts are output beside the candidates: 198 + 405.
    "gemini": (
        {
            "promptTokenCount": 20,
            "candidatesTokenCount": 198,
            "thoughtsTokenCount": 405,
            "totalTokenCount": 623,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
        },
        {"input_tokens": 20, "output_tokens": 603, "reasoning_tokens": 405},
    ),
    "gemini, thoughts alone": (
        {"promptTokenCount": 21, "thoughtsTokenCount": 60, "totalTokenCount": 81},
        {"input_tokens": 21, "output_tokens": 60, "reasoning_tokens": 60},
    ),
    # Results of tools are input beside the prompt: 100 + 30; documents are images of pages.
    "gemini, all kinds": (
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "toolUsePromptTokenCount": 30,
            "candidatesTokenCount": 50,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 10},
                {"modality": "AUDIO", "tokenCount": 20},
                {"modality": "IMAGE", "tokenCount": 25},
                {"modality": "DOCUMENT", "tokenCount": 5},
                {"modality": "VIDEO", "tokenCount": 40},
            ],
            "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 15}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 44}],
        },
        {
            "input_tokens": 130,
            "cached_input_tokens": 40,
            "input_audio_tokens": 23,
            "cached_audio_tokens": 15,
            "input_image_tokens": 30,
            "input_video_tokens": 40,
            "output_tokens": 50,
            "output_image_tokens": 44,
        },
    ),
    "gemini in snake case": (
        {
            "prompt_token_count": 20,
            "candidates_token_count": 8,
            "thoughts_token_count": 5,
            "cached_content_token_count": 16,
            "tool_use_prompt_token_count": 2,
            "total_token_count": 35,
            "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 4}],
            "candidates_tokens_details": None,
        },
        {
            "input_tokens": 22,
            "cached_input_tokens": 16,
            "input_audio_tokens": 4,
            "output_tokens": 13,
            "reasoning_tokens": 5,
        },
    ),
    "gemini, kinds by number": (
        {
            "prompt_token_count": 20,
            "prompt_tokens_details": [{"modality": 4, "token_count": 4}],
        },
        {"input_tokens": 20, "input_audio_tokens": 4},
    ),
    "gemini live": (
        {"promptTokenCount": 10, "responseTokenCount": 7, "totalTokenCount": 17},
        {"input_tokens": 10, "output_tokens": 7},
    ),
    "litellm: the cache is within prompt_tokens": (
        {
            "prompt_tokens": 120,
            "completion_tokens": 5,
            "total_tokens": 125,
            "prompt_tokens_details": {
                "cached_tokens": 100,
                "cache_creation_tokens": 10,
                "cache_write_tokens": 10,
                "cache_creation_token_details": {
                    "ephemeral_5m_input_tokens": 4,
                    "ephemeral_1h_input_tokens": 6,
                },
            },
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 10,
        },
        {
            "input_tokens": 120,
            "cached_input_tokens": 100,
            "cache_write_tokens": 10,
            "cache_write_1h_tokens": 6,
            "output_tokens": 5,
        },
    ),
    "databricks: cache_read_input_tokens within prompt_tokens": (
        {"prompt_tokens": 120, "completion_tokens": 5, "cache_read_input_tokens": 100},
        {"input_tokens": 120, "cached_input_tokens": 100, "output_tokens": 5},
    ),
    "details with Anthropic's names are parts": (
        {"input_tokens": 120, "input_tokens_details": {"cache_read_input_tokens": 100}},
        {"input_tokens": 120, "cached_input_tokens": 100},
    ),
    "a gateway that says it twice": (
        {
            "input_tokens": 120,
            "input_tokens_details": {"cached_tokens": 100},
            "cache_read_input_tokens": 100,
        },
        {"input_tokens": 120, "cached_input_tokens": 100},
    ),
    "a gateway that fills the other names with zeros": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "input_tokens": 0,
            "output_tokens": 0,
            "input_tokens_details": None,
        },
        {"input_tokens": 10, "output_tokens": 5},
    ),
    "langchain": (
        {
            "input_tokens": 350,
            "output_tokens": 240,
            "total_tokens": 590,
            "input_token_details": {"audio": 10, "cache_creation": 200, "cache_read": 100},
            "output_token_details": {"audio": 10, "reasoning": 200},
        },
        {
            "input_tokens": 350,
            "input_audio_tokens": 10,
            "cached_input_tokens": 100,
            "cache_write_tokens": 200,
            "output_tokens": 240,
            "output_audio_tokens": 10,
            "reasoning_tokens": 200,
        },
    ),
    "our own": (
        {"input_tokens": 2000, "cached_input_tokens": 1920, "output_tokens": 300},
        {"input_tokens": 2000, "cached_input_tokens": 1920, "output_tokens": 300},
    ),
    "our own, written by lifetime": (
        {"input_tokens": 100, "cache_write_5m_tokens": 30, "cache_write_1h_tokens": 20},
        {"input_tokens": 100, "cache_write_tokens": 50, "cache_write_1h_tokens": 20},
    ),
    "our own, written and its hour": (
        {"input_tokens": 100, "cache_write_tokens": 50, "cache_write_1h_tokens": 20},
        {"input_tokens": 100, "cache_write_tokens": 50, "cache_write_1h_tokens": 20},
    ),
    "by hand": (
        {
            "input_tokens": 100,
            "cached_tokens": 40,
            "output_tokens": 30,
            "thinking_tokens": 20,
            "audio_input_tokens": 10,
            "audio_output_tokens": 5,
        },
        {
            "input_tokens": 100,
            "cached_input_tokens": 40,
            "output_tokens": 30,
            "reasoning_tokens": 20,
            "input_audio_tokens": 10,
            "output_audio_tokens": 5,
        },
    ),
    "the AI SDK": (
        {"inputTokens": 100, "outputTokens": 9, "cachedInputTokens": 40, "reasoningTokens": 4},
        {
            "input_tokens": 100,
            "cached_input_tokens": 40,
            "output_tokens": 9,
            "reasoning_tokens": 4,
        },
    ),
    # What Cohere bills, not what it counted; its numbers come as floats.
    "cohere": (
        {
            "billed_units": {"input_tokens": 57.0, "output_tokens": 63.0},
            "tokens": {"input_tokens": 123.0, "output_tokens": 65.0},
            "cached_tokens": 16.0,
        },
        {"input_tokens": 57, "cached_input_tokens": 16, "output_tokens": 63},
    ),
    "cohere, more cached than billed": (
        {
            "billed_units": {"input_tokens": 57, "output_tokens": 63},
            "tokens": {"input_tokens": 123, "output_tokens": 65},
            "cached_tokens": 112,
        },
        {"input_tokens": 57, "cached_input_tokens": 57, "output_tokens": 63},
    ),
    "cohere's rerank": ({"billed_units": {"search_units": 3}}, {"requests": 3}),
    # Perplexity's reasoning and citations are output beside the completion: 3256+73248+7299.
    "perplexity": (
        {
            "prompt_tokens": 108,
            "completion_tokens": 3256,
            "total_tokens": 3364,
            "citation_tokens": 7299,
            "num_search_queries": 74,
            "reasoning_tokens": 73_248,
        },
        {
            "input_tokens": 108,
            "output_tokens": 83_803,
            "reasoning_tokens": 73_248,
            "citation_tokens": 7299,
            "web_searches": 74,
        },
    ),
    "deepseek": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "total_tokens": 1200,
            "prompt_cache_hit_tokens": 960,
            "prompt_cache_miss_tokens": 40,
            "completion_tokens_details": {"reasoning_tokens": 150},
        },
        {
            "input_tokens": 1000,
            "cached_input_tokens": 960,
            "output_tokens": 200,
            "reasoning_tokens": 150,
        },
    ),
    "deepseek, halves alone": (
        {
            "prompt_cache_hit_tokens": 960,
            "prompt_cache_miss_tokens": 40,
            "completion_tokens": 2,
        },
        {"input_tokens": 1000, "cached_input_tokens": 960, "output_tokens": 2},
    ),
    "groq": (
        {
            "queue_time": 0.037,
            "prompt_tokens": 18,
            "prompt_time": 0.000680594,
            "completion_tokens": 556,
            "completion_time": 0.463,
            "total_tokens": 574,
            "total_time": 0.464,
        },
        {"input_tokens": 18, "output_tokens": 556},
    ),
    # 10120 + 1499 + 2809 = 14428: the total tells that reasoning is beside the completion.
    "xai": (
        {
            "prompt_tokens": 10_120,
            "completion_tokens": 1499,
            "total_tokens": 14_428,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2809},
            "num_sources_used": 0,
        },
        {
            "input_tokens": 10_120,
            "cached_input_tokens": 128,
            "output_tokens": 4308,
            "reasoning_tokens": 2809,
        },
    ),
    "xai's responses": (
        {
            "input_tokens": 32,
            "output_tokens": 103,
            "total_tokens": 135,
            "output_tokens_details": {"reasoning_tokens": 94},
        },
        {"input_tokens": 32, "output_tokens": 103, "reasoning_tokens": 94},
    ),
    "mistral aloud": (
        {
            "prompt_audio_seconds": 203,
            "prompt_tokens": 4,
            "total_tokens": 3264,
            "completion_tokens": 635,
        },
        {"input_tokens": 4, "output_tokens": 635, "audio_seconds": 203},
    ),
    "mistral's pages": ({"pages_processed": 29, "doc_size_bytes": 3_002_783}, {"pages": 29}),
    "llama on bedrock": (
        {"prompt_token_count": 20, "generation_token_count": 30},
        {"input_tokens": 20, "output_tokens": 30},
    ),
    "whole floats": (
        {"prompt_tokens": 12.0, "completion_tokens": 3.0},
        {"input_tokens": 12, "output_tokens": 3},
    ),
    "None is absent": (
        {"prompt_tokens": 12, "completion_tokens": None},
        {"input_tokens": 12},
    ),
    "unknown names are passed over": (
        {"prompt_tokens": 12, "cost": 0.5, "provider_extras": {"x": [1]}},
        {"input_tokens": 12},
    ),
    "real zeros are counts": ({"prompt_tokens": 0, "completion_tokens": 0}, {}),
}


@pytest.mark.parametrize(("counts", "expected"), CASES.values(), ids=CASES)
def test_usage_is_what_was_worked_out_by_hand(
    counts: dict[str, Any], expected: dict[str, int]
) -> None:
    assert usage_from(counts).counts() == expected


@pytest.mark.parametrize(("counts", "expected"), CASES.values(), ids=CASES)
def test_what_was_read_reads_the_same_again(
    counts: dict[str, Any], expected: dict[str, int]
) -> None:
    usage = usage_from(counts)

    assert usage_from(usage) is usage
    if expected:
        assert usage_from(usage.counts()) == usage


@pytest.mark.parametrize("provider", ["google", "gemini", "vertex_ai", "Google"])
def test_google_bills_thoughts_that_its_chat_endpoint_counts_in_the_total_alone(
    provider: str,
) -> None:
    counts = {"prompt_tokens": 8, "completion_tokens": 10, "total_tokens": 168}

    usage = usage_from(counts, provider=provider)

    assert usage.counts() == {"input_tokens": 8, "output_tokens": 160, "reasoning_tokens": 150}
    assert usage_from(counts).output_tokens == 10


def test_without_a_total_xai_has_its_reasoning_beside_the_completion() -> None:
    counts = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 5},
    }

    assert usage_from(counts, provider="x-ai").output_tokens == 14
    assert usage_from(counts).output_tokens == 9
    assert usage_from(counts | {"total_tokens": 41}, provider="x-ai").output_tokens == 9


def test_perplexity_has_its_reasoning_beside_the_completion_without_citations_too() -> None:
    counts = {"prompt_tokens": 10, "completion_tokens": 20, "reasoning_tokens": 5}

    assert usage_from(counts, provider="perplexity").output_tokens == 25
    assert usage_from(counts).output_tokens == 20


def test_strict_takes_every_known_name() -> None:
    loose = {"unknown names are passed over", "groq", "bedrock's invocation metrics"}
    loose.add("bedrock, written to the cache")

    for name, (counts, expected) in CASES.items():
        if name not in loose:
            assert usage_from(counts, strict=True).counts() == expected
