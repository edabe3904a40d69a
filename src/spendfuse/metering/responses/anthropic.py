"""Anthropic's messages, from its own API, from Bedrock's InvokeModel or from Vertex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.fields import fields_of, text_of
from spendfuse.metering.responses.response import Response, model_of, no_usage, tier_and_batch

_HOSTS = (("msg_bdrk_", "aws"), ("msg_vrtx_", "google"))
"""Who hosts a model marks the messages' ids."""


def is_mine(fields: Mapping[str, Any]) -> bool:
    return fields.get("type") == "message"


def read(fields: Mapping[str, Any], provider: str) -> Response:
    counts = fields.get("usage")
    if counts is None:
        raise no_usage(fields)
    given = fields_of(counts)
    tier, batch = tier_and_batch(given.get("service_tier"), given.get("speed"))
    name = provider or provider_of(text_of(fields.get("id")))
    model = _placed(model_of(fields), given.get("inference_geo"), name)
    return Response(name, model, usage_from(counts, provider=name), tier, batch)


def _placed(model: str, place: object, provider: str) -> str:
    """Return the model as the price book has it where inference in one country costs more."""
    return f"us/{model}" if model and place == "us" and provider == "anthropic" else model


def provider_of(message_id: str) -> str:
    return next((host for start, host in _HOSTS if message_id.startswith(start)), "anthropic")
