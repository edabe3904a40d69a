"""Cohere's chat, embed and rerank, which tell what they bill apart from what they counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.fields import fields_of
from spendfuse.metering.responses.response import Response, model_of


def is_mine(fields: Mapping[str, Any]) -> bool:
    return counts_of(fields) is not None


def read(fields: Mapping[str, Any], provider: str) -> Response:
    name = provider or "cohere"
    return Response(name, model_of(fields), usage_from(counts_of(fields), provider=name))


def counts_of(fields: Mapping[str, Any]) -> object:
    """Return the usage of the second version of its API, or of the first."""
    for place in ("usage", "meta"):
        counts = fields.get(place)
        if not _is_empty(fields_of(counts).get("billed_units")):
            return counts
    return None


def _is_empty(billed: object) -> bool:
    return all(value is None for value in fields_of(billed).values())
