"""What is metered in a month: how many requests, whose, and how they travel."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from spendfuse.budget import Budget
from spendfuse.errors import InputError
from spendfuse.metrics import MAX_VALUES

SECONDS_A_MONTH = 730 * 3600
"""AWS's own month: 365 days of 24 hours, by 12."""
MAX_REQUESTS = 10**13
"""A month: 4 million a second, above what anyone sends."""
_USER = "user"


class Counted(NamedTuple):
    """The counters that a request is added to: each request matches all budgets, the dearest case.

    A pack of a few dozen records has records of every budget in it, and a counter is written once
    a pack, so that for packs it is the usual case too.
    """

    totals: int
    """Budgets without ``per``."""
    per_user: int
    per_other: int
    """Budgets per team, say."""


def counted(budgets: Iterable[Budget]) -> Counted:
    """Return which counters the budgets have."""
    pers = [budget.per for budget in budgets]
    per_user = pers.count(_USER)
    totals = pers.count(None)
    return Counted(totals, per_user, len(pers) - totals - per_user)


@dataclass(frozen=True, slots=True)
class Workload:
    """A month of metered requests.

    Raises:
        InputError: there is no such month; says what to change.
    """

    requests: int
    users: int
    """Who make them: different ones in the month."""
    records_per_pack: int
    users_per_pack: int
    """Different ones in one pack."""
    counted: Counted
    packs_per_posting: int = 1
    """What the recorder finds in the queue at once: one where traffic is thin."""
    models: int = 3
    features: int = 3
    keys_per_pack: int = 1
    """API keys whose calls are in one pack: each is a counter of each budget."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"{_words(name)}: write {least} or more, got {_got(self, name)}")
        if self.requests > MAX_REQUESTS:
            raise InputError(
                f"requests: {self.requests:,} a month are more than {MAX_REQUESTS:,}; "
                "write those of one month"
            )
        for name, most_name in _NOT_ABOVE:
            value, most = getattr(self, name), getattr(self, most_name)
            if value > most > 0:
                raise InputError(
                    f"{_words(name)}: {value:,} can't be more than the {_words(most_name)}, "
                    f"{most:,}; lower it, or raise the other"
                )
        for name in ("models", "features"):
            if getattr(self, name) > MAX_VALUES:
                raise InputError(
                    f"{name}: {getattr(self, name)} are more than the {MAX_VALUES} that get "
                    f"metrics of their own; write {MAX_VALUES}"
                )

    @property
    def packs(self) -> int:
        """Packs a month."""
        return -(-self.requests // self.records_per_pack)

    @property
    def postings(self) -> int:
        """Invocations of the recorder a month."""
        return -(-self.packs // self.packs_per_posting)


_LEAST = {
    "requests": 0,
    "users": 0,
    "records_per_pack": 1,
    "users_per_pack": 1,
    "packs_per_posting": 1,
    "models": 0,
    "features": 0,
    "keys_per_pack": 0,
}
_NOT_ABOVE = (
    ("users", "requests"),
    ("users_per_pack", "records_per_pack"),
    ("users_per_pack", "users"),
    ("keys_per_pack", "records_per_pack"),
)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _got(workload: Workload, name: str) -> str:
    return f"{getattr(workload, name):,}"


def usual_records_per_pack(
    requests: int, *, processes: int, linger_seconds: float, max_records: int
) -> int:
    """Return how many records meet in a pack where requests come evenly, at all hours."""
    a_second = requests / SECONDS_A_MONTH / processes
    # The first waits for the others: those that come while it lingers go with it.
    return min(max_records, max(1, int(1 + a_second * linger_seconds)))


class Packing(NamedTuple):
    """How records travel that one process sends together."""

    packs: int
    records: int
    """In each."""
    users: int
    """In each."""


def packing(records: int, users: int, *, max_records: int) -> Packing:
    """Return the packs that records sent together make: as few as can be, as large as each other.

    Args:
        records: that are sent together.
        users: different ones among them.
        max_records: of a pack.
    """
    packs = math.ceil(records / max_records)
    each = math.ceil(records / packs)
    # More users than records are left as they are, for the month to refuse.
    return Packing(packs, each, math.ceil(users / packs))


def different_users(users: int, records: int) -> int:
    """Return how many of ``users``, all as busy, are expected among so many records; rounded up."""
    if users <= 1:
        return min(users, records)
    expected = -users * math.expm1(records * math.log1p(-1 / users))
    return min(users, records, math.ceil(expected))
