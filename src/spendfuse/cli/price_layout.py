"""How ``spendfuse prices`` sets its tables: money below money, points below points."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from spendfuse.clock import utc_text
from spendfuse.metering.catalogue import PER
from spendfuse.metering.price_history import Hours
from spendfuse.metering.usage import FIELDS

GAP = "  "
NONE = "-"
_FINEST = Decimal("1e-9")
_TENTH = Decimal("0.1")
_NO_TERMINAL = 10_000
"""Columns of what goes into a pipe: it is not cut into lines."""
_PER_TEXT = {1_000_000: "1M", 1_000: "1K", 3_600: "hour"}
_READING_ORDER = ("input", "cached", "cache_write", "output", "reasoning", "citation")


def _rank(unit: str) -> tuple[bool, int]:
    """Rank input before the cache and both before output, text before audio and pictures."""
    if not unit.endswith("_tokens"):
        return True, FIELDS.index(unit)
    side = next(index for index, each in enumerate(_READING_ORDER) if unit.startswith(each))
    return False, side * len(FIELDS) + FIELDS.index(unit)


UNITS = tuple(sorted(FIELDS, key=_rank))
"""All units in the order in which a person reads them."""


def width() -> int:
    return shutil.get_terminal_size((_NO_TERMINAL, 24)).columns


def plain(amount: Decimal) -> str:
    """Return ``0.0056``: never an exponent, and no zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: Decimal) -> str:
    """Return ``-80.0``."""
    return f"{share.quantize(_TENTH, ROUND_HALF_UP):f}"


def dollars(amount: Decimal) -> str:
    """Return ``$1,234.50`` or ``$0.0056``: two decimals at least, nine at most."""
    whole, _, rest = plain(amount.quantize(_FINEST, ROUND_HALF_UP)).partition(".")
    return f"${int(whole):,}.{rest.ljust(2, '0')}"


def per(unit: str) -> str:
    """Return for how many units a price is: ``/ 1M``."""
    return f"/ {_PER_TEXT[PER[unit]]}"


def words(unit: str) -> str:
    """Return ``cached input`` for ``cached_input_tokens``."""
    return unit.removesuffix("_tokens").replace("_", " ")


def hours_text(hours: Sequence[Hours]) -> str:
    return ", ".join(f"{begin:%H:%M}-{end:%H:%M}" for begin, end in hours)


def moment(at: datetime) -> str:
    """Return a day where it is one, and a time in UTC to the second otherwise."""
    text = utc_text(at).partition(".")[0]
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def aligned(amounts: Sequence[str]) -> list[str]:
    """Return amounts with their points below each other; a dash stands before the point."""
    behind = [len(each) - each.find(".") if "." in each else 0 for each in amounts]
    most = max(behind, default=0)
    padded = [each + " " * (most - rest) for each, rest in zip(amounts, behind, strict=True)]
    wide = max(map(len, padded), default=0)
    return [each.rjust(wide) for each in padded]


def even(amounts: Sequence[Decimal]) -> list[str]:
    """Return amounts with the same number of decimals, as on a bill."""
    split = [dollars(each).partition(".") for each in amounts]
    most = max((len(rest) for _, _, rest in split), default=0)
    return [f"{whole}.{rest.ljust(most, '0')}" for whole, _, rest in split]


def table(
    rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: str = GAP
) -> list[str]:
    """Return rows as lines with aligned columns; those of ``right`` are aligned to the right."""
    right = set(right)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        GAP.join(
            cell.rjust(wide) if index in right else cell.ljust(wide)
            for index, (cell, wide) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return [f"{indent}{line}".rstrip() for line in lines]
