"""Who and what a call is for: attributes that hold for everything called within.

Attributes are texts that budgets match on; fields are facts about the call that reports read
(chunks retrieved, a quality score). Both travel by contextvars, so they follow async tasks and
never leak between requests.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from spendfuse.metering.listening import Listener

logger = logging.getLogger(__name__)

MAX_ATTRIBUTE_BYTES = 256
MAX_ATTRIBUTES = 50
"""Both as the ledger reads them: docs/pack.schema.json."""
_DIGEST_CHARACTERS = 16
# Four bytes a character at most, so that these need no counting.
_SURELY_SHORT = MAX_ATTRIBUTE_BYTES // 4

NAMED = frozenset(
    {
        "user",
        "organisation",
        "department",
        "team",
        "project",
        "environment",
        "feature",
        "query_type",
        "endpoint",
        "key_id",
    }
)
"""Attributes whatever their type: many apps' user ids are numbers."""

Scalar = str | int | float | bool | None


class Attribution(NamedTuple):
    attributes: Mapping[str, str]
    fields: Mapping[str, Scalar]
    listeners: tuple[Listener, ...] = ()
    """Who hears of the records of the calls that are made here: see ``listening``."""


_NOTHING: Mapping[str, str] = MappingProxyType({})
NOBODY = Attribution(_NOTHING, MappingProxyType({}))
_current: ContextVar[Attribution] = ContextVar("spendfuse_attribution", default=NOBODY)


def current_attribution() -> Attribution:
    """Return what the calls made here are for."""
    return _current.get()


def enter(attribution: Attribution) -> Token[Attribution]:
    """Let the calls made here be for ``attribution``, until ``leave``."""
    return _current.set(attribution)


def leave(token: Token[Attribution]) -> None:
    # A generator that a thread pool takes item by item ends in another context than it began
    # in: there is nothing to undo, and an error would break somebody's stream.
    with suppress(ValueError):
        _current.reset(token)


@contextmanager
def attributed(
    *,
    user: str | None = None,
    organisation: str | None = None,
    department: str | None = None,
    team: str | None = None,
    project: str | None = None,
    environment: str | None = None,
    feature: str | None = None,
    query_type: str | None = None,
    **extra: Scalar,
) -> Iterator[None]:
    """Attribute every call made inside to these; what is not named stays as it was outside.

    Extra texts become attributes too; extra numbers become fields of the record. A value above
    256 bytes is cut, with a hash of the whole at its end, so that two long ids stay apart.

    Example:
        >>> with attributed(user="u1", team="search", rag_chunks_used=4):
        ...     current_attribution().attributes["team"]
        'search'
    """
    named: dict[str, Scalar] = {
        "user": user,
        "organisation": organisation,
        "department": department,
        "team": team,
        "project": project,
        "environment": environment,
        "feature": feature,
        "query_type": query_type,
    }
    token = enter(extended(_current.get(), named | extra))
    try:
        yield
    finally:
        leave(token)


def extended(base: Attribution, values: Mapping[str, Scalar]) -> Attribution:
    """Return ``base`` with ``values`` on top; None and empty texts leave a value as it was."""
    # This runs once a call: most values are few, short and plain.
    attributes = dict(base.attributes) if base.attributes else {}
    fields = dict(base.fields) if base.fields else {}
    for name, value in values.items():
        if len(name) > _SURELY_SHORT:
            name = attribute_text(name)  # noqa: PLW2901
        if isinstance(value, str):
            if len(value) > _SURELY_SHORT or not value.isascii():
                value = attribute_text(value)  # noqa: PLW2901
            if value:
                attributes[name] = value
        elif value is not None:
            _put_other(attributes, fields, name, value)
    if len(attributes) > MAX_ATTRIBUTES or len(fields) > MAX_ATTRIBUTES:
        return Attribution(_bounded(attributes), _bounded(fields), base.listeners)
    return Attribution(attributes, fields, base.listeners)


def _put_other(
    attributes: dict[str, str], fields: dict[str, Scalar], name: str, value: object
) -> None:
    """Put what is no text: a user's number is the user all the same."""
    if name in NAMED:
        attributes[name] = attribute_text(value)
    elif isinstance(value, (int, float)) and math.isfinite(value):
        fields[name] = value


_Value = TypeVar("_Value", bound=Scalar)


def _bounded(values: dict[str, _Value]) -> dict[str, _Value]:
    _warn_of_many()
    kept = sorted(values, key=lambda name: name not in NAMED)[:MAX_ATTRIBUTES]
    return {name: values[name] for name in kept}


@cache
def _warn_of_many() -> None:
    logger.warning(
        "a call has more than %d attributes or fields; the last ones are left out (logged once)",
        MAX_ATTRIBUTES,
    )


def attribute_text(value: object) -> str:
    """Return ``value`` as text that the ledger takes: at most 256 bytes of valid UTF-8.

    What is longer keeps its beginning and ends in a hash of the whole.
    """
    text = value if isinstance(value, str) else _str(value)
    if len(text) <= _SURELY_SHORT and text.isascii():
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_ATTRIBUTE_BYTES:
        return raw.decode()
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_CHARACTERS]
    kept = raw[: MAX_ATTRIBUTE_BYTES - _DIGEST_CHARACTERS - 1].decode("utf-8", "ignore")
    return f"{kept}~{digest}"


def _str(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 (a value of the app's own, in the app's own request)
        return type(value).__name__
