"""Whose API stands behind a host name: one SDK speaks to many providers."""

from __future__ import annotations

_SUFFIXES = (
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("models.ai.azure.com", "azure"),
    ("amazonaws.com", "aws"),
    ("api.aws", "aws"),
    ("googleapis.com", "google"),
    ("api.anthropic.com", "anthropic"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.com", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.fireworks.ai", "fireworks"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("api.moonshot.ai", "moonshotai"),
    ("api.novita.ai", "novita"),
    ("openrouter.ai", "openrouter"),
    ("api.perplexity.ai", "perplexity"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.x.ai", "x-ai"),
)


def provider_of_host(host: str) -> str:
    """Return the price book's provider behind ``host``; empty when it could be anyone's.

    Behind a gateway or a proxy the model's name has to tell.
    """
    host = host.strip().lower().rstrip(".")
    for suffix, provider in _SUFFIXES:
        if host == suffix or host.endswith(f".{suffix}"):
            return provider
    return ""
