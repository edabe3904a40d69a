"""What providers and SDKs call the counts: one table from their names to ours.

A name leads to a *slot*: a field of ``Usage``, or one of the slots below, which ``conventions``
settles. A name with counts inside leads to a ``Group``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from spendfuse.metering.usage import FIELDS

TOTAL = "total"
"""Input and output together: says nothing alone, but tells what is counted apart."""
BESIDE_CACHED = "beside_cached"
BESIDE_WRITTEN = "beside_written"
BESIDE_WRITTEN_5M = "beside_written_5m"
BESIDE_WRITTEN_1H = "beside_written_1h"
"""Cache counts under Anthropic's and Bedrock's names: beside ``input_tokens``, not in it."""
WRITTEN_5M = "written_5m"
HIT = "hit"
MISS = "miss"
"""DeepSeek's two halves of the prompt."""
THOUGHTS = "thoughts"
"""Reasoning that is never in the output (Gemini)."""
LOOSE_REASONING = "loose_reasoning"
"""Reasoning reported outside any details: Perplexity's is not in the output."""
TOOL_INPUT = "tool_input"
"""Input that is never in the prompt (Gemini's tool results)."""
BILLED_INPUT = "billed_input"
BILLED_OUTPUT = "billed_output"
"""Cohere's, which it bills instead of what it counted."""
SEARCH_UNITS = "search_units"
KNOWN = ""
"""A name that is known and says nothing to us."""

PROMPT_NAMES = frozenset(
    ("prompt_tokens", "promptTokens", "promptTokenCount", "prompt_token_count")
)
"""Names of an input that contains what was cached, whatever stands beside it."""
CHAT_OUTPUT_NAMES = frozenset(("completion_tokens", "completionTokens"))


class Group(NamedTuple):
    """Counts inside a count: by name where it is an object, by label where it is a list.

    The items of a list add up. A label may lead to a table too: then the item's own counts do.
    """

    names: Mapping[str, Entry]
    labels: Mapping[str, Entry] = {}


Entry = str | Group
Names = Mapping[str, Entry]


def _known(*names: str) -> Names:
    return dict.fromkeys(names, KNOWN)


def _modalities(audio: str, image: str, video: str) -> dict[str, Entry]:
    # Google's messages give an enum's number where they are asked for a dict. A document is
    # read as images of its pages, and priced so.
    by_name: dict[str, Entry] = {
        "TEXT": KNOWN,
        "IMAGE": image,
        "VIDEO": video,
        "AUDIO": audio,
        "DOCUMENT": image,
    }
    return by_name | {str(number): slot for number, slot in enumerate(by_name.values(), start=1)}


_CACHE_CREATION = Group(
    {
        "ephemeral_5m_input_tokens": BESIDE_WRITTEN_5M,
        "ephemeral_1h_input_tokens": BESIDE_WRITTEN_1H,
    }
)
_ANTHROPIC: dict[str, Entry] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": BESIDE_CACHED,
    "cache_creation_input_tokens": BESIDE_WRITTEN,
    "cache_creation": _CACHE_CREATION,
}
_SEARCHES: dict[str, Entry] = {
    "web_search_requests": "web_searches",
    "web_search_calls": "web_searches",
    "file_search_calls": "file_searches",
    **_known(
        "web_fetch_requests",
        "tool_search_requests",
        "browser_open_requests",
        "x_search_calls",
        "code_interpreter_calls",
        "mcp_calls",
        "document_search_calls",
    ),
}
_CACHED_BY_KIND = Group(
    {
        "audio_tokens": "cached_audio_tokens",
        "image_tokens": "cached_image_tokens",
        "cached_image_tokens": "cached_image_tokens",
        **_known("text_tokens", "cached_text_tokens"),
    }
)
_INPUT_DETAILS = Group(
    {
        "cached_tokens": "cached_input_tokens",
        "cache_read": "cached_input_tokens",
        "cache_read_input_tokens": "cached_input_tokens",
        "cache_write_tokens": "cache_write_tokens",
        "cache_creation": "cache_write_tokens",
        "cache_creation_tokens": "cache_write_tokens",
        "cache_creation_input_tokens": "cache_write_tokens",
        "cache_creation_token_details": Group(
            {
                "ephemeral_5m_input_tokens": WRITTEN_5M,
                "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
            }
        ),
        "cached_tokens_details": _CACHED_BY_KIND,
        "audio_tokens": "input_audio_tokens",
        "audio": "input_audio_tokens",
        "image_tokens": "input_image_tokens",
        "video_tokens": "input_video_tokens",
        "character_count": "characters",
        "audio_length_seconds": "audio_seconds",
        "web_search_requests": "web_searches",
        **_known("text_tokens", "text", "tool_use_tokens", "cache_write_tokens_details"),
    },
    _modalities("input_audio_tokens", "input_image_tokens", "input_video_tokens"),
)
_OUTPUT_DETAILS = Group(
    {
        "reasoning_tokens": "reasoning_tokens",
        "reasoning": "reasoning_tokens",
        "thinking_tokens": "reasoning_tokens",
        "audio_tokens": "output_audio_tokens",
        "audio": "output_audio_tokens",
        "image_tokens": "output_image_tokens",
        "video_tokens": "output_video_tokens",
        # Both are in the output already.
        **_known("accepted_prediction_tokens", "rejected_prediction_tokens", "text_tokens"),
    },
    _modalities("output_audio_tokens", "output_image_tokens", "output_video_tokens"),
)
_CACHE_DETAILS = Group({}, _modalities("cached_audio_tokens", "cached_image_tokens", KNOWN))

