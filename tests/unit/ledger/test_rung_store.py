"""What is remembered of rungs: each written once, and read back as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from aws_tables import aws, make_table
from moto import mock_aws
from packs import NOW

from spendfuse.ledger.dynamodb import DynamoTable
from spendfuse.ledger.rung_store import RungStore
from spendfuse.ledger.rungs import FiredRung, RungHistory, RungKey, Sighting

WHERE = ("llm", "2026-11")
KEY = RungKey(80, 10**12)
INFORMS = FiredRung(KEY, "pending", "first", NOW, orders=False)
ORDERS = FiredRung(KEY, "pending", "with an order", NOW, orders=True)
SEEN = Sighting(10**12, 7, NOW, silent=(50, 80), told_by=90)


@pytest.fixture
def store() -> Iterator[RungStore]:
    with mock_aws():
        yield RungStore(DynamoTable(aws("dynamodb"), make_table("ledger")))


def test_a_rung_fires_once_and_is_pending_until_it_is_sent(store: RungStore) -> None:
    assert store.fire(*WHERE, INFORMS)
    assert not store.fire(*WHERE, replace(INFORMS, alert="second"))
    assert store.history(*WHERE) == RungHistory((INFORMS,))

    store.mark_sent(*WHERE, KEY, orders=False)

    assert store.history(*WHERE) == RungHistory((replace(INFORMS, status="sent"),))


def test_an_order_is_given_once_though_the_rung_has_informed_before(store: RungStore) -> None:
    store.fire(*WHERE, INFORMS)
    store.mark_sent(*WHERE, KEY, orders=False)

    assert store.fire(*WHERE, ORDERS)
    assert not store.fire(*WHERE, ORDERS)
    assert not store.fire(*WHERE, INFORMS)
    assert store.history(*WHERE) == RungHistory((ORDERS,))


def test_a_withdrawn_order_can_be_given_again(store: RungStore) -> None:
    store.fire(*WHERE, ORDERS)
    store.mark_sent(*WHERE, KEY, orders=False)

    assert store.fire(*WHERE, ORDERS)


def test_a_row_from_before_rows_said_so_counts_as_an_order(store: RungStore) -> None:
    aws("dynamodb").put_item(
        TableName="ledger",
        Item={
            "pk": {"S": "rungs#llm#2026-11"},
            "sk": {"S": str(KEY)},
            "status": {"S": "sent"},
            "alert": {"S": "first"},
            "fired_at": {"S": "2026-11-21T12:00:00.000Z"},
        },
    )

    assert store.history(*WHERE).fired[0].orders
    assert not store.fire(*WHERE, ORDERS)


def test_the_first_sight_of_a_limit_is_the_one_that_stands(store: RungStore) -> None:
    assert store.sight(*WHERE, SEEN)
    assert not store.sight(*WHERE, replace(SEEN, spent_nano_usd=8, silent=(), told_by=None))
    assert store.history(*WHERE) == RungHistory(sightings=(SEEN,))


def test_a_limit_that_comes_back_keeps_what_it_silences(store: RungStore) -> None:
    later = Sighting(2 * 10**12, 9, NOW + timedelta(hours=1), turn=2)
    store.sight(*WHERE, SEEN)
    store.sight(*WHERE, later)

    assert store.history(*WHERE).last_limit_nano_usd == later.limit_nano_usd

    store.return_to(*WHERE, SEEN.limit_nano_usd, 3)
    history = store.history(*WHERE)

    assert history.sighting(SEEN.limit_nano_usd) == replace(SEEN, turn=3)
    assert (history.last_limit_nano_usd, history.last_turn) == (SEEN.limit_nano_usd, 3)


def test_a_limit_whose_row_is_gone_does_not_leave_half_a_row(store: RungStore) -> None:
    store.return_to(*WHERE, 10**12, 3)

    assert store.history(*WHERE) == RungHistory()
