"""About how many tokens a call used, where nobody says so: a stream that broke off, a time-out.

The rule of ``metering.estimate``, which counts rather too many, for whatever shape a request or an
event has. What is counted so carries the field ``estimated``. Images and files are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.estimate import BYTES_PER_TOKEN

_MAX_VALUES = 100_000
"""How many values of a request are looked at: estimates are made on the app's thread."""
_NO_TEXT = frozenset(
    (
        "model",
        "role",
        "type",
        "id",
        "url",
        "data",
        "file_data",
        "image_url",
        "bytes",
        "signature",
        "encrypted_content",
        "user",
        "metadata",
        "modelId",
        "requestMetadata",
    )
)


def estimated_tokens(text_bytes: int) -> int:
    return -(-text_bytes // BYTES_PER_TOKEN)


def request_bytes(body: object) -> int:
    """Return the bytes of all text in a request: messages, instructions, tools."""
    total = 0
    waiting: list[Any] = [body]
    for _ in range(_MAX_VALUES):
        if not waiting:
            break
        value = waiting.pop()
        if isinstance(value, str):
            total += text_bytes(value)
        elif isinstance(value, Mapping):
            waiting.extend(part for name, part in value.items() if name not in _NO_TEXT)
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif hasattr(type(value), "model_fields"):
            # An earlier answer, say; an SDK's other objects are its marks for "not given".
            waiting.append(vars(value))
    return total


def text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


_TEXTS = frozenset(
    (
        "arguments",
        "content",
        "generation",
        "input",
        "outputText",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "text",
        "thinking",
    )
)
_INSIDE = frozenset(
    (
        "choices",
        "contentBlockDelta",
        "delta",
        "function",
        "reasoningContent",
        "toolUse",
        "tool_calls",
    )
)


_TEXTS_AND_INSIDE = _TEXTS | _INSIDE


def event_bytes(event: object) -> int:
    """Return the bytes of text that one event of a stream adds to the output."""
    fields = _fields(event)
    choices = fields.get("choices")
    if type(choices) is list:
        total = 0
        for choice in choices:
            total += _choice_bytes(_fields(choice))
        return total
    kind = fields.get("type")
    # Other events repeat what the deltas said; audio is no text.
    if isinstance(kind, str) and (not kind.endswith("delta") or "audio" in kind):
        return 0
    return _added_bytes(fields)


def _choice_bytes(choice: Mapping[str, Any]) -> int:
    """Look first where most chunks have their words: this runs once an event."""
    delta = _fields(choice.get("delta"))
    content = delta.get("content")
    if type(content) is str and content:
        return text_bytes(content)
    return _added_bytes(delta or choice)


def _added_bytes(fields: Mapping[str, Any]) -> int:
    total = 0
    for name in _TEXTS_AND_INSIDE & fields.keys():
        value = fields[name]
        if not value:
            continue
        if name in _INSIDE:
            for part in value if isinstance(value, list) else (value,):
                total += text_bytes(part) if isinstance(part, str) else _added_bytes(_fields(part))
        elif isinstance(value, str):
            total += text_bytes(value)
    return total


def _fields(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
