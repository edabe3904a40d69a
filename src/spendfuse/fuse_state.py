"""The state of the fuse, as everybody who asks sees it.

``armed`` lets traffic through and would trip; ``tripped`` has its keys disabled;
``disarmed`` (mode ``off``) never trips. A restore in mid-period leaves an allowance:
spending beyond it trips again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["armed", "tripped", "disarmed"]
MANUAL = "manual"
"""What stands for the budget in an order that a person gave."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one budget may spend in one period before the fuse trips again."""

    budget: str
    period: str
    number: int
    """1 after the period's first restore; part of the next trip's id."""
    until_nano_usd: int
    """The period's total spend at which the fuse trips again."""


@dataclass(frozen=True, slots=True)
class FuseState:
    """The fuse's state; ``epoch`` grows with every trip and every restore."""

    fuse: str
    state: State = "armed"
    epoch: int = 0
    trip_id: str | None = None
    """The trip that holds the fuse open, or the last one."""
    allowances: Mapping[str, Allowance] = field(default_factory=dict)
    """By ``<budget>#<period>``."""
    since: datetime | None = None
    """When it came into this state; None for a fuse that never tripped."""

    def allowance(self, budget: str, period: str) -> Allowance | None:
        """Return the allowance in force for a budget's period, if there was a restore."""
        return self.allowances.get(f"{budget}#{period}")


@dataclass(frozen=True, slots=True)
class KeySpend:
    """What one API key has spent; the dearest is disabled first."""

    key_id: str
    nano_usd: int


@dataclass(frozen=True, slots=True)
class TripOrder:
    """The order to blow the fuse, and its cause."""

    fuse: str
    budget: str
    period: str
    """The key of the period whose limit was reached."""
    percent: int
    limit_nano_usd: int
    allowance: int = 0
    """How many restores this period had seen when the order was given."""
    keys: tuple[KeySpend, ...] = ()
    """The dearest keys known to the ledger; a hint for the order, not the list."""

    @property
    def id(self) -> str:
        """The trip's one id: a second order about the same cause changes nothing."""
        cause = (self.budget, self.period, self.percent, self.limit_nano_usd, self.allowance)
        return "/".join(str(part) for part in (self.fuse, *cause))

    @property
    def is_manual(self) -> bool:
        """Whether a person gave it; a budget's order has a rung above 0."""
        return self.budget == MANUAL and self.percent == 0
