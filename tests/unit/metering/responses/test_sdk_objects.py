"""The same counts in SDKs' own objects: the real ones of openai and anthropic, and other kinds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from anthropic.types import Message
from anthropic.types import Usage as AnthropicUsage
from anthropic.types.beta import BetaUsage
from openai.types import CompletionUsage, CreateEmbeddingResponse, ImagesResponse
from openai.types.audio import Transcription
from openai.types.chat import ChatCompletion
from openai.types.responses import Response as OpenAIResponse
from pydantic import BaseModel, PrivateAttr

from spendfuse.metering.responses import Response, read_response, usage_from
from spendfuse.metering.usage import Usage, UsageError

CHAT_COUNTS = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
}
CHAT_USAGE = Usage(input_tokens=120, cached_input_tokens=64, output_tokens=30, reasoning_tokens=20)


def a_chat(**fields: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": CHAT_COUNTS,
        **fields,
    }


def test_openais_usage_is_read() -> None:
    assert usage_from(CompletionUsage.model_validate(CHAT_COUNTS)) == CHAT_USAGE
    assert usage_from(CompletionUsage.construct(**CHAT_COUNTS)) == CHAT_USAGE


def test_openais_chat_is_read() -> None:
    response = ChatCompletion.model_validate(a_chat(service_tier="flex"))

    assert read_response(response) == Response("openai", "gpt-4o-2024-08-06", CHAT_USAGE, "flex")


def test_what_the_model_does_not_declare_is_read() -> None:
    response = ChatCompletion.model_validate(
        a_chat(
            model="deepseek-chat",
            usage={
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "total_tokens": 10,
                "prompt_cache_hit_tokens": 4,
            },
        )
    )

    expected = Usage(input_tokens=9, cached_input_tokens=4, output_tokens=1)

    assert read_response(response) == Response("deepseek", "deepseek-chat", expected)


def test_openais_responses_are_read() -> None:
    response = OpenAIResponse.construct(
        object="response",
        model="gpt-5",
        output=[{"type": "web_search_call", "id": "w", "status": "completed"}],
        service_tier="default",
        usage={
            "input_tokens": 75,
            "input_tokens_details": {"cached_tokens": 25, "cache_write_tokens": 10},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 8},
            "total_tokens": 95,
        },
    )
    expected = Usage(
        input_tokens=75,
        cached_input_tokens=25,
        cache_write_tokens=10,
        output_tokens=20,
        reasoning_tokens=8,
        web_searches=1,
    )

    assert read_response(response) == Response("openai", "gpt-5", expected)


def test_openais_embeddings_images_and_transcriptions_are_read() -> None:
    embedding = CreateEmbeddingResponse.model_validate(
        {
            "object": "list",
            "data": [],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    )
    image = ImagesResponse.model_validate(
        {
            "created": 1,
            "data": [{"b64_json": "…"}],
            "usage": {
                "input_tokens": 50,
                "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
                "output_tokens": 1056,
                "total_tokens": 1106,
            },
        }
    )
    speech = Transcription.model_validate(
        {"text": "…", "usage": {"type": "duration", "seconds": 8.5}}
    )

    assert read_response(embedding).usage == Usage(input_tokens=8)
    assert read_response(image).usage == Usage(
        input_tokens=50, input_image_tokens=40, output_tokens=1056, output_image_tokens=1056
    )
    assert read_response(speech).usage == Usage(audio_seconds=9)


ANTHROPIC_COUNTS = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
    "output_tokens": 393,
    "output_tokens_details": {"thinking_tokens": 90},
    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0},
    "service_tier": "batch",
}
ANTHROPIC_USAGE = Usage(
    input_tokens=2121,
    cached_input_tokens=2000,
    cache_write_tokens=100,
    cache_write_1h_tokens=60,
    output_tokens=393,
    reasoning_tokens=90,
    web_searches=3,
)


def test_anthropics_message_is_read() -> None:
    message = Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": ANTHROPIC_COUNTS,
        }
    )

    assert read_response(message) == Response(
        "anthropic", "claude-sonnet-4-5", ANTHROPIC_USAGE, batch=True
    )


def test_anthropics_usage_is_read() -> None:
    counts = ANTHROPIC_COUNTS | {
        "iterations": [
            {
                "type": "compaction",
                "input_tokens": 10,
                "output_tokens": 7,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
            }
        ]
    }
    expected = ANTHROPIC_USAGE._replace(input_tokens=2131, output_tokens=400)

    assert usage_from(AnthropicUsage.model_validate(ANTHROPIC_COUNTS)) == ANTHROPIC_USAGE
    assert usage_from(BetaUsage.model_validate(counts)) == expected


class Modality(StrEnum):
    AUDIO = "AUDIO"


class ProtoModality(IntEnum):
    AUDIO = 4


class ModalityCount(BaseModel):
    modality: Modality | ProtoModality
    token_count: int


class UsageMetadata(BaseModel):
    """As google-genai has it."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    traffic_type: Enum | None = None


