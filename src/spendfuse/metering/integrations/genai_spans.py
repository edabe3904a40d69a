"""What a finished span says about an LLM call, whoever instrumented it.

Four vocabularies are read: OpenTelemetry's ``gen_ai.*`` with its older names, OpenLLMetry's
``llm.usage.*``, OpenInference's ``llm.token_count.*`` and Vercel's ``ai.usage.*``.

By the convention input contains what was cached. Some instrumentations put it beside the input,
as Anthropic's API does. It stood beside if the span's own total says so, or if there is more
cached than input at all; then it is added. In doubt the convention holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from spendfuse.metering.integrations.hosts import provider_of_host
from spendfuse.metering.integrations.meter import billed_model
from spendfuse.metering.names import PROVIDERS, provider_id
from spendfuse.metering.usage import Usage, UsageError

Attributes = Mapping[str, object]
Role = Literal["inference", "embeddings", "tool", "other"]

_INPUT = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
    "ai.usage.tokens",
)
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
)
_TOTAL = (
    "gen_ai.usage.total_tokens",
    "llm.usage.total_tokens",
    "llm.token_count.total",
    "ai.usage.totalTokens",
)
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.details.cache_read_tokens",
    "llm.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens",
)
_WRITTEN = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "llm.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "ai.usage.reasoningTokens",
)
_INPUT_AUDIO = ("llm.token_count.prompt_details.audio", "gen_ai.usage.details.input_audio_tokens")
_OUTPUT_AUDIO = (
    "llm.token_count.completion_details.audio",
    "gen_ai.usage.details.output_audio_tokens",
)
_COMPACTION = (
    ("anthropic.usage.compaction.input_tokens",),
    ("anthropic.usage.compaction.output_tokens",),
)
"""Billed, but left out of the usage on the spans of Anthropic's own SDK."""

_REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "ai.model.id")
_RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model")
_PROVIDER = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "ai.model.provider",
)
_HOST = ("server.address", "net.peer.name")
_TIER = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
)
_RESPONSE_ID = ("gen_ai.response.id", "ai.response.id")
_OPERATION = ("gen_ai.operation.name", "llm.request.type", "ai.operationId")

_INFERENCE = frozenset(
    (
        "chat",
        "text_completion",
        "completion",
        "generate_content",
        "responses",
        "image_generation",
        "speech",
        "transcription",
        # Vercel's inner spans; the outer ones repeat their sum.
        "ai.generatetext.dogenerate",
        "ai.generateobject.dogenerate",
        "ai.streamtext.dostream",
        "ai.streamobject.dostream",
    )
)
_EMBEDDINGS = frozenset(("embeddings", "embedding", "ai.embed.doembed", "ai.embedmany.doembed"))
_KINDS: Mapping[str, Role] = {"llm": "inference", "embedding": "embeddings", "tool": "tool"}
_FRAMEWORKS = frozenset(("langchain", "llamaindex", "llama_index", "crewai", "haystack", "litellm"))
"""Named as providers by some instrumentations, but nobody who sends bills."""


_DIGITS = 20
"""Above any count, and far below what Python takes long to read."""


class SpanCall(NamedTuple):
    provider: str
    model: str
    usage: Usage | None
    """None when the span carries no counts at all."""
    tier: str | None
    response_id: str | None


def span_role(attributes: Attributes) -> Role:
    """Return what a span stands for; only ``inference`` and ``embeddings`` are calls.

    Agents, chains and workflows repeat the usage of the calls inside them.
    """
    kind = attributes.get("openinference.span.kind")
    if isinstance(kind, str):
        return _KINDS.get(kind.lower(), "other")
    kind = attributes.get("traceloop.span.kind")
    if isinstance(kind, str):
        return "tool" if kind.lower() == "tool" else "other"
    operation = _text(attributes, _OPERATION).lower()
    if operation in _INFERENCE:
        return "inference"
    if operation in _EMBEDDINGS:
        return "embeddings"
    if operation == "execute_tool":
        return "tool"
    unnamed = not operation and _first(attributes, _INPUT) is not None
    has_model = _text(attributes, (*_REQUEST_MODEL, *_RESPONSE_MODEL))
    return "inference" if unnamed and has_model else "other"


def span_call(attributes: Attributes, *, cached_beside: bool | None = None) -> SpanCall:
    """Read an inference span.

    Args:
        attributes: The span's.
        cached_beside: Whether its instrumentation puts cached tokens beside the input;
            None finds out as the module says.

    Raises:
        UsageError: counts that can't be.
    """
    provider = _provider(attributes)
    return SpanCall(
        provider,
        _model(attributes, provider),
        _usage(attributes, told=cached_beside),
        _text(attributes, _TIER) or None,
        _text(attributes, _RESPONSE_ID) or None,
    )


def _provider(attributes: Attributes) -> str:
    """Return who sends the bill: an OpenAI client may be talking to Azure or to a router."""
    named = _text(attributes, _PROVIDER).lower()
    provider = provider_id(named)
    if provider == named:
        # Vercel's: openai.chat, google.generative-ai, amazon-bedrock.
        family = named.partition(".")[0]
        provider = PROVIDERS.get(family.replace("-", "_"), family)
    by_host = provider_of_host(_text(attributes, _HOST))
    if provider in ("", "openai") or provider in _FRAMEWORKS:
        return by_host or ("" if provider in _FRAMEWORKS else provider)
    return provider


def _model(attributes: Attributes, provider: str) -> str:
    requested, answered = _text(attributes, _REQUEST_MODEL), _text(attributes, _RESPONSE_MODEL)
    return billed_model(provider, requested, answered)


def _usage(attributes: Attributes, *, told: bool | None) -> Usage | None:
    given = _first(attributes, _INPUT), _first(attributes, _OUTPUT)
    if given == (None, None):
        return None
    input_tokens, output = (count or 0 for count in given)
    cached, written = _count(attributes, _CACHED), _count(attributes, _WRITTEN)
    reasoning = _count(attributes, _REASONING)
    total = _first(attributes, _TOTAL)
    if _stands_beside(cached + written, input_tokens, output, total=total, told=told):
        input_tokens += cached + written
    if reasoning > output:
        output += reasoning
    return Usage(
        input_tokens=input_tokens + _count(attributes, _COMPACTION[0]),
        output_tokens=output + _count(attributes, _COMPACTION[1]),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        input_audio_tokens=_count(attributes, _INPUT_AUDIO),
        output_audio_tokens=_count(attributes, _OUTPUT_AUDIO),
    )


def _stands_beside(
    cached: int, input_tokens: int, output: int, *, total: int | None, told: bool | None
) -> bool:
    if told is not None:
        return told
    return cached > input_tokens or (cached > 0 and total == input_tokens + cached + output)


def _first(attributes: Attributes, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return _whole(value)
    return None


def _count(attributes: Attributes, names: tuple[str, ...]) -> int:
    return _first(attributes, names) or 0


def _whole(value: object) -> int:
    """Return a count; some instrumentations send 12.0 or "12"."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _DIGITS:
        return int(value)
    raise UsageError(f"a span's token count must be a whole number, got a {type(value).__name__}")


def _text(attributes: Attributes, names: tuple[str, ...]) -> str:
    for name in names:
        value = attributes.get(name)
        if value and isinstance(value, str):
            return value
    return ""
