"""Which rungs are due: a question of state, not of motion.

Due are the rungs at or below the total, less those that have fired. Nothing depends on
which totals a watcher happened to see, on their order, or on a message that got lost.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from spendfuse.budget import Budget, Rung
from spendfuse.fuse_state import Allowance


@dataclass(frozen=True, slots=True)
class RungKey:
    """One firing of one rung in a period: a raised limit or a restore arms it anew."""

    percent: int
    limit_nano_usd: int
    allowance: int = 0

    def __str__(self) -> str:
        return f"{self.percent:04d}#{self.limit_nano_usd}#{self.allowance}"


@dataclass(frozen=True, slots=True)
class DueRung:
    key: RungKey
    rung: Rung


def due_rungs(
    budget: Budget, spent_nano_usd: int, fired: Collection[RungKey], allowance: Allowance | None
) -> list[DueRung]:
    """Return the rungs of one budget's period that are due, lowest first.

    Args:
        budget: whose ladder it is, with the limit in force.
        spent_nano_usd: the period's total.
        fired: the rungs of this period that have fired already.
        allowance: what the last restore in this period allowed, if there was one.
    """
    return [
        due
        for due, threshold in (_armed(budget, rung, allowance) for rung in budget.ladder)
        if spent_nano_usd >= threshold and due.key not in fired
    ]


def _armed(budget: Budget, rung: Rung, allowance: Allowance | None) -> tuple[DueRung, int]:
    # A limit may be set to nothing; while nothing is spent, no rung of it is reached.
    threshold = max(rung.threshold_nano_usd(budget.limit_nano_usd), 1)
    number = 0
    if rung.trips and allowance is not None:
        number = allowance.number
        # A limit raised since the restore counts; the allowance never makes it stricter.
        threshold = max(threshold, allowance.until_nano_usd)
    return DueRung(RungKey(rung.percent, budget.limit_nano_usd, number), rung), threshold
