"""Budgets, rates and their ladders: plain values, the same in a Lambda, in the SDK and at synth.

A budget is charged with every record whose attributes it matches; the root budget, which
matches on nothing, is charged with all of them. A budget ``per`` an attribute is many budgets,
one for each value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from spendfuse.period import UTC_ZONE, Period, PeriodKind

ANONYMOUS = "anonymous"
"""Whose a record is that has no value for a budget's ``per``: all of them share one budget."""
_PREFIX = "*"

Mode = Literal["strict", "fit", "observe"]
"""What the guard does with a request that does not fit: refuse it, lower its max_tokens so that
it fits, or let it pass and report it."""
MODES: tuple[Mode, ...] = get_args(Mode)
WhenDown = Literal["fail_closed", "fail_open", "local_share"]
"""What the guard does while it can't reach its store: refuse, admit, or admit up to a share of
the limit in each process."""
WHEN_DOWN: tuple[WhenDown, ...] = get_args(WhenDown)
DEFAULT_LOCAL_SHARE_PERCENT = 10


class Override(NamedTuple):
    """A limit that was set while running; it beats the one in the configuration."""

    budget: str
    value: str
    """The one user, say, of a ``per: user`` budget; empty for the budget as a whole."""
    limit_nano_usd: int
    by: str = ""
    reason: str = ""
    at: datetime | None = None


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
    ladder: tuple[Rung, ...] = ()
    """Lowest rung first."""
    match: Mapping[str, str] = field(default_factory=dict)
    """Attributes that a record must have; empty for the root budget."""
    per: str | None = None
    """An attribute, such as ``user``: each of its values has this budget for itself."""
    zone: str = UTC_ZONE
    """The time zone whose midnight begins the period."""
    mode: Mode = "strict"
    when_down: WhenDown = "fail_closed"
    local_share_percent: int = DEFAULT_LOCAL_SHARE_PERCENT
    """Of the limit, in each process, while the store is down and ``when_down`` says so."""

    @property
    def is_root(self) -> bool:
        return not self.match and self.per is None

    def matches(self, attributes: Mapping[str, object]) -> bool:
        """Return whether a record with these attributes is charged to this budget."""
        return is_match(self.match, attributes)

    def value_in(self, attributes: Mapping[str, object]) -> str:
        """Return whose budget it is; empty where the budget is not ``per`` anything."""
        return value_of(self.per, attributes)

    def period_at(self, at: datetime) -> Period:
        """Return the period of this budget in which ``at`` lies."""
        return Period.containing(self.period, at, self.zone)

    def period_of(self, key: str) -> Period:
        """Return the period of this budget with that key.

        Raises:
            InputError: not a key of this budget's kind of period.
        """
        return Period.from_key(self.period, key, self.zone)


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit in dollars for any 60 seconds, apart from budgets: it smooths, it does not add up."""

    name: str
    nano_usd_per_minute: int
    match: Mapping[str, str] = field(default_factory=dict)
    per: str | None = None

    def matches(self, attributes: Mapping[str, object]) -> bool:
        """Return whether a request with these attributes counts here."""
        return is_match(self.match, attributes)

    def value_in(self, attributes: Mapping[str, object]) -> str:
        """Return whose rate it is; empty where the rate is not ``per`` anything."""
        return value_of(self.per, attributes)


class Limits(NamedTuple):
    """All that the guard enforces: one version of it, whole."""

    budgets: tuple[Budget, ...]
    rates: tuple[Rate, ...] = ()
    overrides: Mapping[tuple[str, str], Override] = {}
    """By (budget, value)."""

    def limit_nano_usd(self, budget: Budget, value: str = "") -> int:
        """Return the limit in force: of this value, else of this budget, else as configured."""
        if self.overrides:
            for each in (value, "") if value else ("",):
                override = self.overrides.get((budget.name, each))
                if override is not None:
                    return override.limit_nano_usd
        return budget.limit_nano_usd

    def budget(self, name: str) -> Budget | None:
        """Return the budget of that name, or None."""
        return next((each for each in self.budgets if each.name == name), None)


def is_match(match: Mapping[str, str], attributes: Mapping[str, object]) -> bool:
    """Return whether ``attributes`` has all of ``match``; ``gpt-4o*`` matches by its beginning."""
    for name, wanted in match.items():
        value = attributes.get(name)
        if value != wanted and not (
            wanted.endswith(_PREFIX)
            and isinstance(value, str)
            and value.startswith(wanted[: -len(_PREFIX)])
        ):
            return False
    return True


def value_of(per: str | None, attributes: Mapping[str, object]) -> str:
    """Return the value of the attribute ``per``; empty where ``per`` is None."""
    if per is None:
        return ""
    return str(attributes.get(per) or ANONYMOUS)
