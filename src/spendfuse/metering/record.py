"""The record of one LLM call: what sinks are given, and its one JSON shape.

The same object stands in a pack (docs/pack.schema.json) and on a line of JSONL, where the cost
in dollars is added for people.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from spendfuse.clock import utc_text
from spendfuse.metering.attribution import MAX_ATTRIBUTES, Scalar, attribute_text
from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.usage import NO_USAGE, Usage
from spendfuse.money import usd_text

Status = Literal["ok", "error", "cancelled"]
_NO_FIELDS: Mapping[str, Scalar] = MappingProxyType({})
_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class Record(NamedTuple):
    """One call, priced."""

    id: str
    at: datetime
    provider: str
    """Empty when neither the caller nor the price book could tell."""
    model: str
    usage: Usage = NO_USAGE
    cost_nano_usd: int | None = None
    """None when there is no price: counted as unpriced, never as $0."""
    attributes: Mapping[str, str] = _NO_ATTRIBUTES
    fields: Mapping[str, Scalar] = _NO_FIELDS
    price_version: str = ""
    latency_ms: int | None = None
    status: Status = "ok"
    error_type: str | None = None
    """The error's class, never its text: messages may hold prompts."""
    cached: bool = False
    """Answered from the app's own cache: nothing was sent to the provider."""
    problem: str | None = None
    """Why there is no price, for people."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as it stands in a pack; fields are texts among the attributes."""
        attributes = dict(self.attributes)
        for name, value in self.fields.items():
            if len(attributes) >= MAX_ATTRIBUTES:
                break
            attributes.setdefault(name, attribute_text(value))
        return self._shared(attributes)

    def to_line(self) -> dict[str, Any]:
        """Return the record for a line of JSONL: fields keep their types, dollars are text."""
        line = self._shared(dict(self.attributes))
        nano = self.cost_nano_usd
        line["cost_usd"] = None if nano is None else usd_text(nano)
        line["fields"] = dict(self.fields)
        if self.problem:
            line["problem"] = self.problem
        return line

    def _shared(self, attributes: dict[str, str]) -> dict[str, Any]:
        return {
            "id": self.id,
            "at": utc_text(self.at),
            "provider": self.provider,
            "model": self.model,
            "attributes": attributes,
            "tokens": self.usage.counts(),
            "cost_nano_usd": self.cost_nano_usd,
            "price_version": self.price_version,
            "latency_ms": self.latency_ms,
            "status": self.status,
            "error_type": self.error_type,
            "cached": self.cached,
        }


class RecordIds:
    """Makes ids that are unique across processes, forks included, in well under a microsecond."""

    def __init__(self) -> None:
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        # A forked child would otherwise go on with its parent's numbers.
        self._prefix = secrets.token_hex(10)
        self._numbers = itertools.count()

    def __call__(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"
