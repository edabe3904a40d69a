"""Prices of our own over the catalogue's: its known faults, negotiated rates, models that are free.

A document (docs/metering.md has its schema) is parsed whole, and every mistake in it is reported
at once. What an entry names wins over the catalogue, and a later entry over an earlier one.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from spendfuse.errors import InputError, SettingsError
from spendfuse.metering.catalogue import PER, Rate, Rates, midnight
from spendfuse.metering.names import provider_id
from spendfuse.money import decimal_usd

SCHEMA = 1
MAX_USD = Decimal(1_000_000)
"""For a million tokens: above it, a price was meant for something else."""
PROCESSING = ("batch", "flex", "priority", "fast")
_KEYS = {
    "provider", "models", "from", "until", "usd", "processing", "discount_percent",
    "surcharge_percent", "free", "like", "source", "note",
}  # fmt: skip
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Override:
    """What one entry says about some models of one provider."""

    provider: str
    models: tuple[str, ...]
    """Lower-case names or patterns with ``*``."""
    from_day: date | None = None
    until_day: date | None = None
    """The first day on which it holds no more."""
    rates: Rates = field(default_factory=dict)
    processing: Mapping[str, Decimal | Rates] = field(default_factory=dict)
    """By kind of processing: a factor on the standard prices, or prices."""
    discount_percent: Decimal = Decimal(0)
    """Off all prices."""
    surcharge_percent: Decimal = Decimal(0)
    """On the prices of tokens: what a region costs more."""
    is_free: bool = False
    like: tuple[str, str] | None = None
    """(provider, model) whose prices these models have."""
    source: str = ""

    def names(self, model: str) -> bool:
        return _pattern(self.models).fullmatch(model) is not None

    def holds(self, at: datetime) -> bool:
        begun = self.from_day is None or at >= midnight(self.from_day)
        return begun and not self.ended(at)

    def ended(self, at: datetime) -> bool:
        return self.until_day is not None and at >= midnight(self.until_day)

    def bears_on(self, processing: str) -> bool:
        """Return whether it changes a price in this way of processing."""
        share = self.discount_percent or self.surcharge_percent
        return self.defines or bool(share) or processing in self.processing

    @property
    def defines(self) -> bool:
        """Whether it prices a model that the catalogue has never heard of."""
        return self.is_free or self.like is not None or bool(self.rates)


@lru_cache(maxsize=4096)
def _pattern(models: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, models)))


@dataclass(frozen=True, slots=True)
class Overrides:
    version: str
    entries: tuple[Override, ...]
    document: Mapping[str, Any]
    """As it was read, for the snapshot that travels to a Lambda."""


def parsed(document: object, *, name: str) -> Overrides:
    """Read an overrides document.

    Args:
        document: what YAML or JSON gave.
        name: of the file, for the error.

    Raises:
        SettingsError: every mistake, a line each, with its path and what to write.
    """
    mistakes: list[str] = []
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise SettingsError(f"{name}: expected an object with schema: {SCHEMA}, and prices: a list")
    raw = document.get("prices")
    if not isinstance(raw, list):
        raise SettingsError(f"{name}: prices: expected a list, got {type(raw).__name__}")
    mistakes += [
        f"{key}: unknown; there are schema, version and prices"
        for key in sorted({str(key) for key in document} - {"schema", "version", "prices"})
    ]
    entries = []
    for index, each in enumerate(raw):
        entry = _Entry(each, f"prices[{index}]")
        entries += entry.overrides()
        mistakes += entry.mistakes
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise SettingsError("\n".join([f"{count} in {name}:", *(f"  {each}" for each in mistakes)]))
    return Overrides(str(document.get("version") or ""), tuple(entries), _plain(document))


class _Entry:
    """Reads one entry and collects its mistakes."""

    def __init__(self, raw: object, path: str) -> None:
        self.raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        self.path = path
        self.mistakes: list[str] = []
        if not isinstance(raw, Mapping):
            self._wrong("", f"expected an object, got {raw!r}")

    def overrides(self) -> list[Override]:
        """Return what the entry says: one override, or one for each model beside a price."""
        if self.mistakes:
            return []
        for key in sorted({str(key) for key in self.raw} - _KEYS):
            self._wrong(key, f"unknown; there are {', '.join(sorted(_KEYS))}")
        base = Override(
            provider=provider_id(self._text("provider")),
            models=(),
            from_day=self._day("from"),
            until_day=self._day("until"),
            processing=self._processing(),
            discount_percent=self._discount(),
            surcharge_percent=self._percent("surcharge_percent"),
            is_free=self._flag("free"),
            like=self._like(),
            source=str(self.raw.get("source", "")),
        )
        result = [replace(base, models=names, rates=rates) for names, rates in self._priced()]
        for each in result[:1]:
            self._cross_check(each)
        return result

    def _priced(self) -> list[tuple[tuple[str, ...], Rates]]:
        """Return the names, with their prices."""
        models = self.raw.get("models")
        if not isinstance(models, Mapping):
            return [(self._models(), self._rates("usd", self.raw.get("usd", {})))]
        if not models or "usd" in self.raw:
            self._wrong("models", "either names with a price each, or a list of names beside usd")
        return [
            ((str(name).strip().lower(),), self._rates(f"models.{name}", usd))
            for name, usd in models.items()
        ]

    def _cross_check(self, override: Override) -> None:
        share = override.discount_percent or override.surcharge_percent
        if not (override.defines or override.processing or share):
            what = "usd, processing, discount_percent, surcharge_percent, free or like"
            self._wrong("", f"changes nothing; add {what}")
        if override.is_free and (override.rates or override.processing or override.like or share):
            self._wrong("free", "a free model has no other price; keep free or the rest")
        if override.from_day and override.until_day and override.until_day <= override.from_day:
            self._wrong("until", f"{override.until_day} must be after from, {override.from_day}")

    def _wrong(self, key: str, what: str) -> None:
        self.mistakes.append(f"{self.path}{'.' if key else ''}{key}: {what}")

    def _text(self, key: str) -> str:
        value = self.raw.get(key)
        if not isinstance(value, str) or not value.strip():
            self._wrong(key, f"expected a text such as openai, got {value!r}")
            return ""
        return value.strip().lower()

    def _models(self) -> tuple[str, ...]:
        value = self.raw.get("models")
        names = value if isinstance(value, list) else []
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            self._wrong("models", f'expected a list such as ["gpt-4o", "gpt-4o-*"], got {value!r}')
            return ()
        return tuple(name.strip().lower() for name in names)

    def _day(self, key: str) -> date | None:
        value = self.raw.get(key)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        try:
            return None if value is None else date.fromisoformat(str(value))
        except ValueError:
            self._wrong(key, f"expected a day such as 2026-11-22, got {value!r}")
            return None

    def _flag(self, key: str) -> bool:
        value = self.raw.get(key, False)
        if not isinstance(value, bool):
            self._wrong(key, f"expected true or false, got {value!r}")
        return value is True

    def _discount(self) -> Decimal:
        percent = self._percent("discount_percent")
        if percent >= _HUNDRED:
            self._wrong("discount_percent", f"must be below 100, got {percent}; or set free: true")
        return percent

    def _like(self) -> tuple[str, str] | None:
        value = self.raw.get("like")
        if value is None:
            return None
        provider, slash, model = value.partition("/") if isinstance(value, str) else ("", "", "")
        if not (provider and slash and model):
            self._wrong("like", f"expected provider/model, such as openai/gpt-4o, got {value!r}")
        return provider.lower(), model.lower()

    def _processing(self) -> dict[str, Decimal | Rates]:
        value = self.raw.get("processing", {})
        if not isinstance(value, Mapping):
            self._wrong("processing", f"expected an object such as {{batch: 0.5}}, got {value!r}")
            return {}
        result: dict[str, Decimal | Rates] = {}
        for kind, what in value.items():
            key = f"processing.{kind}"
            if kind not in PROCESSING:
                self._wrong(key, f"unknown; there are {', '.join(PROCESSING)}")
            elif isinstance(what, Mapping):
                result[kind] = self._rates(key, what)
            else:
                result[kind] = self._amount(key, what)
        return result

    def _rates(self, key: str, raw: object) -> Rates:
        if not isinstance(raw, Mapping):
            self._wrong(key, f"expected prices by unit, got {raw!r}")
            return {}
        rates = {}
        for unit, value in raw.items():
            if unit not in PER:
                self._wrong(f"{key}.{unit}", f"unknown unit; there are {', '.join(PER)}")
            elif isinstance(value, Mapping):
                rates[unit] = self._tiered(f"{key}.{unit}", value)
            else:
                rates[unit] = Rate(self._amount(f"{key}.{unit}", value))
        return rates

    def _tiered(self, key: str, raw: Mapping[Any, Any]) -> Rate:
        above = raw.get("above")
        if set(raw) != {"base", "above"} or not isinstance(above, Mapping):
            self._wrong(key, "expected {base: 3, above: {200000: 6}}, or a number")
            return Rate(Decimal(0))
        tiers = []
        for start, usd in above.items():
            # JSON's keys are text.
            if not str(start).isdigit():
                self._wrong(f"{key}.above", f"expected a number of input tokens, got {start!r}")
            else:
                tiers.append((int(start), self._amount(f"{key}.above.{start}", usd)))
        return Rate(self._amount(f"{key}.base", raw["base"]), tuple(sorted(tiers)))

    def _percent(self, key: str) -> Decimal:
        return self._amount(key, self.raw.get(key, 0))

    def _amount(self, key: str, value: object) -> Decimal:
        try:
            amount = decimal_usd(value)
        except InputError as error:
            self._wrong(key, str(error))
            return Decimal(0)
        if not 0 <= amount <= MAX_USD:
            self._wrong(key, f"must be from 0 to {MAX_USD}, got {amount}")
        return amount


def _plain(value: Any) -> Any:
    """Return the document with days as text, so that JSON takes it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def days_of(entries: Iterable[Override]) -> Iterator[date]:
    """Yield the days on which one of the entries begins or ceases to hold."""
    for entry in entries:
        if entry.from_day:
            yield entry.from_day
        if entry.until_day:
            yield entry.until_day
