"""The price book's plain values: who sells which model, and its price rows.

Made from ``genai-prices`` where that is installed, or read from the JSON snapshot that travels in
a Lambda's asset. Prices are dollars per ``PER[unit]`` units, as the providers list them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from spendfuse.metering.names import BEFORE
from spendfuse.metering.usage import FIELDS

PER: Mapping[str, int] = dict.fromkeys(FIELDS, 1_000_000) | {
    "audio_seconds": 3_600,
    "pages": 1_000,
    "annotated_pages": 1_000,
    "web_searches": 1_000,
    "file_searches": 1_000,
    "requests": 1_000,
}
"""How many units a listed price is for: dollars per million tokens, per hour, per thousand."""

Clause = tuple[str, Any]
"""How a model's names are told: ("equals", text), ("starts", text), ("ends", text),
("contains", text), ("regex", pattern), ("any", clauses) or ("all", clauses)."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A unit's price; above ``start`` input tokens the whole request has the tier's."""

    usd: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """Return the price of a request with so many input tokens."""
        return next((usd for start, usd in reversed(self.tiers) if input_tokens > start), self.usd)


Rates = Mapping[str, Rate]
"""A price by unit, which is the name of a field of ``Usage``."""


@dataclass(frozen=True, slots=True)
class Row:
    """Prices that hold from a day on, or for some hours of each day (both in UTC)."""

    rates: Rates
    from_day: date | None = None
    hours: tuple[time, time] | None = None
    """Begin and end; the end may be past midnight."""

    def holds(self, at: datetime) -> bool:
        if self.hours is not None:
            begin, end = self.hours
            now = at.astimezone(UTC).time()
            return begin <= now < end if begin <= end else now >= begin or now < end
        return self.from_day is None or at >= midnight(self.from_day)


@dataclass(frozen=True, slots=True)
class Variant:
    """Prices under a condition, such as ("processing", "batch") or ("service_tier", "flex")."""

    when: tuple[str, str]
    rates: Rates
    from_day: date | None = None


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    match: Clause
    rows: tuple[Row, ...]
    """The last row that holds wins; the first one where none does."""
    variants: tuple[Variant, ...] = ()
    context_window: int | None = field(default=None, compare=False)
    """Tokens of input and output together, where the catalogue knows; no part of a price."""


@dataclass(frozen=True, slots=True)
class Provider:
    id: str
    model_match: Clause | None
    fallbacks: tuple[str, ...]
    source: str
    models: Callable[[], tuple[Model, ...]]
    """A function, because most apps need two or three of fifty providers."""


@dataclass(frozen=True)
class Catalogue:
    version: str
    providers: tuple[Provider, ...]
    _by_id: dict[str, Provider] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_id.update((each.id, each) for each in self.providers)

    def provider(self, name: str) -> Provider | None:
        return self._by_id.get(name)

    def provider_of_model(self, model: str) -> Provider | None:
        """Return who sells a model of this name, where the name alone tells."""
        matching = (each for each in self.providers if each.model_match is not None)
        return next((each for each in matching if _is(each.model_match, model)), None)


def _is(clause: Clause | None, name: str) -> bool:
    return clause is not None and matches(clause, name)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def matches(clause: Clause, name: str, *, strictly: bool = False) -> bool:
    """Return whether a lower-case name is meant by the clause.

    Args:
        clause: from the catalogue.
        name: in lower case.
        strictly: what follows a "starts" or "contains" must look like a version of the same
            model. Else ``gpt-5-nano-ultra`` would be priced as ``gpt-5-nano``.
    """
    kind, what = clause
    if kind == "any":
        return any(matches(each, name, strictly=strictly) for each in what)
    if kind == "all":
        return all(matches(each, name, strictly=strictly) for each in what)
    return _TESTS[kind](name, what) and (not strictly or _same_model(kind, name, what))


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_SAME = re.compile(
    rf"""(?:[-_@:./\ ](?:
      20\d\d-{_MONTH}-{_DAY} | 20\d\d{_MONTH}{_DAY}(?:-v\d)? | v\d@20\d\d{_MONTH}{_DAY}
    | {_MONTH}-{_DAY} | {_MONTH}-20\d\d | {_MONTH}{_DAY} | 2[3-9]{_MONTH} | 00\d | v[01](?:\.\d)?
    | latest | preview | exp(?:erimental)? | beta | thinking | it | instruct | tuning | default
    | customtools | maas
    ) | :\d+k?){{0,6}}""",
    re.VERBOSE,
)
"""What may follow a model's name and leave it the same model: dates, versions, channels.

Words that name another model (mini, lite, pro, max, fast, audio, image) are not among them, nor
are numbers that are no date: they may be the next version.
"""
_BEGUN = re.compile(r"(?:[-@](?:0|20\d{2,6}-?)|[-_@:./ ])$")
"""A date, or a separator, that the catalogue's name ends in the middle of."""


def _same_model(kind: str, name: str, what: str) -> bool:
    if kind in {"equals", "regex"}:
        return True
    before, _, after = name.partition(what)
    begun = _BEGUN.search(what) if after else None
    rest = begun[0] + after if begun else after
    return BEFORE.fullmatch(before) is not None and _SAME.fullmatch(rest) is not None


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__,
    "starts": str.startswith,
    "ends": str.endswith,
    "contains": str.__contains__,
    "regex": lambda name, pattern: _pattern(pattern).search(name) is not None,
}


def span(rows: tuple[Row, ...], at: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the interval around ``at`` in which the same row holds; None is without an end."""
    moments = sorted(_boundaries(rows, at))
    begin = max((each for each in moments if each <= at), default=None)
    return begin, min((each for each in moments if each > at), default=None)


def _boundaries(rows: tuple[Row, ...], at: datetime) -> Iterator[datetime]:
    today = at.astimezone(UTC).date()
    for row in rows:
        if row.from_day is not None:
            yield midnight(row.from_day)
        for moment in row.hours or ():
            for days in (-1, 0, 1):
                yield datetime.combine(today + timedelta(days=days), moment, UTC)
