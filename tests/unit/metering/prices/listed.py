"""A usage, and what it costs by the provider's list: worked out by hand, term by term.

``80 * 2.50/M + 3 * 10/K`` is 80 units at 2.50 dollars a million and 3 at 10 dollars a thousand;
an H is an hour of seconds. No term comes from our own book or from a price library.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Any, NamedTuple

import pytest

from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.usage import Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_PER = {"M": 1_000_000, "K": 1_000, "H": 3_600}


class Case(NamedTuple):
    provider: str
    model: str
    worked_out: str
    usage: Usage
    at: datetime
    tier: str | None
    batch: bool


def case(
    provider: str,
    model: str,
    worked_out: str,
    *,
    at: str | None = None,
    tier: str | None = None,
    batch: bool = False,
    **counts: int,
) -> Any:
    when = NOW if at is None else datetime.fromisoformat(at).replace(tzinfo=UTC)
    told = [provider, model, "batch" if batch else tier, at, *counts]
    words = " ".join(each for each in told if each)
    return pytest.param(
        Case(provider, model, worked_out, Usage(**counts), when, tier, batch), id=words
    )


def dollars(worked_out: str) -> Decimal:
    """Return what the arithmetic comes to, exactly."""
    total = Decimal(0)
    for term in worked_out.split("+"):
        count, price = term.split("*")
        usd, unit = price.split("/")
        total += Decimal(count.replace("_", "").strip()) * Decimal(usd.strip()) / _PER[unit.strip()]
    return total


def assert_costs_what_is_listed(book: PriceBook, each: Case) -> None:
    cost = book.price(
        each.provider, each.model, each.usage, at=each.at, tier=each.tier, batch=each.batch
    )

    expected = dollars(each.worked_out)
    assert sum(part.usd for part in cost.parts()) == expected
    assert cost.nano_usd == ceil(expected * 10**9)
    assert cost.usd == Decimal(cost.nano_usd) / 10**9
    assert cost.price.source.startswith("https://")
