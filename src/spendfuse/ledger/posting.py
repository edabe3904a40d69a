"""What a pack adds to the ledger: one delta an item, whatever the number of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spendfuse.budget import Budget
from spendfuse.ledger.counters import TOTAL, Delta, ItemKey
from spendfuse.ledger.pack import Pack, UsageRecord, cut_id
from spendfuse.ledger.tally import Tally


@dataclass(frozen=True, slots=True)
class Posting:
    """What one pack adds, whatever its records were."""

    pack_id: str
    added: Mapping[ItemKey, Delta]
    tally: Tally = field(default_factory=Tally)


def posting(pack: Pack, budgets: Sequence[Budget]) -> Posting:
    """Return what the pack adds to the counters of all budgets that its records match."""
    return Posting(pack.id, deltas(pack.records, budgets))


def deltas(records: Iterable[UsageRecord], budgets: Iterable[Budget]) -> dict[ItemKey, Delta]:
    """Return what ``records`` add to the counters of all budgets that they match."""
    budgets = tuple(budgets)
    added: dict[ItemKey, Delta] = {}
    for record in records:
        delta = Delta(record.cost_nano_usd or 0, 1, int(record.cost_nano_usd is None))
        for key in _keys(record, budgets):
            added[key] = added.get(key, Delta()) + delta
    return added


def share_of(value: str) -> str:
    """Return where a budget ``per`` an attribute counts one of its values; the total without."""
    return f"per#{cut_id(value)}" if value else TOTAL


def _keys(record: UsageRecord, budgets: tuple[Budget, ...]) -> Iterable[ItemKey]:
    matched_on = record.matched_on
    api_key = record.attributes.get("key_id")
    for budget in budgets:
        if not budget.matches(matched_on):
            continue
        period = budget.period_at(record.at).key
        yield ItemKey(budget.name, period, share_of(budget.value_in(matched_on)))
        # A budget of one person has no rungs, so nobody asks for its keys.
        if api_key is not None and budget.per is None:
            yield ItemKey(budget.name, period, f"key#{api_key}")
