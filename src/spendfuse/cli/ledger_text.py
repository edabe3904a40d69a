"""How ``spendfuse ledger`` writes what apps have named: harmless to a terminal, and cut to fit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from spendfuse.cli.budget_text import match_text
from spendfuse.cli.price_layout import GAP, plain, width
from spendfuse.money import display_usd, usd

_CUT = "…"
_NARROWEST = 16
"""Columns of a cell that is folded, however narrow the terminal is."""


def harmless(text: str) -> str:
    """Return text on one line that moves no cursor and turns no direction."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def cut(text: str, most: int) -> str:
    """Return text of so many characters at most, harmless; where something is missing, it shows."""
    # What is far beyond the end need not be made harmless first: a record may have 300 KB.
    shown = harmless(text[: most + 1])
    return shown if len(shown) <= most else shown[: max(0, most - 1)] + _CUT


def count(number: int, noun: str) -> str:
    """Return ``1 record`` or ``1,200 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def signed_usd(nano: int) -> str:
    """Return ``+$1.50`` or ``-$1.50``."""
    return f"{'+' if nano > 0 else ''}{display_usd(nano)}"


def usd_json(nano: int) -> str:
    """Return dollars as JSON has them: exact, as text."""
    return plain(usd(nano))


def attributes_text(attributes: Mapping[str, str]) -> str:
    return match_text(attributes) if attributes else "nobody in particular"


def folded(
    rows: Sequence[Sequence[str]], *, columns: Sequence[int] = (0,), indent: str = GAP
) -> Iterator[tuple[str, ...]]:
    """Yield rows as lines that fit the terminal: what is too wide of ``columns`` goes on below."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = len(indent) + sum(widths) + len(GAP) * (len(widths) - 1) - width()
    for column in sorted(columns, key=lambda each: -widths[each]):
        room = max(min(_NARROWEST, widths[column]), widths[column] - max(0, over))
        over -= widths[column] - room
        widths[column] = room
    for row in rows:
        parts = [
            textwrap.wrap(cell, widths[number], subsequent_indent=_lead(cell) + GAP) or [""]
            if number in columns
            else [cell]
            for number, cell in enumerate(row)
        ]
        yield from zip_longest(*parts, fillvalue="")


def _lead(cell: str) -> str:
    return cell[: len(cell) - len(cell.lstrip())]
