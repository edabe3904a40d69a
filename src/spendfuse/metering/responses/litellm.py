"""litellm's responses: OpenAI's shape, with the provider noted where no field shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.names import provider_id
from spendfuse.metering.responses.fields import fields_of, text_of


def noted_provider(response: object, fields: Mapping[str, Any]) -> str:
    """Return the price book's id of whom litellm noted on a response; empty where it noted none."""
    hidden = fields.get("_hidden_params") or getattr(response, "_hidden_params", None)
    name = text_of(fields_of(hidden).get("custom_llm_provider"))
    return provider_id(name)