class GenerateContentResponse(BaseModel):
    model_version: str
    usage_metadata: UsageMetadata | None


@pytest.mark.parametrize("modality", [Modality.AUDIO, ProtoModality.AUDIO])
def test_geminis_objects_are_read(modality: Any) -> None:
    metadata = UsageMetadata(
        prompt_token_count=9,
        candidates_token_count=5,
        thoughts_token_count=4,
        prompt_tokens_details=[ModalityCount(modality=modality, token_count=6)],
    )
    response = GenerateContentResponse(model_version="gemini-2.5-pro", usage_metadata=metadata)
    expected = Usage(input_tokens=9, input_audio_tokens=6, output_tokens=9, reasoning_tokens=4)

    assert read_response(response) == Response("google", "gemini-2.5-pro", expected)


class LiteLLMResponse(BaseModel):
    """As litellm has it: the provider stands in a private attribute."""

    model: str
    usage: dict[str, Any]
    _hidden_params: dict[str, Any] = PrivateAttr(default_factory=dict)


def test_litellms_provider_is_read_where_it_hides() -> None:
    response = LiteLLMResponse(model="our-model", usage=CHAT_COUNTS)
    response._hidden_params["custom_llm_provider"] = "vertex_ai"

    assert read_response(response) == Response("google", "our-model", CHAT_USAGE)


@dataclass(frozen=True)
class Plain:
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Slotted:
    input_tokens: int
    output_tokens: int


class Named(NamedTuple):
    input_tokens: int
    output_tokens: int


class PrivateFirst:
    def __init__(self) -> None:
        self._client = object()
        self.input_tokens = 3
        self.output_tokens = 2


class ByProperty:
    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = (3, 2)

    @property
    def input_tokens(self) -> int:
        return self._counts[0]

    @property
    def output_tokens(self) -> int:
        return self._counts[1]


class ProtoMeta(type):
    """As proto-plus has it: the conversion stands on the metaclass."""

    def to_dict(cls, instance: Any) -> dict[str, int]:
        return dict(instance._pb)


class Proto(metaclass=ProtoMeta):
    def __init__(self) -> None:
        self._pb = {"input_tokens": 3, "output_tokens": 2}


@pytest.mark.parametrize(
    "counts",
    [Plain(3, 2), Slotted(3, 2), Named(3, 2), PrivateFirst(), ByProperty(), Proto()],
    ids=lambda counts: type(counts).__name__,
)
def test_any_kind_of_object_is_read(counts: object) -> None:
    assert usage_from(counts) == Usage(input_tokens=3, output_tokens=2)
    assert read_response({"usage": counts}).usage == Usage(input_tokens=3, output_tokens=2)


def test_mappings_and_tuples_inside_are_read() -> None:
    class Details(NamedTuple):
        cached_tokens: int

    counts = MappingProxyType({"prompt_tokens": 9, "prompt_tokens_details": Details(4)})

    assert usage_from(counts) == Usage(input_tokens=9, cached_input_tokens=4)


def test_any_kind_of_whole_number_is_a_count() -> None:
    class Int64:
        """As numpy has it."""

        def __index__(self) -> int:
            return 9

    assert usage_from({"prompt_tokens": Int64()}) == Usage(input_tokens=9)
    assert usage_from({"prompt_tokens": ProtoModality.AUDIO}) == Usage(input_tokens=4)


@pytest.mark.parametrize("value", [object(), int, len, sys, print, Exception("x"), 3.5, b"x"])
def test_an_object_without_counts_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        usage_from(value)
