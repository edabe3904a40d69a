"""Gemini's generateContent, from Google's own API or from Vertex, as JSON or an SDK's object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.fields import fields_of
from spendfuse.metering.responses.response import Response, model_of, no_usage, tier_and_batch


def is_mine(fields: Mapping[str, Any]) -> bool:
    return "usageMetadata" in fields or "usage_metadata" in fields


def read(fields: Mapping[str, Any], provider: str) -> Response:
    counts = counts_of(fields)
    if counts is None:
        raise no_usage(fields)
    given = fields_of(counts)
    tier, batch = tier_and_batch(
        *(given.get(name) for name in ("trafficType", "traffic_type")),
        *(given.get(name) for name in ("serviceTier", "service_tier")),
    )
    name = provider or "google"
    model = model_of(fields, "modelVersion") or model_of(fields, "model_version")
    return Response(name, model, usage_from(counts, provider=name), tier, batch)


def counts_of(fields: Mapping[str, Any]) -> object:
    counts = fields.get("usageMetadata")
    return fields.get("usage_metadata") if counts is None else counts
