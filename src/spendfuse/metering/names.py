"""Model names as apps write them, brought to what the price book knows.

Apps name a model by ARN, with a router's prefix, a region, or a fine-tuning job behind it. This
finds the provider and the names to try, in order; it never guesses a name that was not written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

PROVIDERS: Mapping[str, str] = {
    # OpenTelemetry's gen_ai.provider.name, older gen_ai.system, litellm's and other prefixes;
    # with _ for blanks, dots and hyphens.
    "amazon": "aws",
    "aws": "aws",
    "amazon_nova": "aws",
    "az_ai_inference": "azure",
    "azure": "azure",
    "foundry": "azure",
    "microsoft": "azure",
    "microsoft_foundry": "azure",
    "claude": "anthropic",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gcp": "google",
    "gcp_gemini": "google",
    "gcp_gen_ai": "google",
    "gemini": "google",
    "google_ai": "google",
    "google_ai_studio": "google",
    "google_genai": "google",
    "google_gla": "google",
    "grok": "x-ai",
    "ibm_watsonx_ai": "watsonx",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "text_completion_openai": "openai",
    "together_ai": "together",
    "togetherai": "together",
    "voyage": "voyageai",
    "voyage_ai": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
"""Other names of the price book's providers."""
_HOSTS = (
    ("bedrock", "aws"),
    ("sagemaker", "aws"),
    ("azure", "azure"),
    ("az_ai_", "azure"),
    ("vertex", "google"),
)
"""What tells the seller wherever it stands: azure_openai is Azure, anthropic_bedrock is Bedrock."""
_SEPARATORS = re.compile(r"[\s._-]+")
_STAND_IN = re.compile(r"compat|custom|like|mock|fake")

_ARN = re.compile(
    r"arn:[\w-]+:(?:bedrock|sagemaker):(?P<region>[\w-]*):\d*:(?P<kind>[\w-]+)/(?P<name>.+)"
)
_GEOGRAPHY = r"(?:us|eu|apac|au|jp|ca|in|sa|me|af|us-gov|global)\."
_MAKER = (
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshotai|moonshot"
    r"|nvidia|openai|qwen|stability|twelvelabs|writer|xai|zai)\."
)
_BEDROCK = re.compile(f"(?:{_GEOGRAPHY})?{_MAKER}")
"""How every model id of Bedrock begins: a region's prefix, and its maker.
https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html"""
BEFORE = re.compile(f"(?:.*/)?(?:{_GEOGRAPHY})?(?:{_MAKER})?(?:c4ai-|minimax-|omni-|text-)?")
"""What may stand before a model's name and leave it the same model."""
_AWS_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d/")
_GOOGLE = re.compile(r"projects/[^/]+/locations/(?P<region>[^/]+)/publishers/[^/]+/models/(.+)")
_ZONE = re.compile(r"(?:us|eu|global|global-standard)/")
_HAVE_ZONES = frozenset({"anthropic", "azure", "openai"})
_ROUTES = ("converse/", "invoke/", "converse_like/", "models/", "publishers/")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_FINE_TUNED = re.compile(r"(ft:[^:]+):.*")
_PREFIX = re.compile(r"(?P<prefix>[^/:]+)[/:](?P<rest>.+)")


def provider_id(name: str) -> str:
    """Return the price book's id for a provider's usual name; others come back as they are."""
    name = name.strip().lower()
    key = _SEPARATORS.sub("_", name)
    if key in PROVIDERS:
        return PROVIDERS[key]
    return next((provider for part, provider in _HOSTS if part in key), name)


def house(name: str) -> str:
    """Return whose interface a provider's name names: openai.responses is OpenAI's.

    Who only speaks like another (openai-compatible) has prices of their own.
    """
    head = _SEPARATORS.split(name, maxsplit=1)[0]
    return name if _STAND_IN.search(name) else PROVIDERS.get(head, head)


def looks_like_bedrock(model: str) -> bool:
    """Return whether a lower-case model name is an id or ARN of Amazon Bedrock."""
    return _ARN.fullmatch(model) is not None or _BEDROCK.match(model) is not None


def split_prefix(model: str) -> tuple[str, str] | None:
    """Return (provider, model) of ``provider/model`` or ``provider:model``, if it has that form."""
    found = _PREFIX.fullmatch(model)
    return (provider_id(found["prefix"]), found["rest"]) if found else None


def spellings(provider: str, model: str) -> Iterator[str]:
    """Yield the lower-case names under which the book may know the model, likeliest first.

    A region that costs more or less stays in front of the first ones (``eu-west-1/…``), where
    the overrides find it.
    """
    seen = set()
    for name in _spellings(provider, model.strip().lower().removesuffix("[1m]")):
        if name and name not in seen:
            seen.add(name)
            yield name


def _spellings(provider: str, name: str) -> Iterator[str]:
    arn = _ARN.fullmatch(name)
    if arn is not None:
        name = arn["name"]
        yield f"{arn['region']}/{name}"
    yield name
    split = split_prefix(name)
    if split is not None and split[0] == provider:
        name = split[1]
        yield name
    yield from _regional(provider, name)
    name = _without_region(provider, name)
    yield name
    name = _FINE_TUNED.sub(r"\1", name)
    yield name
    yield _COMPACT_DATE.sub(r"-\1-\2-\3", name)
    # Azure's names have no dots.
    yield name.replace("gpt-35-", "gpt-3.5-", 1)


def _regional(provider: str, name: str) -> Iterator[str]:
    found = _GOOGLE.fullmatch(name) if provider == "google" else None
    if found is not None:
        yield f"{found['region']}/{found[2]}"


def _without_region(provider: str, name: str) -> str:
    if provider == "aws":
        name = _AWS_REGION.sub("", name, count=1)
    if provider in _HAVE_ZONES:
        name = _ZONE.sub("", name, count=1)
    for route in _ROUTES:
        name = name.removeprefix(route)
    return name.rpartition("/models/")[2] if provider == "google" else name


def is_pattern(name: str) -> bool:
    """Return whether a name in the overrides stands for many."""
    return any(each in name for each in "*?[")


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return up to three known names that look most like ``name``: its beginnings first."""
    name = name.lower()
    distinct = list(dict.fromkeys(known))
    begin = [each for each in distinct if name.startswith(each) and len(each) > 1]
    longest = max(begin, key=len, default=None)
    alike = difflib.get_close_matches(name, distinct, n=3, cutoff=0.5)
    return tuple(dict.fromkeys([*([longest] if longest else []), *alike]))[:3]
