"""OpenAI's responses, and those of all who answer in its words.

Chat completions, responses, embeddings, images and transcriptions; Azure, Groq, xAI, DeepSeek,
Mistral, Perplexity, OpenRouter and whatever a server of your own speaks. Who it was is told by
marks that only they leave, and by models that only they serve; else it stays open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.fields import fields_of, items_of, text_of
from spendfuse.metering.responses.response import Response, model_of, no_usage, tier_and_batch
from spendfuse.metering.usage import Usage

_MARKS = (
    ("prompt_filter_results", "azure"),
    ("x_groq", "groq"),
    ("search_results", "perplexity"),
    ("citations", "perplexity"),
)
"""Fields of the response that one provider alone sends."""
_USAGE_MARKS = (
    ("prompt_cache_hit_tokens", "deepseek"),
    ("num_sources_used", "x-ai"),
    ("num_search_queries", "perplexity"),
    ("citation_tokens", "perplexity"),
)
_MODELS = (
    ("gpt-oss", ""),  # anybody's
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("ft:gpt-", "openai"),
    ("text-embedding-3", "openai"),
    ("text-embedding-ada", "openai"),
    ("codex-", "openai"),
    ("computer-use-", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "google"),
    ("grok-", "x-ai"),
    ("sonar", "perplexity"),
)
"""Models of one house, by the beginning of their names; the first that fits holds."""


def read(fields: Mapping[str, Any], provider: str) -> Response:
    counts = _counts(fields)
    model = model_of(fields)
    provider = provider or _provider(fields, counts, model)
    usage = _with_tools(usage_from(counts, provider=provider), fields)
    given = fields_of(counts)
    tier, batch = tier_and_batch(fields.get("service_tier"), given.get("service_tier"))
    return Response(provider, model, usage, tier, batch)


def _counts(fields: Mapping[str, Any]) -> object:
    counts = fields.get("usage")
    if counts is None:
        counts = fields_of(fields.get("x_groq")).get("usage")
    if counts is not None:
        return _of_embeddings(fields, counts)
    # Older transcriptions say how long the audio was, and nothing else.
    if "text" in fields and fields.get("duration") is not None:
        return {"seconds": _number(fields["duration"])}
    raise no_usage(fields)


def _number(value: Any) -> Any:
    # Some versions wrote the duration as a text.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _of_embeddings(fields: Mapping[str, Any], counts: object) -> object:
    """Name the total as input, for there is no output (Voyage counts nothing else)."""
    if fields.get("object") == "list":
        given = fields_of(counts)
        total = given.get("total_tokens")
        if given.get("prompt_tokens") is not None:
            return {**given, "total_tokens": None}
        if total is not None:
            return {"prompt_tokens": total}
    return counts


def _provider(fields: Mapping[str, Any], counts: object, model: str) -> str:
    given = fields_of(counts)
    for mark, provider in _MARKS:
        if fields.get(mark) is not None:
            return provider
    for mark, provider in _USAGE_MARKS:
        if given.get(mark) is not None:
            return provider
    if isinstance(fields.get("provider"), str) and "/" in model:
        return "openrouter"
    return next((provider for start, provider in _MODELS if model.startswith(start)), "")


def _with_tools(usage: Usage, fields: Mapping[str, Any]) -> Usage:
    """Add what is billed by the call of a tool, which stands outside the usage."""
    if fields.get("object") == "response":
        return _with_searches(usage, fields)
    picture = next(map(fields_of, items_of(fields.get("data"))), fields)
    if picture.get("b64_json") and not usage.output_image_tokens:
        # Without details all that came out was pictures.
        return usage_from(usage.counts() | {"output_image_tokens": usage.output_tokens})
    return usage


def _with_searches(usage: Usage, fields: Mapping[str, Any]) -> Usage:
    kinds = [text_of(fields_of(each).get("type")) for each in items_of(fields.get("output"))]
    tools = fields_of(fields.get("tool_usage"))
    billed = fields_of(tools.get("web_search")).get("num_requests")
    searches = {
        "web_searches": kinds.count("web_search_call") if billed is None else billed,
        "file_searches": kinds.count("file_search_call"),
    }
    if not any(searches.values()):
        return usage
    return usage_from(usage.counts() | searches)
