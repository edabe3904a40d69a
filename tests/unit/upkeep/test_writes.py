"""The model of what the ledger writes, held against what it does write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from aws_tables import aws, make_table
from charged_table import ChargedClient
from moto import mock_aws
from packs import NOW, a_pack
from unit.upkeep.posted_packs import EACH_USER, MEASURED, ROOT, TEAM, a_month, post, records

from spendfuse.budget import Budget
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.folds import idle_units, series_fold_units, share_fold_units
from spendfuse.upkeep.writes import Units, posting_units

DEPLOYMENT = Deployment()


@pytest.fixture
def table() -> Iterator[tuple[ChargedClient, str]]:
    with mock_aws():
        yield ChargedClient(aws("dynamodb")), make_table("ledger")


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
    # A first fold finds no books to read; the model's are there.
    assert modelled.read == pytest.approx(charged.read, rel=0.15, abs=8)


def test_packs_that_are_posted_together_share_counters_and_logs(
    table: tuple[ChargedClient, str],
) -> None:
    client, name = table
    work = a_month(20, 20, users=100, packs_per_posting=5)
    packs = [
        read_pack(a_pack(f"{seed:032x}", *records(work, seed)), received_at=NOW)
        for seed in range(5)
    ]
    DynamoLedger(client, name).post([posting(pack, (ROOT,)) for pack in packs], NOW)

    assert client.written <= posting_units(work, MEASURED).written <= client.written + 2


def test_more_packs_than_a_transaction_holds_are_posted_in_several() -> None:
    few, many = (a_month(1, 1, users=1, packs_per_posting=packs) for packs in (96, 97))

    more = posting_units(many, MEASURED).written - posting_units(few, MEASURED).written
    # One marker, and the counters and the logs once more.
    assert more == 2 * (1 + 2 + 2)
