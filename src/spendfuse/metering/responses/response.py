"""What a response says of the call: who answered, with which model, what it used and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from spendfuse.metering.responses.counting import shown_names
from spendfuse.metering.responses.fields import text_of
from spendfuse.metering.usage import Usage, UsageError


class Response(NamedTuple):
    provider: str
    """Empty where neither the caller nor the response says it."""
    model: str
    """Empty where the response doesn't name it (Bedrock, images, transcriptions)."""
    usage: Usage
    tier: str | None = None
    """flex, priority, fast, …; None for the standard one."""
    batch: bool = False


_STANDARD = frozenset(
    (
        "",
        "auto",
        "default",
        "standard",
        "standard_only",
        "on_demand",
        "traffic_type_unspecified",
        "unspecified",
    )
)
_BATCH = "batch"
_OTHER_NAMES = {"on_demand_flex": "flex", "on_demand_priority": "priority"}
_MAX_CHARACTERS = 64


def tier_and_batch(*values: object) -> tuple[str | None, bool]:
    """Return the first tier in ``values`` that is not the standard one, and whether it is batch."""
    names = (text_of(value).lower() for value in values)
    name = next((each for each in names if each not in _STANDARD), "")
    if name == _BATCH:
        return None, True
    return _OTHER_NAMES.get(name, name[:_MAX_CHARACTERS]) or None, False


def model_of(fields: Mapping[str, Any], name: str = "model") -> str:
    """Return the model's name; Google's without the collection it stands in."""
    return text_of(fields.get(name)).removeprefix("models/")


def no_usage(fields: Mapping[str, Any]) -> UsageError:
    """Say which fields were there: their names, never what they hold."""
    return UsageError(
        f"the response has no usage; it has: {shown_names(fields)}; a streamed one "
        "comes with its last event only (OpenAI's: where include_usage was asked for)"
    )
