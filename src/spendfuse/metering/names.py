"""Model names as apps write them, brought to what the price book knows.

Apps name a model by ARN, with a router's prefix, a region, or a fine-tuning job behind it. This
finds the provider and the names to try, in order; it never guesses a name that was not written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

PROVIDERS: Mapping[str, str] = {
    # OpenTelemetry's gen_ai.provider.name, older gen_ai.system, and litellm's prefixes.
    "amazon_bedrock": "aws",
    "anthropic_bedrock": "aws",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azureopenai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "vertex": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "ibm.watsonx.ai": "watsonx",
    "mistral_ai": "mistral",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "voyage": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
"""Other names of the price book's providers."""

_ARN = re.compile(r"arn:[\w-]+:(?:bedrock|sagemaker):[\w-]*:\d*:(?P<kind>[\w-]+)/(?P<name>.+)")
_BEDROCK = re.compile(
    r"(?:(?:us|eu|apac|au|jp|ca|in|sa|me|af|us-gov|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshotai?|nvidia"
    r"|openai|qwen|stability|twelvelabs|writer|xai|zai)\."
)
"""How every model id of Bedrock begins: a region's prefix, and its maker.
https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html"""
_AWS_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d/")
_ROUTES = ("converse/", "invoke/", "converse_like/", "models/", "publishers/")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_FINE_TUNED = re.compile(r"(ft:[^:]+):.*")


def provider_id(name: str) -> str:
    """Return the price book's id for a provider's usual name; others come back as they are."""
    name = name.strip().lower()
    return PROVIDERS.get(name, name)


def looks_like_bedrock(model: str) -> bool:
    """Return whether a lower-case model name is an id or ARN of Amazon Bedrock."""
    return _ARN.fullmatch(model) is not None or _BEDROCK.match(model) is not None


def split_prefix(model: str) -> tuple[str, str] | None:
    """Return (provider, model) of ``provider/model``, if the name has that form."""
    prefix, slash, rest = model.partition("/")
    return (provider_id(prefix), rest) if slash and prefix and rest else None


def spellings(provider: str, model: str) -> Iterator[str]:
    """Yield the lower-case names under which the book may know the model, likeliest first."""
    seen = set()
    for name in _spellings(provider, model.strip().lower()):
        if name and name not in seen:
            seen.add(name)
            yield name


def _spellings(provider: str, name: str) -> Iterator[str]:
    arn = _ARN.fullmatch(name)
    if arn is not None:
        name = arn["name"]
    yield name
    split = split_prefix(name)
    if split is not None and split[0] == provider:
        name = split[1]
        yield name
    if provider == "aws":
        name = _AWS_REGION.sub("", name, count=1)
    for route in _ROUTES:
        name = name.removeprefix(route)
    if provider == "google":
        name = name.rpartition("/models/")[2]
    yield name
    name = _FINE_TUNED.sub(r"\1", name)
    yield name
    yield _COMPACT_DATE.sub(r"-\1-\2-\3", name)


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return up to three known names that look most like ``name``."""
    return tuple(difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.5))
