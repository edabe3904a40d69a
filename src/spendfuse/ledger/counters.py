"""The ledger's counters: their keys, and what is added to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TOTAL = "total"


@dataclass(frozen=True, slots=True, order=True)
class ItemKey:
    """One counter: a budget's total of one period, or one API key's or one value's share of it."""

    budget: str
    period: str
    share: str = TOTAL
    """``total``, ``key#<API key id>``, or ``per#<value>`` of a budget ``per`` an attribute."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What is added to one counter."""

    nano_usd: int = 0
    requests: int = 0
    unpriced: int = 0

    def __add__(self, other: Delta) -> Delta:
        return Delta(
            self.nano_usd + other.nano_usd,
            self.requests + other.requests,
            self.unpriced + other.unpriced,
        )


def merged(parts: Iterable[Mapping[ItemKey, Delta]]) -> dict[ItemKey, Delta]:
    """Return several packs' deltas as one."""
    total: dict[ItemKey, Delta] = {}
    for part in parts:
        for key, delta in part.items():
            total[key] = total[key] + delta if key in total else delta
    return total
