"""The fields of a response, whether it came as a dict or as an SDK's object.

Vendors are never imported: pydantic models, dataclasses, named tuples and Google's messages are
known by how they keep their fields. Nothing nested is converted before somebody asks for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any

NO_FIELDS: Mapping[str, Any] = {}


def fields_of(value: object) -> Mapping[str, Any]:
    """Return the fields of ``value`` by name; none where it has no named fields at all."""
    if type(value) is dict:
        return value
    kept: dict[str, Any] | None = getattr(value, "__dict__", None)
    # Pydantic keeps apart what the model does not declare. Asked before Mapping, whose check is
    # slow where the answer is no.
    extra = getattr(value, "__pydantic_extra__", None)
    if extra is not None and kept is not None:
        return {**kept, **extra} if extra else kept
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type | ModuleType | FunctionType):
        return NO_FIELDS
    if kept and not next(iter(kept)).startswith("_"):
        return kept
    return _fields_kept_elsewhere(value)


def _fields_kept_elsewhere(value: object) -> Mapping[str, Any]:
    if hasattr(value, "_asdict"):
        return fields_of(value._asdict())
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    # Asked of the type, because Google's messages have it on their metaclass.
    to_dict = getattr(type(value), "to_dict", None)
    found = to_dict(value) if callable(to_dict) else None
    return found if isinstance(found, Mapping) else NO_FIELDS


def text_of(value: object) -> str:
    """Return a text or an enum's text; empty where it is neither."""
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str) else value.name
    return value if isinstance(value, str) else ""


def items_of(value: object) -> list[Any] | tuple[Any, ...]:
    """Return a list's items; none where it is no list."""
    return value if isinstance(value, list | tuple) else ()
