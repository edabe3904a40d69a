"""litellm's responses: OpenAI's shape, with the provider noted where no field shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.fields import fields_of, text_of

_OUR_NAMES = {
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "sagemaker": "aws",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "gemini": "google",
    "azure_ai": "azure",
    "xai": "x-ai",
    "cohere_chat": "cohere",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "text-completion-openai": "openai",
}
"""The names that the price book has for its providers."""


def noted_provider(response: object, fields: Mapping[str, Any]) -> str:
    """Return the provider that litellm noted on a response; empty where it noted none."""
    hidden = fields.get("_hidden_params") or getattr(response, "_hidden_params", None)
    name = text_of(fields_of(hidden).get("custom_llm_provider"))
    return _OUR_NAMES.get(name, name)
