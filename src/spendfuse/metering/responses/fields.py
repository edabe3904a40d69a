"""The fields of a response, whether it came as a dict or as an SDK's object.

Vendors are never imported: pydantic models, dataclasses, named tuples and Google's messages are
known by how they keep their fields. Nothing nested is converted before somebody asks for it.

Anything may come, since a decorator hands over whatever a function returned: a table of millions
of rows, an object whose properties ask a database. Of what is not known to be a response, only
the names under which usage comes are asked for, and of its usage only the names of counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from spendfuse.metering.usage import UsageError

NO_FIELDS: Mapping[str, Any] = {}
_NO_MODEL: Any = object()

_USAGE_NAMES = (
    "usage",
    "usage_metadata",
    "usageMetadata",
    "usage_info",
    "meta",
    "x_groq",
    "ResponseMetadata",
)
"""Where responses have their usage."""
_BESIDE_USAGE = (
    "id",
    "object",
    "type",
    "model",
    "model_version",
    "modelVersion",
    "service_tier",
    "output",
)
"""What else is asked of a response whose class only tells it by properties."""


def fields_of(value: object) -> Mapping[str, Any]:
    """Return the fields of ``value`` by name; none where it has no named fields at all.

    Raises:
        UsageError: a property that should have told the usage raised.
    """
    if type(value) is dict:
        return value
    return NO_FIELDS if value is None else _fields_of_object(value)


def counts_of(value: object, names: Iterable[str]) -> Mapping[str, Any]:
    """Return the fields of a usage object, or of one in it; of its properties, those in ``names``.

    What its properties and its conversion raise, this raises: a count that is lost costs.
    """
    given = fields_of(value)
    kind = type(value)
    if (
        kind is dict
        or value is None
        or kind.__module__ == "builtins"
        or (given and hasattr(value, "__dict__"))
    ):
        return given
    converted = None if given or isinstance(value, type) else getattr(kind, "to_dict", None)
    found = converted(value) if callable(converted) else None
    if isinstance(found, Mapping):
        return found
    told = {name: getattr(value, name, None) for name in names if _is_told_by(kind, name)}
    return {**given, **told} if told else given


def _fields_of_object(value: object) -> Mapping[str, Any]:
    kept: dict[str, Any] | None = getattr(value, "__dict__", None)
    # Pydantic keeps apart what the model does not declare. Asked before Mapping, whose check is
    # slow where the answer is no.
    extra = getattr(value, "__pydantic_extra__", _NO_MODEL)
    if extra is not _NO_MODEL and kept is not None:
        return {**kept, **extra} if extra else kept
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    if isinstance(value, type | ModuleType | FunctionType) or kind.__module__ == "builtins":
        return NO_FIELDS
    fields = _fields_kept(value, kind, kept)
    return fields if not fields.keys().isdisjoint(_USAGE_NAMES) else _with_usage(value, fields)


def _fields_kept(value: object, kind: type, kept: dict[str, Any] | None) -> Mapping[str, Any]:
    """Return what an object holds; nothing here runs code of a class that we don't know."""
    if kept and any(not name.startswith("_") for name in kept):
        return kept
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return dict(zip(kind._fields, value, strict=False))
    # Google's messages have their conversion on the metaclass, as nobody else does.
    converted = getattr(type(kind), "to_dict", None)
    if converted is not None:
        found = converted(kind, value)
        return found if isinstance(found, Mapping) else NO_FIELDS
    slots = (
        (name, slot)
        for base in reversed(kind.__mro__)
        for name, slot in vars(base).items()
        if isinstance(slot, MemberDescriptorType) and not name.startswith("_")
    )
    return {name: getattr(value, name, None) for name, _slot in slots}


def _with_usage(value: object, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = type(value)
    usage = {name: _usage_told(value, name) for name in _USAGE_NAMES if _is_told_by(kind, name)}
    if not usage:
        return fields
    beside = {}
    for name in _BESIDE_USAGE:
        # The usage counts without these.
        with suppress(Exception):
            if _is_told_by(kind, name):
                beside[name] = getattr(value, name, None)
    return {**fields, **beside, **usage}


def _usage_told(value: object, name: str) -> object:
    try:
        return getattr(value, name, None)
    except Exception as error:
        raise unreadable(name, error) from error


def _is_told_by(kind: type, name: str) -> bool:
    """Return whether a class has ``name`` as a property, a slot or the like, not as a method.

    The class is asked, for a mock has whatever it is asked for.
    """
    found = getattr(kind, name, None)
    return hasattr(found, "__get__") and not callable(found)


def unreadable(what: str, error: Exception) -> UsageError:
    """Say that an object raised when it was read: by its class, for its words may be anything."""
    return UsageError(f"{what} can't be read: it raised {type(error).__name__}")


def text_of(value: object) -> str:
    """Return a text or an enum's text; empty where it is neither."""
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str) else value.name
    return value if isinstance(value, str) else ""


def items_of(value: object) -> list[Any] | tuple[Any, ...]:
    """Return a list's items; none where it is no list."""
    return value if isinstance(value, list | tuple) else ()
