"""The model of what the ledger writes, held against what it does write."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aws_tables import aws, make_table
from charged_table import ChargedClient
from moto import mock_aws
from packs import NOW, a_pack, a_record

from spendfuse.budget import Budget
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.folds import idle_units, series_fold_units, share_fold_units
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import Workload, counted
from spendfuse.upkeep.writes import Units, posting_units

MEASURED, DEPLOYMENT = Measured(), Deployment()
ROOT = Budget("llm", 10**12, "month", ())
TEAM = Budget("search", 10**11, "day", (), match={"team": "search"})
EACH_USER = Budget("user-day", 10**10, "day", (), per="user")


@pytest.fixture
def table() -> Iterator[tuple[ChargedClient, str]]:
    with mock_aws():
        yield ChargedClient(aws("dynamodb")), make_table("ledger")


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


@pytest.mark.parametrize("budgets", [(ROOT,), (ROOT, TEAM)])
@pytest.mark.parametrize(
    ("records_per_pack", "users_per_pack"),
    [(1, 1), (20, 1), (20, 20), (200, 1), (200, 100), (500, 100), (500, 500)],
)
def test_a_posting_s_write_units_are_those_of_the_model(
    table: tuple[ChargedClient, str],
    records_per_pack: int,
    users_per_pack: int,
    budgets: tuple[Budget, ...],
) -> None:
    client, name = table
    work = a_month(records_per_pack, users_per_pack, *budgets)
    post(work, DynamoLedger(client, name), budgets)

    # Rounded up, by a begun KB of a log's row at most.
    assert client.written <= posting_units(work, MEASURED).written <= client.written + 2


@pytest.mark.parametrize(("users_per_pack", "keys_per_pack"), [(100, 1), (500, 1), (1, 120)])
def test_a_pack_that_needs_a_plan_costs_about_what_the_model_says(
    table: tuple[ChargedClient, str], users_per_pack: int, keys_per_pack: int
) -> None:
    client, name = table
    budgets = (ROOT, EACH_USER)
    work = a_month(500, users_per_pack, *budgets, keys_per_pack=keys_per_pack)
    post(work, DynamoLedger(client, name), budgets)

    modelled = posting_units(work, MEASURED)
    assert modelled.written == pytest.approx(client.written, rel=0.1)
    assert modelled.read == pytest.approx(client.read, abs=2)


@pytest.mark.parametrize("rows", [1, 5, 60])
def test_a_fold_s_units_are_about_those_of_the_model(
    table: tuple[ChargedClient, str], rows: int
) -> None:
    client, name = table
    work = a_month(20, 20, users=200)
    for number in range(rows):
        post(work, DynamoLedger(client, name), (ROOT,), seed=number + 1)
    tallies, soon = DynamoTallies(client, name), NOW + timedelta(minutes=1)

    client.reset()
    tallies.take_series(soon, lambda _: None)
    series = Units(client.written, client.read)
    client.reset()
    tallies.fold_shares(soon + timedelta(hours=1))
    shares = Units(client.written, client.read)

    # A month's state of the series is larger than this one.
    modelled = series_fold_units(work, replace(MEASURED, series_state_bytes=300), rows=rows)
    assert_about(modelled + idle_units(replace(MEASURED, series_state_bytes=300)), series)
    assert_about(share_fold_units(work, DEPLOYMENT, MEASURED, rows=rows), shares)


def assert_about(modelled: Units, charged: Units) -> None:
    assert modelled.written == pytest.approx(charged.written, rel=0.15, abs=2)
    assert modelled.read == pytest.approx(charged.read, rel=0.15, abs=6)
