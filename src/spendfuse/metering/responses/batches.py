"""Lines of a batch's output file: a response in an envelope, at the batch's price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.fields import fields_of

_ENVELOPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("custom_id", ("response", "body"), ""),  # OpenAI, Azure, Mistral, Groq
    ("custom_id", ("result", "message"), "anthropic"),
    ("recordId", ("modelOutput",), "aws"),
    ("key", ("response",), "google"),
    ("processed_time", ("response",), "google"),  # Vertex
)
"""A field that tells the envelope, where the response is in it, and whose it is."""


def unwrapped(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, bool]:
    """Return the response's own fields, whose batch it was in, and whether it was in one."""
    for mark, path, provider in _ENVELOPES:
        if mark in fields:
            inner: Mapping[str, Any] = fields
            for name in path:
                inner = fields_of(inner.get(name))
            if inner:
                return inner, provider, True
    return fields, "", False
