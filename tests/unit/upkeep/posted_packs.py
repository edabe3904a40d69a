"""Packs as apps send them, and the months that they stand for."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from packs import NOW, a_pack, a_record

from spendfuse.budget import Budget
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import Workload, counted

MEASURED = Measured()
ROOT = Budget("llm", 10**12, "month", ())
TEAM = Budget("search", 10**11, "day", (), match={"team": "search"})
EACH_USER = Budget("user-day", 10**10, "day", (), per="user")


def records(work: Workload, seed: int = 1) -> list[dict[str, Any]]:
    """Return a pack's records as apps send them: in the last second, latencies as of a model."""
    chance = random.Random(seed)
    users = [f"user-{chance.randrange(work.users):05d}" for _ in range(work.users_per_pack)]
    return [
        a_record(
            f"0123456789abcdef0123-{seed:03d}{number:06d}",
            model=f"gpt-4o-2024-{number % work.models:02d}-06",
            attributes={
                "user": users[number % len(users)],
                "team": "search",
                "feature": f"feature-{number % work.features}",
                "key_id": f"key-{number % work.keys_per_pack}",
            },
            cost_nano_usd=chance.randrange(10**5, 10**8),
            tokens={"input": chance.randrange(10**4), "output": chance.randrange(10**3)},
            latency_ms=int(chance.lognormvariate(7, 0.8)),
        )
        for number in range(work.records_per_pack)
    ]


def a_month(records_per_pack: int, users_per_pack: int, *budgets: Budget, **over: Any) -> Workload:
    return replace(
        Workload(
            requests=1_000_000,
            users=10_000,
            records_per_pack=records_per_pack,
            users_per_pack=users_per_pack,
            counted=counted(budgets or (ROOT,)),
        ),
        **over,
    )


def post(work: Workload, ledger: DynamoLedger, budgets: tuple[Budget, ...], seed: int = 1) -> None:
    pack = read_pack(a_pack(f"{seed:032x}", *records(work, seed)), received_at=NOW)
    assert not pack.rejected
    ledger.post([posting(pack, budgets)], NOW + timedelta(milliseconds=seed))