NAMES: Names = {
    **{name: name for name in FIELDS},
    # Chat completions, and what follows them
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": TOTAL,
    "prompt_tokens_details": _INPUT_DETAILS,
    "completion_tokens_details": _OUTPUT_DETAILS,
    "input_tokens_details": _INPUT_DETAILS,
    "input_token_details": _INPUT_DETAILS,
    "output_tokens_details": _OUTPUT_DETAILS,
    "output_token_details": _OUTPUT_DETAILS,
    "cached_tokens": "cached_input_tokens",
    "cached_tokens_details": _CACHED_BY_KIND,
    "cached_prompt_text_tokens": "cached_input_tokens",
    "reasoning_tokens": LOOSE_REASONING,
    "thinking_tokens": "reasoning_tokens",
    "prompt_cache_hit_tokens": HIT,
    "prompt_cache_miss_tokens": MISS,
    "num_search_queries": "web_searches",
    "tool_calls_details": Group({"search_web": Group({"invocation": "web_searches"})}),
    "server_side_tool_usage_details": Group(_SEARCHES),
    # genai-prices, pydantic-ai, the AI SDK and names that people write by hand
    "cache_read_tokens": "cached_input_tokens",
    "cache_creation_tokens": "cache_write_tokens",
    "cache_write_5m_tokens": WRITTEN_5M,
    "cache_audio_read_tokens": "cached_audio_tokens",
    "cache_image_read_tokens": "cached_image_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
    "output_citation_tokens": "citation_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "audio_output_tokens": "output_audio_tokens",
    "image_input_tokens": "input_image_tokens",
    "image_output_tokens": "output_image_tokens",
    "video_input_tokens": "input_video_tokens",
    "video_output_tokens": "output_video_tokens",
    "storage_searches": "file_searches",
    "promptTokens": "input_tokens",
    "completionTokens": "output_tokens",
    "cachedInputTokens": "cached_input_tokens",
    "reasoningTokens": "reasoning_tokens",
    # Speech, transcription, documents
    "input_characters": "characters",
    "character_count": "characters",
    "seconds": "audio_seconds",
    "prompt_audio_seconds": "audio_seconds",
    "billable_audio_seconds": "audio_seconds",
    "pages_processed": "pages",
    "input_document_pages": "pages",
    "input_annotated_document_pages": "annotated_pages",
    # Anthropic
    **_ANTHROPIC,
    "server_tool_use": Group(_SEARCHES),
    # What summarising the context cost stands in no other count.
    "iterations": Group({}, {"compaction": Group(_ANTHROPIC)}),
    # Bedrock: Converse, InvokeModel, invocation metrics
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "totalTokens": TOTAL,
    "cacheReadInputTokens": BESIDE_CACHED,
    "cacheWriteInputTokens": BESIDE_WRITTEN,
    "cacheReadInputTokenCount": BESIDE_CACHED,
    "cacheWriteInputTokenCount": BESIDE_WRITTEN,
    "cache_write_input_tokens": BESIDE_WRITTEN,
    "cache_read_input_token_count": BESIDE_CACHED,
    "cache_write_input_token_count": BESIDE_WRITTEN,
    "cacheDetails": Group({}, {"5m": BESIDE_WRITTEN_5M, "1h": BESIDE_WRITTEN_1H}),
    "inputTokenCount": "input_tokens",
    "outputTokenCount": "output_tokens",
    "input_token_count": "input_tokens",
    "output_token_count": "output_tokens",
    "inputTextTokenCount": "input_tokens",
    "totalOutputTextTokenCount": "output_tokens",
    "tokenCount": "output_tokens",
    "generation_token_count": "output_tokens",
    # Gemini
    "promptTokenCount": "input_tokens",
    "prompt_token_count": "input_tokens",
    "candidatesTokenCount": "output_tokens",
    "candidates_token_count": "output_tokens",
    "responseTokenCount": "output_tokens",
    "response_token_count": "output_tokens",
    "thoughtsTokenCount": THOUGHTS,
    "thoughts_token_count": THOUGHTS,
    "toolUsePromptTokenCount": TOOL_INPUT,
    "tool_use_prompt_token_count": TOOL_INPUT,
    "cachedContentTokenCount": "cached_input_tokens",
    "cached_content_token_count": "cached_input_tokens",
    "totalTokenCount": TOTAL,
    "total_token_count": TOTAL,
    "promptTokensDetails": _INPUT_DETAILS,
    "toolUsePromptTokensDetails": _INPUT_DETAILS,
    "tool_use_prompt_tokens_details": _INPUT_DETAILS,
    "candidatesTokensDetails": _OUTPUT_DETAILS,
    "candidates_tokens_details": _OUTPUT_DETAILS,
    "responseTokensDetails": _OUTPUT_DETAILS,
    "response_tokens_details": _OUTPUT_DETAILS,
    "cacheTokensDetails": _CACHE_DETAILS,
    "cache_tokens_details": _CACHE_DETAILS,
    # Cohere
    "billed_units": Group(
        {
            "input_tokens": BILLED_INPUT,
            "output_tokens": BILLED_OUTPUT,
            "search_units": SEARCH_UNITS,
            **_known("classifications", "images", "image_tokens"),
        }
    ),
    "tokens": Group({"input_tokens": "input_tokens", "output_tokens": "output_tokens"}),
    # Known, and no count of ours
    **_known(
        "type",
        "service_tier",
        "speed",
        "inference_geo",
        "trafficType",
        "traffic_type",
        "num_sources_used",
        "search_context_size",
        "doc_size_bytes",
        "input_text_tokens",
        "output_text_tokens",
    ),
}
"""Where two names of one slot are given, the larger count holds: gateways fill one with 0."""
