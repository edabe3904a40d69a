"""What ``spendfuse ledger show`` and ``top`` read: the counters as they are, one answer whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import click

from spendfuse.budget import Budget
from spendfuse.cli.budget_book import Book
from spendfuse.errors import InputError
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb_quarantine import DynamoQuarantine
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.series_state import SeriesState
from spendfuse.ledger.tally import ShareBy
from spendfuse.period import Period

MOST_KEYS = 5
MOST_WAITING = 1000
"""Rows that are counted one by one: each may have 300 KB."""


class Counted(NamedTuple):
    """What one budget has counted in one period."""

    budget: Budget
    period: Period
    limit_nano_usd: int
    """In force."""
    total: Delta
    keys: tuple[KeySpend, ...] | None
    """The dearest API keys; None where nobody asked."""


class Waiting(NamedTuple):
    """What today's quarantine holds."""

    records: int
    packs: int
    is_all: bool
    """False where there is more."""


class Figures(NamedTuple):
    """The ledger as it is now."""

    book: Book
    counted: tuple[Counted, ...]
    series: SeriesState
    waiting: Waiting


def shared_budget(book: Book, name: str | None) -> Budget:
    """Return the budget of that name, or the root.

    Raises:
        click.BadParameter: there is none, or it counts each value apart.
    """
    budget = book.limits.budgets[0] if name is None else book.budget(name)
    if budget.per is not None:
        raise click.BadParameter(
            f"{budget.name} counts each {budget.per} apart and has no total; see "
            f"`spendfuse budgets show {budget.name} --for VALUE`"
        )
    return budget


def periods(book: Book, name: str | None, key: str | None) -> list[tuple[Budget, Period]]:
    """Return the budgets to be shown, each with its period.

    Without a name these are all that have a total; with a key, all that have such a period.

    Raises:
        click.BadParameter: there is no such budget, or no such period.
    """
    if name is not None:
        budget = shared_budget(book, name)
        return [(budget, book.period(budget, key))]
    found = []
    totals = [each for each in book.limits.budgets if each.per is None]
    for each in totals:
        try:
            found.append((each, each.period_at(book.now) if key is None else each.period_of(key)))
        except InputError:
            continue
    if not found:
        kinds = {each.period: each.period_at(book.now).key for each in totals}
        raise click.BadParameter(
            f"no budget has a period {key!r}; they are in {', '.join(kinds.values())} now"
        )
    return found


def figures(
    book: Book,
    chosen: Sequence[tuple[Budget, Period]],
    *,
    tallies: DynamoTallies,
    quarantine: DynamoQuarantine,
    with_all_keys: bool,
) -> Figures:
    """Read the ledger.

    Args:
        book: the budgets, and the ledger's counters.
        chosen: what to read of them.
        tallies: the minutes of late.
        quarantine: what did not count.
        with_all_keys: each budget's API keys, not the first one's alone; a query each.

    Raises:
        UnavailableError: the table can't be read.
    """
    return Figures(
        book=book,
        counted=tuple(
            Counted(
                budget=budget,
                period=period,
                limit_nano_usd=book.limit(budget),
                total=book.ledger.total(budget.name, period.key),
                keys=book.ledger.dearest_keys(budget.name, period.key, most=MOST_KEYS)
                if with_all_keys or number == 0
                else None,
            )
            for number, (budget, period) in enumerate(chosen)
        ),
        series=tallies.series_state(),
        waiting=_waiting(quarantine, book),
    )


def _waiting(quarantine: DynamoQuarantine, book: Book) -> Waiting:
    found = list(islice(quarantine.of_day(book.now), MOST_WAITING + 1))
    waiting = [each for each in found[:MOST_WAITING] if each.retried_at is None]
    packs = {each.pack_id for each in waiting}
    return Waiting(len(waiting), len(packs), is_all=len(found) <= MOST_WAITING)


class Ranking(NamedTuple):
    """Who spent the most of one budget's period."""

    book: Book
    budget: Budget
    period: Period
    by: ShareBy
    entries: tuple[tuple[str, Delta], ...]
    others: Delta
    counted: Delta
    """The budget's total."""

    @property
    def shared(self) -> Delta:
        """The sum of all shares."""
        return sum((delta for _, delta in self.entries), self.others)

    @property
    def unshared_nano_usd(self) -> int:
        """What was counted before shares were kept."""
        return max(0, self.counted.nano_usd - self.shared.nano_usd)


def ranking(
    book: Book, budget: Budget, period: Period, by: ShareBy, *, most: int, tallies: DynamoTallies
) -> Ranking:
    """Read who spent the most.

    Raises:
        UnavailableError: the table can't be read.
    """
    # The total first: what is posted meanwhile is in the shares then, and nothing seems missing.
    counted = book.ledger.total(budget.name, period.key)
    top = tallies.top(budget.name, period.key, by, most=most)
    return Ranking(book, budget, period, by, top.entries, top.others, counted)
