"""One count under all the names it goes by."""

from __future__ import annotations

from typing import Any

import pytest

from spendfuse.metering.responses import usage_from

WHOLE = {"input_tokens": 100, "output_tokens": 90}
NAMES_OF_PARTS = {
    "cached_input_tokens": """
        cached_input_tokens cached_tokens cached_prompt_text_tokens cache_read_tokens
        cachedInputTokens cachedContentTokenCount cached_content_token_count
        input_tokens_details.cached_tokens input_token_details.cache_read
        prompt_tokens_details.cache_read_input_tokens
    """,
    "cache_write_tokens": """
        cache_write_tokens cache_creation_tokens cache_write_5m_tokens
        prompt_tokens_details.cache_write_tokens input_token_details.cache_creation
        prompt_tokens_details.cache_creation_tokens
        prompt_tokens_details.cache_creation_input_tokens
        prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens
    """,
    "input_audio_tokens": """
        input_audio_tokens audio_input_tokens input_token_details.audio
        prompt_tokens_details.audio_tokens
    """,
    "input_image_tokens": """
        input_image_tokens image_input_tokens prompt_tokens_details.image_tokens
    """,
    "input_video_tokens": """
        input_video_tokens video_input_tokens prompt_tokens_details.video_tokens
    """,
    "output_audio_tokens": """
        output_audio_tokens audio_output_tokens output_token_details.audio
        completion_tokens_details.audio_tokens
    """,
    "output_image_tokens": """
        output_image_tokens image_output_tokens output_tokens_details.image_tokens
    """,
    "output_video_tokens": """
        output_video_tokens video_output_tokens completion_tokens_details.video_tokens
    """,
    "reasoning_tokens": """
        reasoning_tokens thinking_tokens output_reasoning_tokens reasoningTokens
        output_tokens_details.reasoning_tokens output_token_details.reasoning
        output_tokens_details.thinking_tokens
    """,
    "citation_tokens": "citation_tokens output_citation_tokens",
    "characters": """
        characters input_characters character_count prompt_tokens_details.character_count
    """,
    "audio_seconds": """
        audio_seconds seconds prompt_audio_seconds billable_audio_seconds
        prompt_tokens_details.audio_length_seconds
    """,
    "pages": "pages pages_processed input_document_pages",
    "annotated_pages": "annotated_pages input_annotated_document_pages",
    "web_searches": """
        web_searches num_search_queries server_tool_use.web_search_requests
        prompt_tokens_details.web_search_requests tool_calls_details.search_web.invocation
        server_side_tool_usage_details.web_search_calls
    """,
    "file_searches": """
        file_searches storage_searches server_side_tool_usage_details.file_search_calls
    """,
    "requests": "requests billed_units.search_units",
}
NAMES_OF_WHOLES = {
    "input_tokens": """
        input_tokens prompt_tokens promptTokens inputTokens inputTokenCount input_token_count
        inputTextTokenCount promptTokenCount prompt_token_count toolUsePromptTokenCount
        tool_use_prompt_token_count billed_units.input_tokens tokens.input_tokens
        prompt_cache_miss_tokens
    """,
    "output_tokens": """
        output_tokens completion_tokens completionTokens outputTokens outputTokenCount
        output_token_count totalOutputTextTokenCount generation_token_count candidatesTokenCount
        candidates_token_count responseTokenCount response_token_count thoughtsTokenCount
        thoughts_token_count billed_units.output_tokens tokens.output_tokens tokenCount
    """,
}
BESIDE = {
    "cached_input_tokens": """
        cache_read_input_tokens cacheReadInputTokens cacheReadInputTokenCount
        cache_read_input_token_count
    """,
    "cache_write_tokens": """
        cache_creation_input_tokens cacheWriteInputTokens cacheWriteInputTokenCount
        cache_write_input_tokens cache_write_input_token_count
        cache_creation.ephemeral_5m_input_tokens
    """,
}


def under(path: str, count: Any) -> dict[str, Any]:
    """Return the mapping that has a count at a path."""
    name, _, rest = path.partition(".")
    return {name: under(rest, count) if rest else count}


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(path, field) for field, paths in table.items() for path in paths.split()]


@pytest.mark.parametrize(("path", "field"), pairs(NAMES_OF_PARTS))
def test_a_part_is_read_under_each_of_its_names(path: str, field: str) -> None:
    assert usage_from(WHOLE | under(path, 7)).counts() == WHOLE | {field: 7}


