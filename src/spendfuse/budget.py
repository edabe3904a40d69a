"""Budgets and their ladders: plain values, the same in a Lambda, in the SDK and at synth.

A budget is charged with every record whose attributes it matches; the root budget, which
matches on nothing, is charged with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spendfuse.period import PeriodKind


@dataclass(frozen=True, slots=True)
class Rung:
    """A percentage of a budget's limit at which something happens."""

    percent: int
    channels: tuple[str, ...]
    """Where people hear of it: ``slack``, ``email``."""
    trips: bool = False
    """Whether reaching it blows the fuse."""

    def threshold_nano_usd(self, limit_nano_usd: int) -> int:
        """Return the spend from which the rung is due, rounded up to a nano-dollar."""
        return -(-limit_nano_usd * self.percent // 100)


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit in dollars for one scope and one period."""

    name: str
    limit_nano_usd: int
    period: PeriodKind
    ladder: tuple[Rung, ...]
    """Lowest rung first."""
    match: Mapping[str, str] = field(default_factory=dict)
    """Attributes that a record must have; empty for the root budget."""

    @property
    def is_root(self) -> bool:
        return not self.match

    def matches(self, attributes: Mapping[str, object]) -> bool:
        """Return whether a record with these attributes is charged to this budget."""
        return all(attributes.get(key) == value for key, value in self.match.items())
