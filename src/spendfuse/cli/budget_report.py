"""What ``spendfuse budgets list`` and ``show`` say to people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from spendfuse.budget import Budget, Override
from spendfuse.cli.budget_book import Book
from spendfuse.cli.budget_text import (
    limit_text,
    mode_text,
    printable,
    rate_text,
    scope_text,
    shell_text,
    when_down_text,
)
from spendfuse.cli.price_layout import GAP, NONE, table, width
from spendfuse.clock import utc_text
from spendfuse.money import display_usd
from spendfuse.period import UTC_ZONE, Period

_TENTH = Decimal("0.1")
_HEADS = ("budget", "scope", "period", "spent", "limit", "used", "limit from")
_SCOPE = 1
_AMOUNTS = (3, 4, 5)
_NARROWEST = 16
"""Columns of a scope, however narrow the terminal is."""


def used_percent(spent: int, limit: int) -> Decimal | None:
    """Return the share that is used, rounded down: 100.0 is not said before it is reached.

    None for a limit of nothing, of which there is no share.
    """
    if not limit:
        return None
    return (Decimal(100 * spent) / limit).quantize(_TENTH, ROUND_FLOOR)


def used_text(spent: int | None, limit: int) -> str:
    """Return ``81.2 %``, or a dash where there is no share to tell."""
    share = None if spent is None else used_percent(spent, limit)
    return NONE if share is None else f"{share} %"


def minute(at: datetime) -> str:
    """Return ``2026-11-20 09:12 UTC``."""
    return f"{utc_text(at)[:16].replace('T', ' ')} UTC"


def list_lines(book: Book) -> Iterator[str]:
    yield from _budget_table(book)
    if book.limits.rates:
        yield ""
        yield from table(
            [
                ("rate", "scope", "limit"),
                *((each.name, scope_text(each), rate_text(each)) for each in book.limits.rates),
            ],
            indent="",
        )
    orphans = book.orphans()
    overrides = [each for each in book.limits.overrides.values() if each not in orphans]
    if overrides:
        yield ""
        yield "limits that were set:"
        for each in sorted(overrides):
            yield from _override_lines(book, each)
    if orphans:
        yield ""
        yield f"limits that were set for budgets that {book.source} does not have:"
        for each in orphans:
            yield f"{GAP}{_whose(each)}: {display_usd(each.limit_nano_usd)}; {unset(each)}"


def _budget_table(book: Book) -> Iterator[str]:
    rows = [_HEADS, *(_row(book, each) for each in book.limits.budgets)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(GAP) * (len(widths) - 1) - width()
    room = max(_NARROWEST, widths[_SCOPE] - max(0, over))
    yield from table(
        [line for row in rows for line in _folded(row, room)], right=_AMOUNTS, indent=""
    )


def _folded(row: Sequence[str], room: int) -> Iterator[tuple[str, ...]]:
    """Yield a row as one or more lines: a scope that is too wide goes on below itself."""
    for number, part in enumerate(textwrap.wrap(row[_SCOPE], room) or [""]):
        cells = row if number == 0 else [""] * len(row)
        yield (*cells[:_SCOPE], part, *cells[_SCOPE + 1 :])


def _row(book: Book, budget: Budget) -> tuple[str, ...]:
    period = budget.period_at(book.now)
    limit, spent = book.limit(budget), book.spent(budget, period)
    return (
        budget.name,
        scope_text(budget),
        period_text(period),
        NONE if spent is None else display_usd(spent),
        display_usd(limit),
        used_text(spent, limit),
        book.source if book.override(budget) is None else "override",
    )


def period_text(period: Period) -> str:
    return period.key if period.zone == UTC_ZONE else f"{period.key} {period.zone}"


def show_lines(book: Book, budget: Budget, value: str, period: Period) -> Iterator[str]:
    """Yield one budget, or one value's share of a ``per`` budget, whole."""
    spent, limit = book.spent(budget, period, value), book.limit(budget, value)
    first, *more = _limit_lines(book, budget, value)
    yield f"budget {budget.name}: {scope_text(budget)}"
    yield from table(
        [
            ("limit", first),
            *(("", line) for line in more),
            ("period", f"{period_text(period)}{_until(period)}"),
            ("spent", _spent_text(budget, value, spent, limit)),
            ("mode", mode_text(budget)),
            ("when_down", when_down_text(budget, limit)),
        ]
    )
    yield from _rung_lines(budget, spent, limit)
    if budget.per is not None and not value:
        yield from _value_lines(book, budget)


