"""What does a model cost, at a time, in a way of processing? Never $0 for want of an answer.

A price is found once per model, way of processing and validity, compiled, and kept: a warm look-up
is one dictionary access and two comparisons. What is kept is bounded.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from spendfuse.errors import InputError, SettingsError
from spendfuse.metering import snapshot
from spendfuse.metering.catalogue import Catalogue
from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.lookup import Held, Lookup, Turns, UnknownModelError
from spendfuse.metering.overrides import Overrides, parsed
from spendfuse.metering.price import Cost, CostPart, Price, PriceError
from spendfuse.metering.usage import Usage

__all__ = ["Cost", "CostPart", "Price", "PriceBook", "PriceError", "UnknownModelError"]

BUILT_IN = Path(__file__).with_name("overrides.yaml")
MAX_KEPT = 4096
"""Prices, and names without one: above it, the oldest goes."""
_LONGEST = 2048
"""Of a provider's and a model's name: no ARN is longer, and what is would fill the memory."""
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_Key = tuple[str, str, str | None, bool]
_Value = TypeVar("_Value")


class PriceBook:
    """Prices of all models, from a catalogue and the overrides over it."""

    def __init__(self, catalogue: Catalogue, overrides: Sequence[Overrides] = ()) -> None:
        self.version = "+".join([catalogue.version, *(_version(each) for each in overrides)])
        self._catalogue = catalogue
        self._overrides = tuple(overrides)
        entries = [entry for each in overrides for entry in each.entries]
        self._lookup = Lookup(catalogue, entries, version=self.version)
        self._held: dict[_Key, Held] = {}
        self._unknown: dict[_Key, None] = {}
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        # A forked child would wait for ever for a thread that only its parent has.
        self._lock = threading.Lock()

    @classmethod
    def standard(cls, overrides: Path | None = None) -> PriceBook:
        """Return the installed genai-prices under our overrides, and under yours.

        Raises:
            SettingsError: the extra is not installed, or a file has mistakes; all of them.
        """
        try:
            # Here, because they load vendors, and a Lambda does without.
            from spendfuse.metering.genai_prices import genai_catalogue  # noqa: PLC0415
            from spendfuse.metering.yaml_file import overrides_in  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"the price book needs {error.name}; pip install 'spendfuse[prices]'"
            ) from error
        files = [BUILT_IN] if overrides is None else [BUILT_IN, overrides]
        return cls(genai_catalogue(), [overrides_in(each) for each in files])

    @classmethod
    def from_json(cls, text: str) -> PriceBook:
        """Return the book of a snapshot; needs the standard library alone."""
        raw = json.loads(text)
        overrides = [parsed(each, name="the snapshot") for each in raw["overrides"]]
        return cls(snapshot.catalogue_from(raw["catalogue"]), overrides)

    def to_json(self, providers: Sequence[str] = ("aws",)) -> str:
        """Return a snapshot of some providers' prices: the same text each time."""
        document = {
            "catalogue": snapshot.catalogue_json(self._catalogue, providers),
            "overrides": [each.document for each in self._overrides],
        }
        # In its own order: of the overrides, later ones win.
        return json.dumps(document)

    def price(
        self,
        provider: str,
        model: str,
        usage: Usage,
        *,
        at: datetime,
        tier: str | None = None,
        batch: bool = False,
    ) -> Cost:
        """Return what a usage costs.

        Args:
            provider: as the book, OpenTelemetry or litellm name it; "" where the model tells.
            model: an id, an ARN, a dated or a prefixed name.
            usage: what was used.
            at: when the call was made, with a zone: a price holds from its date.
            tier: flex, priority or fast; None and "default" are the standard price.
            batch: through the provider's batch interface.

        Raises:
            UnknownModelError: the book does not know the model.
            PriceError: it knows no price for this way of processing, or for a unit in use.
        """
        held = self._held.get((provider, model, tier, batch))
        try:
            holds = held is not None and held[0] <= at < held[1]
        except TypeError:  # no zone, which _find says better
            holds = False
        if held is None or not holds:
            held = self._find((provider, model, tier, batch), at)
        price = held[2]
        return Cost(price.nano_usd(usage), price, usage)

    def price_of(
        self,
        provider: str,
        model: str,
        *,
        at: datetime,
        tier: str | None = None,
        batch: bool = False,
    ) -> Price:
        """Return the price that holds at a time; arguments and errors as for ``price``."""
        return self._find((provider, model, tier, batch), at).price

    @property
    def overrides(self) -> tuple[Overrides, ...]:
        """The overrides over the catalogue, weakest first."""
        return self._overrides

    def provider_id(self, name: str) -> str:
        """Return the book's id for a provider's name; a name it does not know, as it is."""
        return self._lookup.provider_id(name)

    def turns(self, provider: str, model: str, *, at: datetime) -> Turns:
        """Return when the model's prices may change, as far as the book knows them at a time."""
        return self._lookup.turns(provider, model, at=at)

    def names(self, provider: str | None = None) -> list[tuple[str, str]]:
        """Return (provider, model) of all that is known by name; patterns are left out."""
        return self._lookup.names(provider)

    def _find(self, key: _Key, at: datetime) -> Held:
        if at.tzinfo is None:
            raise InputError(f"the time {at.isoformat()} has no time zone")
        if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
            raise InputError(f"the time {at.isoformat()} is no time of a call")
        provider, model, tier, batch = key
        if len(provider) + len(model) > _LONGEST:
            raise self._lookup.unknown(provider[:_LONGEST], model)
        with self._lock:
            if key in self._unknown:
                raise self._lookup.unknown(provider, model)
            try:
                held = self._lookup.held(provider, model, at=at, tier=tier, batch=batch)
            except UnknownModelError:
                _keep(self._unknown, key, None)
                raise
            _keep(self._held, key, held)
            return held


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if key not in kept and len(kept) >= MAX_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value


def _version(overrides: Overrides) -> str:
    if overrides.version:
        return overrides.version
    text = json.dumps(overrides.document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
