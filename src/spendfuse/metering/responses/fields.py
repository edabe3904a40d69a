"""The fields of a response, whether it came as a dict or as an SDK's object.

Vendors are never imported: pydantic models, dataclasses, named tuples and Google's messages are
known by how they keep their fields. Nothing nested is converted before somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

NO_FIELDS: Mapping[str, Any] = {}


def fields_of(value: object) -> Mapping[str, Any]:
    """Return the fields of ``value`` by name; none where it has no named fields at all."""
    if type(value) is dict:
        return value
    return NO_FIELDS if value is None else _fields_of_object(value)


def _fields_of_object(value: object) -> Mapping[str, Any]:
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
    if kept and any(not name.startswith("_") for name in kept):
        return kept
    return _fields_kept_elsewhere(value)


def _fields_kept_elsewhere(value: object) -> Mapping[str, Any]:
    kind = type(value)
    if kind.__module__ == "builtins":
        return NO_FIELDS
    # Asked of the type: a mock has whatever it is asked for, and Google's messages have theirs
    # on the metaclass.
    for name in ("_asdict", "to_dict"):
        converted = getattr(kind, name, None)
        found = converted(value) if callable(converted) else None
        if isinstance(found, Mapping):
            return found
    names = (name for name in dir(kind) if not name.startswith("_"))
    return {
        name: getattr(value, name, None)
        for name in names
        if isinstance(getattr(kind, name, None), property | MemberDescriptorType)
    }


def text_of(value: object) -> str:
    """Return a text or an enum's text; empty where it is neither."""
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str) else value.name
    return value if isinstance(value, str) else ""


def items_of(value: object) -> list[Any] | tuple[Any, ...]:
    """Return a list's items; none where it is no list."""
    return value if isinstance(value, list | tuple) else ()