def _limit_lines(book: Book, budget: Budget, value: str) -> Iterator[str]:
    override = book.decisive(budget, value)
    if override is None:
        yield f"{limit_text(budget)}, as {book.source} says"
        return
    yield f"{display_usd(override.limit_nano_usd)}{_for(budget, override)}, set {by_text(override)}"
    beneath = book.override(budget) if override.value else None
    if beneath is not None:
        amount = display_usd(beneath.limit_nano_usd)
        yield f"{amount} for each other {budget.per}, set {by_text(beneath)}"
    yield f"{book.source} says {limit_text(budget)}"


def _for(budget: Budget, override: Override) -> str:
    if budget.per is None:
        return ""
    per = printable(budget.per)
    return f" for {per} {printable(override.value)}" if override.value else f" for each {per}"


def _until(period: Period) -> str:
    return "" if period.kind == "total" else f", until {minute(period.end)}"


def _spent_text(budget: Budget, value: str, spent: int | None, limit: int) -> str:
    if spent is None and budget.per is not None and not value:
        return f"by each {printable(budget.per)} apart; name one with --for"
    if spent is None:
        return "not counted: the deployment has no budget of this name"
    left = limit - spent
    rest = f"{display_usd(left)} left" if left >= 0 else f"{display_usd(-left)} over"
    return f"{display_usd(spent)}, {used_text(spent, limit)}; {rest}"


def _rung_lines(budget: Budget, spent: int | None, limit: int) -> Iterator[str]:
    rows = [
        (
            f"{rung.percent} %",
            display_usd(threshold),
            ", ".join(rung.channels) + ("; trips the fuse" if rung.trips else ""),
            "reached" if spent is not None and spent >= threshold else "",
        )
        for rung in budget.ladder
        for threshold in [rung.threshold_nano_usd(limit)]
    ]
    if rows:
        yield f"{GAP}rungs"
        yield from table(rows, right=(0, 1), indent=GAP * 2)


def _value_lines(book: Book, budget: Budget) -> Iterator[str]:
    own = book.of_values(budget)
    if own:
        yield f"{GAP}with a limit of their own"
        rows = [
            (printable(each.value), display_usd(each.limit_nano_usd), by_text(each)) for each in own
        ]
        yield from table(rows, right=(1,), indent=GAP * 2)


def _override_lines(book: Book, override: Override) -> Iterator[str]:
    budget = book.limits.budget(override.budget)
    instead = "" if budget is None else f" instead of {display_usd(budget.limit_nano_usd)}"
    yield f"{GAP}{_whose(override)}: {display_usd(override.limit_nano_usd)}{instead}"
    yield f"{GAP * 2}{by_text(override)}"


def by_text(override: Override) -> str:
    """Return who set a limit, when, and why: ``by assumed-role/Admin/ann on …: launch week``."""
    # arn:aws:sts::123456789012:assumed-role/Admin/ann
    who = printable(override.by.rpartition(":")[2]) or "unknown"
    when = f" on {minute(override.at)}" if override.at else ""
    why = f": {printable(override.reason)}" if override.reason else ""
    return f"by {who}{when}{why}"


def _whose(override: Override) -> str:
    value = f" for {printable(override.value)}" if override.value else ""
    return f"{printable(override.budget)}{value}"


def unset(override: Override) -> str:
    """Return the command that takes an override back."""
    value = f" --for {shell_text(override.value)}" if override.value else ""
    return f"spendfuse budgets unset {shell_text(override.budget)}{value}"
