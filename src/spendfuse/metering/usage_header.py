"""The response header X-LLM-Usage: JSON with the usage of one call, or a list of several.

Sent by the app's own routes, and read as if by a stranger's: whatever is wrong with it becomes
a fixed reason, which holds nothing of what it said. A call that can't be read loses no other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from spendfuse.metering.attribution import Attribution
from spendfuse.metering.reporting import Reported
from spendfuse.metering.responses import usage_from
from spendfuse.metering.usage import MAX_COUNT, UsageError

NAME = b"x-llm-usage"
MAX_BYTES = 8 * 1024
"""All headers of that name of one response together."""
MAX_CALLS = 100
UNKNOWN_MODEL = "unknown"
"""Of a call that names no model: it is recorded, unpriced."""
_MAX_NAME_CHARACTERS = 256
_TOO_LONG = "X-LLM-Usage is longer than 8 KB"
_TOO_MANY = "X-LLM-Usage has more than 100 calls"
_NO_JSON = "X-LLM-Usage is no JSON (one object, or a list of objects; each key once; no NaN)"
_NO_OBJECT = "a call in X-LLM-Usage is no object"
_BAD_NAME = "a call in X-LLM-Usage has a model, provider or tier that is no short text"
_BAD_SETTING = "a call in X-LLM-Usage has batch or cached that is not true or false"
_BAD_LATENCY = "a call in X-LLM-Usage has a latency_ms that is no number of milliseconds"
_BAD_COUNTS = "a call in X-LLM-Usage has counts that can't be read, or contradict each other"


class UsageHeader(NamedTuple):
    """What the headers of one response said."""

    reports: list[Reported]
    refused: list[str]
    """A reason for each header or call that was left out."""


class _MalformedError(Exception):
    """Carries a fixed reason."""


def read_usage_header(values: Sequence[bytes | str], attribution: Attribution) -> UsageHeader:
    """Read the header's values, of which a response may have several. Raises nothing."""
    found = UsageHeader([], [])
    calls: list[Any] = []
    if sum(map(len, values)) > MAX_BYTES:
        found.refused.append(_TOO_LONG)
        return found
    for value in values:
        try:
            calls += _calls(value)
        except _MalformedError as error:
            found.refused.append(str(error))
    if len(calls) > MAX_CALLS:
        found.refused.append(_TOO_MANY)
        return found
    for call in calls:
        try:
            found.reports.append(_reported(call, attribution))
        except _MalformedError as error:
            found.refused.append(str(error))
    return found


def _calls(value: bytes | str) -> list[Any]:
    try:
        text = value if isinstance(value, str) else value.decode()
        # A proxy may have joined several headers with a comma: that is a list without brackets.
        given = _JSON.decode(f"[{text}]") if text.strip() else [None]
    except (ValueError, RecursionError):
        raise _MalformedError(_NO_JSON) from None
    if len(given) == 1 and isinstance(given[0], list):
        return given[0]
    return given


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


_JSON = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _reported(call: Any, attribution: Attribution) -> Reported:
    if not isinstance(call, dict):
        raise _MalformedError(_NO_OBJECT)
    take = call.pop
    model, provider, tier = _name(take("model", "")), _name(take("provider", "")), take("tier", "")
    batch, cached = _flag(take("batch", None)), _flag(take("cached", None))
    latency_ms = _milliseconds(take("latency_ms", None))
    try:
        # What is left are the counts.
        usage = usage_from(call, provider=provider)
    except UsageError:
        raise _MalformedError(_BAD_COUNTS) from None
    return Reported(
        model or UNKNOWN_MODEL,
        usage,
        provider=provider,
        batch=batch,
        tier=_name(tier) or None,
        cached=cached,
        latency_ms=latency_ms,
        attribution=attribution,
    )


def _name(value: Any) -> str:
    if value is None:
        return ""
    # What is not printable would break lines of logs, and half surrogates can't be encoded.
    if not isinstance(value, str) or len(value) > _MAX_NAME_CHARACTERS or not value.isprintable():
        raise _MalformedError(_BAD_NAME)
    return value


def _flag(value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise _MalformedError(_BAD_SETTING)
    return bool(value)


def _milliseconds(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        raise _MalformedError(_BAD_LATENCY)
    return round(value)
