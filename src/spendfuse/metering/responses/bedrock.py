"""Bedrock: Converse, and the bodies of InvokeModel in the words of each model's house.

No response names the model with its region, so the caller does. A body that is still a stream
belongs to the caller and is not touched: then the counts come from the headers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.fields import NO_FIELDS, fields_of, items_of, text_of
from spendfuse.metering.responses.response import Response, model_of, no_usage, tier_and_batch

AWS = "aws"
_MAX_DIGITS = 20
METRICS = "amazon-bedrock-invocationMetrics"
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
_TITAN = "inputTextTokenCount"
_LLAMA = "generation_token_count"
_JURASSIC = "completions"
_OWN_MARKS = frozenset(("ResponseMetadata", METRICS, _TITAN, _LLAMA, _JURASSIC))


def is_mine(fields: Mapping[str, Any]) -> bool:
    if not _OWN_MARKS.isdisjoint(fields):
        return True
    return "inputTokens" in fields_of(fields.get("usage"))


def read(fields: Mapping[str, Any], provider: str) -> Response:
    body = _body(fields)
    counts = _counts(body)
    if counts is None:
        counts = _header_counts(fields)
    if counts is None:
        raise no_usage(body or fields)
    tier, batch = tier_and_batch(*_tiers(fields), *_tiers(body), *_tiers(fields_of(counts)))
    name = provider or AWS
    return Response(name, _model(body), usage_from(counts, provider=name), tier, batch)


def _body(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the model's house sent: InvokeModel wraps it, Converse does not."""
    body = fields.get("body")
    if isinstance(body, str | bytes | bytearray):
        try:
            body = json.loads(body)
        except ValueError:
            return NO_FIELDS
    if body is None:
        return fields
    return body if isinstance(body, Mapping) else NO_FIELDS


def _counts(body: Mapping[str, Any]) -> object:
    if body.get("usage") is not None:
        return body["usage"]
    if body.get(METRICS) is not None:
        return body[METRICS]
    if _JURASSIC in body:
        return _jurassic(body)
    if _TITAN in body and "results" in body:
        return _titan(body)
    return body if _TITAN in body or _LLAMA in body else None


def _titan(body: Mapping[str, Any]) -> object:
    written = [fields_of(each).get("tokenCount") for each in items_of(body["results"])]
    outputs = [usage_from({"tokenCount": each}) for each in written if each is not None]
    return {
        _TITAN: body[_TITAN],
        "outputTokenCount": sum(each.output_tokens for each in outputs),
    }


def _jurassic(body: Mapping[str, Any]) -> object:
    """Count the tokens themselves: the house lists them, and no counts."""
    written = [fields_of(fields_of(each).get("data")) for each in items_of(body[_JURASSIC])]
    return {
        "inputTokenCount": len(items_of(fields_of(body.get("prompt")).get("tokens"))),
        "outputTokenCount": sum(len(items_of(each.get("tokens"))) for each in written),
    }


def _header_counts(fields: Mapping[str, Any]) -> object:
    headers = fields_of(fields_of(fields.get("ResponseMetadata")).get("HTTPHeaders"))
    counts = {
        name: _number(headers[header])
        for header, name in _HEADERS.items()
        if headers.get(header) is not None
    }
    return counts or None


def _number(text: object) -> object:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS:
        return int(text)
    return text  # to be refused by its name


def _tiers(fields: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what may name a tier: Converse has objects where InvokeModel has texts."""
    tier = fields.get("serviceTier")
    latency = fields_of(fields.get("performanceConfig")).get("latency")
    return (
        tier if isinstance(tier, str) else fields_of(tier).get("type"),
        fields.get("service_tier"),
        fields.get("speed"),
        latency or fields.get("performanceConfigLatency"),
    )


def _model(body: Mapping[str, Any]) -> str:
    """Return the model where it is known: a router says whom it asked."""
    router = fields_of(fields_of(body.get("trace")).get("promptRouter"))
    return text_of(router.get("invokedModelId")) or model_of(body)
