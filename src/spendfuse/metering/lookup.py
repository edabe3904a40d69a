"""From what an app calls a model to the price that holds: catalogue and overrides, joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from spendfuse.errors import InputError
from spendfuse.metering import names
from spendfuse.metering.catalogue import Catalogue, Model, Provider, Row, matches, midnight, span
from spendfuse.metering.overrides import Override, days_of
from spendfuse.metering.price import Price, PriceError, compiled
from spendfuse.metering.processing import processed, processing_of, row_at

_MAX_LIKE = 4
_BEGIN, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_SHOWN = 200
_OPENAI = (
    "ft:",
    "text-embedding-",
    "chatgpt-",
    "codex-",
    "computer-use",
    "davinci-",
    "babbage-",
)
"""Names that only OpenAI has, beside those that the catalogue tells it by."""
_NOBODY = frozenset({"", "litellm", "litellm_proxy"})
"""Providers that say nothing about who sells the model."""
_MAKERS = frozenset({"anthropic", "cohere", "deepseek", "google", "meta", "mistral", "openai"})


class UnknownModelError(InputError):
    """The book does not know the model. The nearest names are looked for when somebody asks."""

    def __init__(self, provider: str, model: str, known: Callable[[], Sequence[str]]) -> None:
        super().__init__(provider, model)
        self.provider = provider
        self.model = model
        self._known = known

    @property
    def nearest(self) -> tuple[str, ...]:
        """Up to three names that the book knows and that look alike."""
        return names.nearest(self.model[:_SHOWN], self._known())

    def __str__(self) -> str:
        of = f" of {self.provider}" if self.provider else ""
        nearest = self.nearest
        like = f"; nearest: {', '.join(nearest)}" if nearest else ""
        return (
            f"the price book has no model {self.model[:_SHOWN]!r}{of}{like}. Write the provider's "
            "own name for it, or add it to your price overrides (docs/metering.md)"
        )


class Held(NamedTuple):
    """A price, and the interval in which it holds."""

    begin: datetime
    end: datetime
    price: Price


class Turns(NamedTuple):
    """When a model's prices may change: on which days, and at which times of every day."""

    days: frozenset[date]
    times: tuple[time, ...]


