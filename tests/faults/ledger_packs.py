"""Packs of many apps, and what they come to by plain addition."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from spendfuse.budget import Budget
from spendfuse.clock import utc_text

USERS = 1_000
USERS_OF_A_PACK = 120
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro")
TEAMS = ("search", "support", "ads")
METERED_BY_USER = "beta"
"""The team of which each user has a budget."""
WIDE_EACH = 20
"""Every so many packs, one is of that team: more counters than a transaction holds."""
KEYS = ("k1", "k2", "k3")
POISON = ("{", "[]", json.dumps({"schema": 99, "id": "p", "records": []}), "no pack at all")
_UNPRICED, _UNREADABLE = 0.002, 0.002


@dataclass
class Sums:
    """What was sent, added up record by record."""

    nano_usd: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By budget, period and share (``total``, ``key#…``, ``per#…``)."""
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unpriced: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    by_value: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """Nano-dollars by budget, period, ``user``, ``model`` or ``feature``, and its value."""
    by_day: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


@dataclass
class Sender:
    """Makes packs out of a seed, and remembers what they come to."""

    budgets: tuple[Budget, ...]
    now: datetime
    seed: int
    sums: Sums = field(default_factory=Sums)

    def packs(self, count: int, records: int) -> Iterator[str]:
        chance = random.Random(self.seed)
        for number in range(count):
            is_wide = number % WIDE_EACH == 0
            users = chance.sample(range(USERS), k=USERS_OF_A_PACK)
            teams = (METERED_BY_USER,) if is_wide else TEAMS
            yield json.dumps(
                {
                    "schema": 1,
                    "id": f"pack-{number}",
                    "created_at": utc_text(self.now),
                    "sent_at": utc_text(self.now),
                    "records": [
                        self._record(
                            f"{number}-{n}", chance.choice(users), chance.choice(teams), chance
                        )
                        for n in range(records)
                    ],
                }
            )

    def _record(self, id: str, user: int, team: str, chance: random.Random) -> dict[str, Any]:
        at = self.now - timedelta(seconds=chance.randint(1, 50))
        record = {
            "id": id,
            "at": utc_text(at),
            "provider": "openai",
            "model": chance.choice(MODELS),
            "attributes": {
                "user": f"u{user}",
                "team": team,
                "feature": f"f{user % 7}",
                "key_id": chance.choice(KEYS),
            },
            "tokens": {"input": chance.randint(1, 9_000), "output": chance.randint(1, 900)},
            "cost_nano_usd": chance.randint(0, 10**10),
            "price_version": "2026-11-01",
            "latency_ms": chance.randint(20, 60_000),
            "status": "ok",
        }
        kind = chance.random()
        if kind < _UNREADABLE:
            self.sums.unreadable += 1
            return {**record, "cost_nano_usd": -1}
        if kind < _UNREADABLE + _UNPRICED:
            record["cost_nano_usd"] = None
        self._add(record, at)
        return record

    def _add(self, record: dict[str, Any], at: datetime) -> None:
        cost: int = record["cost_nano_usd"] or 0
        attributes = record["attributes"]
        self.sums.by_day[f"{at:%Y-%m-%d}"] += cost
        for budget in self.budgets:
            if not budget.matches(attributes):
                continue
            period = budget.period_at(at).key
            if budget.per:
                shares = [f"per#{attributes[budget.per]}"]
            else:
                shares = ["total", f"key#{attributes['key_id']}"]
                values = {**attributes, "model": record["model"]}
                for by in ("user", "model", "feature"):
                    self.sums.by_value[budget.name, period, by, values[by]] += cost
            for share in shares:
                where = (budget.name, period, share)
                self.sums.nano_usd[where] += cost
                self.sums.requests[where] += 1
                self.sums.unpriced[where] += record["cost_nano_usd"] is None