@pytest.mark.parametrize(("path", "field"), pairs(NAMES_OF_WHOLES))
def test_a_whole_is_read_under_each_of_its_names(path: str, field: str) -> None:
    assert getattr(usage_from(under(path, 7)), field) == 7


@pytest.mark.parametrize(("path", "field"), pairs(BESIDE))
def test_what_stands_beside_the_input_is_added_to_it(path: str, field: str) -> None:
    assert usage_from(WHOLE | under(path, 7)).counts() == {
        "input_tokens": 107,
        "output_tokens": 90,
        field: 7,
    }


@pytest.mark.parametrize(
    "name", ["total_tokens", "totalTokens", "totalTokenCount", "total_token_count"]
)
def test_any_total_tells_of_reasoning_apart(name: str) -> None:
    counts = WHOLE | {"reasoning_tokens": 7, name: 197}

    assert usage_from(counts).output_tokens == 97


@pytest.mark.parametrize("name", ["cached_tokens_details", "input_token_details"])
def test_the_kinds_of_what_was_cached_are_read(name: str) -> None:
    kinds: dict[str, Any] = {"audio_tokens": 3, "image_tokens": 4, "text_tokens": 2}
    if name == "input_token_details":
        kinds = {"cached_tokens_details": kinds}
    media = {"input_audio_tokens": 30, "input_image_tokens": 40, "cached_input_tokens": 9}

    assert usage_from(WHOLE | media | {name: kinds}).counts() == WHOLE | media | {
        "cached_audio_tokens": 3,
        "cached_image_tokens": 4,
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("cached_audio_tokens", "cached_audio_tokens"),
        ("cache_audio_read_tokens", "cached_audio_tokens"),
        ("cached_image_tokens", "cached_image_tokens"),
        ("cache_image_read_tokens", "cached_image_tokens"),
        ("cached_tokens_details.cached_image_tokens", "cached_image_tokens"),
    ],
)
def test_media_that_was_cached_is_read_under_each_of_its_names(path: str, field: str) -> None:
    media = {"input_audio_tokens": 30, "input_image_tokens": 40, "cached_input_tokens": 9}

    assert usage_from(WHOLE | media | under(path, 7)).counts() == WHOLE | media | {field: 7}


def test_bedrocks_cache_writes_are_read_by_their_lifetimes_alone() -> None:
    lifetimes = [{"ttl": "5m", "inputTokens": 7}, {"ttl": "1h", "inputTokens": 2}]

    assert usage_from({"inputTokens": 1, "cacheDetails": lifetimes}).counts() == {
        "input_tokens": 10,
        "cache_write_tokens": 9,
        "cache_write_1h_tokens": 2,
    }


@pytest.mark.parametrize("by_number", [False, True])
@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (
            """promptTokensDetails prompt_tokens_details toolUsePromptTokensDetails
            tool_use_prompt_tokens_details""",
            {"input_image_tokens": 17, "input_video_tokens": 4, "input_audio_tokens": 8},
        ),
        (
            """candidatesTokensDetails candidates_tokens_details responseTokensDetails
            response_tokens_details""",
            {"output_image_tokens": 17, "output_video_tokens": 4, "output_audio_tokens": 8},
        ),
        (
            "cacheTokensDetails cache_tokens_details",
            {"cached_image_tokens": 17, "cached_audio_tokens": 8},
        ),
    ],
)
def test_geminis_kinds_are_read(names: str, parts: dict[str, int], by_number: bool) -> None:
    counts = {"TEXT": 1, "IMAGE": 2, "VIDEO": 4, "AUDIO": 8, "DOCUMENT": 15}
    kinds = [
        {"modality": number if by_number else name, "tokenCount": count}
        for number, (name, count) in enumerate(counts.items(), start=1)
    ]
    whole = {"input_tokens": 100, "output_tokens": 90}
    if "cached_image_tokens" in parts:
        whole |= {"cached_input_tokens": 50, "input_image_tokens": 20, "input_audio_tokens": 20}

    for name in names.split():
        assert usage_from(whole | {name: kinds}).counts() == whole | parts


def test_what_compaction_wrote_to_the_cache_is_added() -> None:
    each = {"type": "compaction", "input_tokens": 1, "cache_creation_input_tokens": 7}
    for_an_hour = each | {"cache_creation": {"ephemeral_1h_input_tokens": 7}}

    usage = usage_from(WHOLE | {"iterations": [each, for_an_hour, each]})

    assert usage.counts() == {
        "input_tokens": 124,
        "output_tokens": 90,
        "cache_write_tokens": 21,
        "cache_write_1h_tokens": 7,
    }