class Lookup:
    def __init__(self, catalogue: Catalogue, entries: Sequence[Override], *, version: str) -> None:
        self._catalogue = catalogue
        self._entries = tuple(entries)
        self._entries_of = {
            provider: tuple(each for each in entries if each.provider in {provider, "*"})
            for provider in {"*", *(each.provider for each in entries)}
        }
        self._version = version
        self._by_id: dict[str, dict[str, Model]] = {}

    def held(
        self, provider: str, model: str, *, at: datetime, tier: str | None, batch: bool
    ) -> Held:
        """Return the price that holds; errors as ``PriceBook.price`` has them."""
        processing = processing_of(tier, batch=batch)
        seller, name = self._seller(provider, model)
        like, spellings, entries = self._resolved(seller, name, at)
        held = self._priced(like, spellings, entries, processing=processing, at=at)
        if like == seller:
            return held
        # Whoever the prices are like: the bill is the seller's.
        return held._replace(price=replace(held.price, provider=seller))

    def turns(self, provider: str, model: str, *, at: datetime) -> Turns:
        """Return when the prices that a model has at a time may become others, or did."""
        provider, spellings, entries = self._resolved(*self._seller(provider, model), at)
        known = self._model(provider, spellings)
        if known is None and not any(each.defines for each in entries):
            raise self.unknown(provider, spellings[0])
        rows, variants = (known.rows, known.variants) if known else ((), ())
        begun = [row.from_day for row in rows] + [variant.from_day for variant in variants]
        days = {*days_of(entries), *filter(None, begun)}
        times = {moment for row in rows for moment in row.hours or ()}
        return Turns(frozenset(days), tuple(sorted(times)))

    def _resolved(
        self, seller: str, model: str, at: datetime
    ) -> tuple[str, tuple[str, ...], tuple[Override, ...]]:
        """Return whose prices hold, the names to try, and the overrides that name them, ever."""
        provider, name = seller, model
        entries: tuple[Override, ...] = ()
        for _ in range(_MAX_LIKE):
            spellings = tuple(names.spellings(provider, name))
            if not spellings:
                raise self.unknown(provider, name)
            # The entries of the name that was written come last: they win.
            here = self._matching(provider, spellings)
            entries = (*(each for each in here if each not in entries), *entries)
            like = next(
                (each.like for each in reversed(here) if each.like and each.holds(at)), None
            )
            if like is None:
                return provider, spellings, entries
            provider, name = self.provider_id(like[0]), like[1]
        raise PriceError(f"{model!r}: `like` in the price overrides goes round in circles")

    def names(self, provider: str | None) -> list[tuple[str, str]]:
        """Return (provider, model) of all that is known by name."""
        known = {
            (each.id, model.id) for each in self._catalogue.providers for model in each.models()
        }
        known |= {
            (entry.provider, name)
            for entry in self._entries
            for name in entry.models
            if entry.defines and not names.is_pattern(name)
        }
        wanted = None if provider is None else self.provider_id(provider)
        return sorted(each for each in known if wanted in {None, each[0]})

    def provider_id(self, name: str) -> str:
        """Return the book's id for a provider's name; a name it does not know, as it is."""
        wanted = names.provider_id(name)
        house = wanted if self._is_provider(wanted) else names.house(wanted)
        return house if self._is_provider(house) else wanted

    def unknown(self, provider: str, model: str) -> UnknownModelError:
        own = self.provider_id(provider)
        return UnknownModelError(own, model, lambda: self._near(own))

    def _near(self, provider: str) -> list[str]:
        seller = self._catalogue.provider(provider)
        makers = seller.fallbacks if seller else ()
        own = [name for each in (provider, *makers) if each for _, name in self.names(each)]
        return own or [name for _, name in self.names(None)]

    def _seller(self, provider: str, model: str) -> tuple[str, str]:
        """Return the provider's id and the model's name, as far as the two tell."""
        wanted = self.provider_id(provider)
        name = model.strip().lower()
        if wanted in _MAKERS and names.looks_like_bedrock(name):
            # The maker's SDK, pointed at Bedrock.
            return "aws", name
        if wanted not in _NOBODY:
            return wanted, name
        maker = self._seller_of(name)
        if maker is not None and self._has(maker, tuple(names.spellings(maker, name))):
            # Before the overrides: resellers have models of the same name, at other prices.
            return maker, name
        split = names.split_prefix(name)
        if split is not None and self._is_provider(split[0]):
            return split
        own = [each.provider for each in self._entries if each.defines and each.names(name)]
        if own:
            return next((each for each in own if each != "*"), "*"), name
        if maker is None:
            raise self.unknown("", model)
        return maker, name

    def _has(self, provider: str, spellings: Sequence[str]) -> bool:
        entries = self._matching(provider, spellings)
        return any(each.defines for each in entries) or self._model(provider, spellings) is not None

    def _seller_of(self, name: str) -> str | None:
        """Return who makes or sells all models of such names."""
        if names.looks_like_bedrock(name):
            return "aws"
        if name.startswith(_OPENAI):
            return "openai"
        maker = self._catalogue.provider_of_model(name)
        return maker.id if maker else None

    def _is_provider(self, name: str) -> bool:
        return self._catalogue.provider(name) is not None or name in self._entries_of

    def _matching(self, provider: str, spellings: Sequence[str]) -> tuple[Override, ...]:
        entries = self._entries_of.get(provider, self._entries_of["*"])
        return tuple(each for each in entries if any(map(each.names, spellings)))

    def _priced(
        self,
        provider: str,
        spellings: Sequence[str],
        entries: tuple[Override, ...],
        *,
        processing: str,
        at: datetime,
    ) -> Held:
        now = [each for each in entries if each.holds(at)]
        bearing = [each for each in entries if each.bears_on(processing)]
        model = self._model(provider, spellings)
        if model is None:
            model = self._defined(provider, spellings, entries, at)
        row = row_at(model, at)
        sources = [each.source for each in bearing if each.source and each.holds(at)]
        seller = self._catalogue.provider(provider)
        turned = [row.from_day, *(each.from_day for each in bearing if each.holds(at))]
        turned += [each.until_day for each in bearing if each.ended(at)]
        said = [each.is_free for each in now if each.is_free or each.rates]
        is_free = bool(said) and said[-1]
        price = compiled(
            {} if is_free else processed(model, row, now, processing, at),
            provider=provider,
            model=model.id,
            version=self._version,
            source=sources[-1] if sources else seller.source if seller else "",
            valid_from=max(filter(None, turned), default=None),
            tier=processing,
            is_free=is_free,
            context_window=model.context_window,
        )
        return Held(*_interval(model, entries, at), price)

    def _defined(
        self, provider: str, spellings: Sequence[str], entries: Sequence[Override], at: datetime
    ) -> Model:
        """Return a model that the overrides alone know, by the name that they know."""
        defining = [each for each in entries if each.defines]
        name = next((each for each in spellings if any(e.names(each) for e in defining)), None)
        if name is None and any(each.like and each.holds(at) for each in entries):
            target = f"{provider}/{spellings[0]}"
            raise PriceError(f"`like: {target}` in the price overrides: the book has no such model")
        if name is None:
            raise self.unknown(provider, spellings[0])
        if not any(each.holds(at) for each in defining):
            raise PriceError(f"the price overrides have no price for {name} on {at.date()}")
        return Model(name, ("equals", name), (Row({}),))

    def _model(self, provider: str, spellings: Sequence[str]) -> Model | None:
        seller = self._catalogue.provider(provider)
        if seller is None:
            return None
        own = self._named(seller, spellings)
        if own is not None:
            return own
        makers = filter(None, map(self._catalogue.provider, seller.fallbacks))
        found = next(filter(None, (self._named(maker, spellings) for maker in makers)), None)
        # How a reseller processes is its own affair.
        return None if found is None else replace(found, variants=())

    def _named(self, seller: Provider, spellings: Sequence[str]) -> Model | None:
        """Return the seller's model of this name: of this id, or what answers to the name."""
        if seller.id not in self._by_id:
            self._by_id[seller.id] = {each.id.lower(): each for each in reversed(seller.models())}
        by_id = self._by_id[seller.id]
        for spelling in spellings:
            if spelling in by_id:
                return by_id[spelling]
            for model in seller.models():
                if matches(model.match, spelling, strictly=True):
                    return model
        return None


def _interval(model: Model, entries: Sequence[Override], at: datetime) -> tuple[datetime, datetime]:
    """Return ``[begin, end)`` around ``at`` in which nothing about the price changes."""
    days = [*days_of(entries), *(each.from_day for each in model.variants if each.from_day)]
    moments = [midnight(day) for day in days] + [each for each in span(model.rows, at) if each]
    return (
        max((each for each in moments if each <= at), default=_BEGIN),
        min((each for each in moments if each > at), default=_END),
    )
