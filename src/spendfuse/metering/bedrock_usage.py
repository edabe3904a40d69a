"""The counts of one entry in Bedrock's model-invocation log, as a ``Usage``.

Bedrock counts cached input beside the rest: an entry with 1 input token may have read 129,709
from the cache. The log's own counts come first; the body's usage, where bodies are logged at all,
fills what they leave out, and alone tells how long a cache write is kept. Nothing else of a body
is read.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spendfuse.metering.usage import Usage, UsageError, shown_value

Entry = Mapping[str, Any]

_INPUT = ("input", "inputTokenCount", "inputTokens", "input_tokens")
_READ = ("input", "cacheReadInputTokenCount", "cacheReadInputTokens", "cache_read_input_tokens")
_WRITE = (
    "input",
    "cacheWriteInputTokenCount",
    "cacheWriteInputTokens",
    "cache_creation_input_tokens",
)
_OUTPUT = ("output", "outputTokenCount", "outputTokens", "output_tokens")
"""Where the log has a count, its name there, and its names in bodies: Converse's, Anthropic's."""


def logged_usage(entry: Entry) -> Usage | None:
    """Return what an entry counts; None where it counts nothing, as for generated images.

    Raises:
        UsageError: a count that is none, such as -1 or a text.
    """
    body = _body_usage(section(entry, "output").get("outputBodyJson"))
    fresh, read, write, output = (
        _count(entry, body, names) for names in (_INPUT, _READ, _WRITE, _OUTPUT)
    )
    if not any((fresh, read, write, output)):
        return None
    return Usage(
        input_tokens=fresh + read + write,
        output_tokens=output,
        cached_input_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=min(_kept_an_hour(body), write),
    )


def logged_tier(entry: Entry) -> str | None:
    """Return the service tier that a logged body names; the entry itself has none."""
    body = section(entry, "output").get("outputBodyJson")
    tier = body.get("serviceTier") if isinstance(body, Mapping) else None
    name = tier.get("type") if isinstance(tier, Mapping) else tier
    return name if isinstance(name, str) and name else None


def section(entry: Entry, name: str) -> Mapping[str, Any]:
    """Return an object inside an entry; an empty one where there is none."""
    value = entry.get(name)
    return value if isinstance(value, Mapping) else {}


def _count(entry: Entry, body: Mapping[str, Any], names: tuple[str, str, str, str]) -> int:
    place, logged, *in_body = names
    candidates = [section(entry, place).get(logged), *(body.get(each) for each in in_body)]
    value = next((each for each in candidates if each is not None), 0)
    if type(value) is not int or value < 0:
        raise UsageError(f"{logged} must be a whole number, got {shown_value(value)}")
    return value


def _body_usage(body: object) -> dict[str, Any]:
    """Return the usage in a body; a stream's later chunks complete the earlier ones."""
    merged: dict[str, Any] = {}
    for usage in _usages(body):
        merged |= {name: value for name, value in usage.items() if value is not None}
    return merged


def _usages(body: object) -> Iterator[Mapping[str, Any]]:
    for chunk in body if isinstance(body, list) else [body]:
        if isinstance(chunk, Mapping):
            for holder in (chunk, section(chunk, "message"), section(chunk, "metadata")):
                yield section(holder, "usage")


def _kept_an_hour(body: Mapping[str, Any]) -> int:
    details = body.get("cacheDetails")
    counts = [
        detail.get("inputTokens")
        for detail in (details if isinstance(details, list) else [])
        if isinstance(detail, Mapping) and detail.get("ttl") == "1h"
    ]
    counts.append(section(body, "cache_creation").get("ephemeral_1h_input_tokens"))
    # A detail that can't be read must not cost the count itself.
    return sum(each for each in counts if type(each) is int and each > 0)
