"""What a pack adds to the ledger: one delta an item, whatever the number of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spendfuse.budget import Budget
from spendfuse.ledger.pack import UsageRecord
from spendfuse.period import Period

TOTAL = "total"


@dataclass(frozen=True, slots=True, order=True)
class ItemKey:
    """One counter: a budget's total of one period, or one API key's share of it."""

    budget: str
    period: str
    share: str = TOTAL
    """``total``, or ``key#<id>``."""


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


def deltas(records: Iterable[UsageRecord], budgets: Iterable[Budget]) -> dict[ItemKey, Delta]:
    """Return what ``records`` add to the counters of all budgets that they match."""
    budgets = tuple(budgets)
    added: dict[ItemKey, Delta] = {}
    for record in records:
        delta = Delta(record.cost_nano_usd or 0, 1, int(record.cost_nano_usd is None))
        for key in _keys(record, budgets):
            added[key] = added.get(key, Delta()) + delta
    return added


def merged(parts: Iterable[Mapping[ItemKey, Delta]]) -> dict[ItemKey, Delta]:
    """Return several packs' deltas as one."""
    total: dict[ItemKey, Delta] = {}
    for part in parts:
        for key, delta in part.items():
            total[key] = total.get(key, Delta()) + delta
    return total


def _keys(record: UsageRecord, budgets: tuple[Budget, ...]) -> Iterable[ItemKey]:
    api_key = record.attributes.get("key_id")
    for budget in budgets:
        if budget.matches(record.attributes):
            period = Period.containing(budget.period, record.at).key
            yield ItemKey(budget.name, period)
            if api_key is not None:
                yield ItemKey(budget.name, period, f"key#{api_key}")
