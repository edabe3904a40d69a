"""Which prices change: between two days, or by overrides of somebody's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

from spendfuse.metering import names
from spendfuse.metering.catalogue import midnight
from spendfuse.metering.lookup import Turns, UnknownModelError
from spendfuse.metering.overrides import Override
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.price_diff import RateDiff, price_diffs
from spendfuse.metering.price_history import (
    Era,
    Hours,
    Prices,
    all_turns,
    eras,
    joined_hours,
    slice_hours,
)

Diffs = Mapping[str, Sequence[RateDiff]]
"""By way of processing."""


class Change(NamedTuple):
    """How one model's prices differ, from a day on, and until one where that is known."""

    provider: str
    model: str
    from_day: date | None
    until_day: date | None
    hours: tuple[Hours, ...]
    diffs: Diffs


def changes_between(
    book: PriceBook, begin: datetime, end: datetime, provider: str | None = None
) -> Iterator[Change]:
    """Yield each change of each model's prices after ``begin`` and up to ``end``, by name."""
    for seller, model in book.names(provider):
        days = book.turns(seller, model, at=begin).days
        if any(begin < midnight(day) <= end for day in days):
            turns = all_turns(book, seller, model, begin)
            for before, after in pairwise(eras(book, seller, model, turns)):
                if after.from_day and begin < midnight(after.from_day) <= end:
                    dated = after._replace(until_day=None)
                    yield from _changes(seller, model, turns, before, dated)


def changes_by_overrides(
    plain: PriceBook,
    own: PriceBook,
    entries: Sequence[Override],
    at: datetime,
    provider: str | None = None,
) -> Iterator[Change]:
    """Yield where a book with overrides has other prices than one without, at any time.

    Args:
        plain: the book without them.
        own: the book with them.
        entries: the overrides, which tell the models to look at.
        at: when to begin to look for days of change.
        provider: only this one's models.
    """
    for seller, model in _named(own, entries, provider):
        turns = _joined(plain, own, seller, model, at)
        found: list[Change] = []
        for before, after in zip(
            _known_eras(plain, seller, model, turns), eras(own, seller, model, turns), strict=True
        ):
            found += _changes(seller, model, turns, before, after)
        yield from _merged(found)


def unlisted_patterns(book: PriceBook, entries: Sequence[Override]) -> list[tuple[str, str]]:
    """Return (provider, pattern) of all that is no listed model's name.

    They may still be names that somebody writes: dated or regional ones.
    """
    listed = book.names()
    return [
        (entry.provider, pattern)
        for entry in entries
        for pattern in entry.models
        if not any(_touches(entry, [pattern], *each) for each in listed)
    ]


def _named(
    book: PriceBook, entries: Iterable[Override], provider: str | None
) -> Iterator[tuple[str, str]]:
    entries = tuple(entries)
    plain = {
        (entry.provider, name)
        for entry in entries
        for name in entry.models
        if entry.provider != "*" and not names.is_pattern(name)
    }
    wanted = None if provider is None else book.provider_id(provider)
    for seller, model in sorted({*book.names(), *plain}):
        if wanted in {None, seller} and any(
            _touches(each, each.models, seller, model) for each in entries
        ):
            yield seller, model


def _touches(entry: Override, patterns: Sequence[str], provider: str, model: str) -> bool:
    if entry.provider not in {provider, "*"}:
        return False
    only = entry if patterns is entry.models else Override(entry.provider, tuple(patterns))
    return any(map(only.names, names.spellings(provider, model)))


def _joined(plain: PriceBook, own: PriceBook, provider: str, model: str, at: datetime) -> Turns:
    theirs = all_turns(own, provider, model, at)
    try:
        ours = all_turns(plain, provider, model, at)
    except UnknownModelError:
        return theirs
    return Turns(ours.days | theirs.days, tuple(sorted({*ours.times, *theirs.times})))


def _known_eras(book: PriceBook, provider: str, model: str, turns: Turns) -> list[Era]:
    try:
        return eras(book, provider, model, turns)
    except UnknownModelError:
        nothing: tuple[Prices, ...] = ({},) * max(1, len(turns.times))
        return [Era(None, None, nothing)] * (len(turns.days) + 1)


def _changes(provider: str, model: str, turns: Turns, before: Era, after: Era) -> Iterator[Change]:
    """Yield the changes from one era to the other, each once with all of its hours."""
    hours = slice_hours(turns.times)
    kinds: list[tuple[Diffs, list[Hours]]] = []
    for index, (old, new) in enumerate(zip(before.slices, after.slices, strict=True)):
        diffs: Diffs = price_diffs(old, new)
        same = next((each for each in kinds if each[0] == diffs), None)
        if same is None:
            same = (diffs, [])
            kinds.append(same)
        same[1].extend(hours[index : index + 1])
    for diffs, at in kinds:
        if diffs:
            when = () if len(kinds) == 1 else joined_hours(at)
            yield Change(provider, model, after.from_day, after.until_day, when, diffs)


def _merged(found: Sequence[Change]) -> list[Change]:
    merged: list[Change] = []
    for change in found:
        last = merged[-1] if merged else None
        if last and last.until_day == change.from_day and last[4:] == change[4:]:
            merged[-1] = last._replace(until_day=change.until_day)
        else:
            merged.append(change)
    return merged
