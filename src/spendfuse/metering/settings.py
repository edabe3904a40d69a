"""A tracker from the environment: the same few variables in every app."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import cast

from spendfuse.errors import InputError, SettingsError
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.privacy import Pseudonyms
from spendfuse.metering.sinks import Wiring, open_sinks, sink_specs
from spendfuse.metering.tracker import CostTracker, UnknownModels
from spendfuse.money import decimal_usd, nano_usd

VARIABLES: Mapping[str, str] = {
    "SPENDFUSE_SINKS": "where records go, such as jsonl:usage,print",
    "SPENDFUSE_PRICES": "a file of price overrides",
    "SPENDFUSE_UNKNOWN_MODELS": "raise or unpriced",
    "SPENDFUSE_WARN_ABOVE_USD": "log a warning for every call that costs more, such as 0.05",
    "SPENDFUSE_PSEUDONYM_KEY_FILE": "a file with the key that user ids are replaced with",
    "SPENDFUSE_ATTRIBUTES": "attributes of every call, such as environment=prod,team=search",
}
"""All that is read, and what each is for; docs/metering.md has them."""


def tracker_from_env(environ: Mapping[str, str], *, wiring: Wiring | None = None) -> CostTracker:
    """Return a tracker as the environment asks for.

    Args:
        environ: usually ``os.environ``.
        wiring: clients and streams of the app's own, for the sinks.

    Raises:
        SettingsError: every variable that is missing or wrong, a line each.
    """
    reader = _Reader(environ)
    attributes = reader.attributes()
    warn_above_usd = reader.dollars("SPENDFUSE_WARN_ABOVE_USD")
    unknown_models = reader.unknown_models()
    pseudonyms = reader.pseudonyms()
    specs = reader.sinks()
    prices = reader.prices()
    if reader.mistakes or prices is None:
        raise SettingsError("\n".join(reader.mistakes))
    wiring = wiring or Wiring()
    return CostTracker(
        prices=prices,
        sinks=open_sinks(specs, wiring),
        unknown_models=unknown_models,
        warn_above_usd=warn_above_usd,
        pseudonyms=pseudonyms,
        attributes=attributes,
        now=wiring.now,
    )


class _Reader:
    """Reads the variables and collects their mistakes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.mistakes: list[str] = []

    def sinks(self) -> list[object]:
        text = self._environ.get("SPENDFUSE_SINKS", "").strip()
        if not text:
            self.mistakes.append(
                "SPENDFUSE_SINKS is not set; say where records go, such as jsonl:usage,print"
            )
            return []
        try:
            return sink_specs(text)
        except SettingsError as error:
            said = str(error).removeprefix("SPENDFUSE_SINKS: ")
            self.mistakes.append(f"SPENDFUSE_SINKS: {said}")
            return []

    def prices(self) -> PriceBook | None:
        file = self._environ.get("SPENDFUSE_PRICES")
        try:
            return PriceBook.standard(Path(file) if file else None)
        except SettingsError as error:
            self.mistakes.append(f"SPENDFUSE_PRICES: {error}" if file else str(error))
            return None

    def dollars(self, name: str) -> Decimal | None:
        text = self._environ.get(name)
        if not text:
            return None
        try:
            amount = decimal_usd(text)
            nano_usd(amount)
        except InputError as error:
            self.mistakes.append(f"{name}: {error}")
            return None
        if amount < 0:
            self.mistakes.append(f"{name}: expected dollars from 0, such as 0.05, got {text!r}")
        return amount

    def unknown_models(self) -> UnknownModels:
        choice = self._environ.get("SPENDFUSE_UNKNOWN_MODELS") or "raise"
        if choice not in {"raise", "unpriced"}:
            self.mistakes.append(
                f"SPENDFUSE_UNKNOWN_MODELS: expected raise or unpriced, got {choice!r}"
            )
        return cast("UnknownModels", choice)

    def pseudonyms(self) -> Pseudonyms | None:
        name = self._environ.get("SPENDFUSE_PSEUDONYM_KEY_FILE")
        if not name:
            return None
        try:
            return Pseudonyms(Path(name).read_bytes().strip())
        except OSError as error:
            self.mistakes.append(
                f"SPENDFUSE_PSEUDONYM_KEY_FILE: {name} can't be read: {error.strerror}"
            )
        except SettingsError as error:
            self.mistakes.append(f"SPENDFUSE_PSEUDONYM_KEY_FILE: {error}")
        return None

    def attributes(self) -> dict[str, str]:
        attributes = {}
        for pair in filter(None, self._environ.get("SPENDFUSE_ATTRIBUTES", "").split(",")):
            name, equals, value = pair.partition("=")
            if not (name.strip() and equals and value.strip()):
                self.mistakes.append(
                    f"SPENDFUSE_ATTRIBUTES: expected name=value, such as team=search, got {pair!r}"
                )
            attributes[name.strip()] = value.strip()
        return attributes
