"""Corrections that a person makes to what was counted. Pure.

A wrong posting is never edited: an adjustment counts beside it, up or down, on all that a record
with its attributes would count on. It is no request, and no traffic: the series of the minutes,
which say when usage was metered, do not know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from spendfuse.budget import Budget
from spendfuse.ledger.counters import TOTAL, Delta, ItemKey
from spendfuse.ledger.pack import UsageRecord
from spendfuse.ledger.posting import deltas
from spendfuse.ledger.tally import ShareBy, ShareKey, Tally

_SHARES: tuple[ShareBy, ...] = ("user", "model", "feature")


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One signed correction; its id makes it count once."""

    id: str
    nano_usd: int
    """Below 0 where too much was counted."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Whose it is, as a record says it; model and provider too."""
    at: datetime = field(kw_only=True)
    """Into the periods of this time it goes."""
    reason: str = ""
    by: str = ""
    """Who posted it, as AWS knows them."""
    posted_at: datetime = field(kw_only=True)

    def says_the_same(self, other: Adjustment) -> bool:
        """Return whether both are one correction, whoever posted it and when."""
        return self._content == other._content

    @property
    def _content(self) -> tuple[object, ...]:
        # Rows keep times to the millisecond.
        at = self.at.replace(microsecond=self.at.microsecond // 1000 * 1000)
        return self.nano_usd, dict(self.attributes), at, self.reason

    def added(self, budgets: Sequence[Budget]) -> dict[ItemKey, Delta]:
        """Return what it adds to the counters of all budgets that it matches: no request.

        A budget per user, say, is left alone where no user is named: an invoice is nobody's, and
        must not use up what those may spend who have no name.
        """
        concerned = [each for each in budgets if each.per is None or each.per in self.attributes]
        return dict.fromkeys(deltas([self._as_record], concerned), Delta(self.nano_usd))

    def tally(self, added: Iterable[ItemKey]) -> Tally:
        """Return what it adds to the shares of who spent on these counters' totals."""
        delta = Delta(self.nano_usd)
        return Tally(
            {
                ShareKey(key.budget, key.period, by, self.attributes.get(by, "")): delta
                for key in added
                if key.share == TOTAL
                for by in _SHARES
            }
        )

    @property
    def _as_record(self) -> UsageRecord:
        # Its model and provider stand among the attributes: they match all the same.
        return UsageRecord(self.id, self.at, self.nano_usd, self.attributes)
