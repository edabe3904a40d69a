"""The contract of FuseStore, kept by every adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.stub import Stubber
from moto import mock_aws

from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse.key import Key
from spendfuse.fuse.memory import MemoryFuse
from spendfuse.fuse.records import KeyRecord, Trip
from spendfuse.fuse.store import FuseStore, OvertakenError
from spendfuse.fuse_state import Allowance, FuseState, KeySpend, TripOrder

NOW = datetime(2026, 11, 21, 12, 0, 0, 125000, tzinfo=UTC)
ORDER = TripOrder("llm", "all", "2026-11", 100, 10**12, keys=(KeySpend("k1", 5),))
TRIP = Trip(ORDER, NOW, "all reached 100 %", allowance_nano_usd=10**11)
KEY = Key("api_gateway", "k1", "chat", enabled=True, tags={"spendfuse:fuse": "llm", "team": "a"})
RECORD = KeyRecord(TRIP.id, KEY)
ALLOWANCES = {"all#2026-11": Allowance("all", "2026-11", 1, 11 * 10**11)}


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FuseStore]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    if request.param == "memory":
        yield MemoryFuse("llm")
    else:
        with mock_aws():
            yield DynamoFuse(aws("dynamodb"), make_table("fuse"), "llm")


def tripped(store: FuseStore) -> FuseStore:
    store.open_trip(TRIP)
    store.blow(TRIP.id, epoch=0, at=NOW)
    return store


def test_a_fuse_that_never_tripped_is_armed_at_epoch_0(store):
    assert store.state() == FuseState("llm")
    assert list(store.trips()) == []
    assert list(store.records()) == []


def test_a_trip_is_opened_once_and_reads_back_as_it_was_written(store):
    assert store.open_trip(TRIP) == TRIP

    again = store.open_trip(replace(TRIP, cause="something else"))

    assert again == TRIP
    assert list(store.trips()) == [TRIP]


def test_trips_come_oldest_first(store):
    later = replace(TRIP, order=replace(ORDER, budget="a-team"), opened_at=NOW.replace(hour=13))
    store.open_trip(later)
    store.open_trip(TRIP)

    assert [each.id for each in store.trips()] == [TRIP.id, later.id]


def test_blowing_sets_state_and_trip_together(store):
    tripped(store)

    state = store.state()
    assert (state.state, state.epoch, state.trip_id) == ("tripped", 1, TRIP.id)
    assert state.since == NOW
    assert list(store.trips()) == [replace(TRIP, status="tripping", epoch=1)]


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_blowing_twice_or_at_another_epoch_changes_nothing(store, epoch):
    tripped(store)
    before = store.state()

    with pytest.raises(OvertakenError):
        store.blow(TRIP.id, epoch=epoch, at=NOW)

    assert store.state() == before


def test_blowing_at_a_wrong_epoch_leaves_the_trip_in_planning(store):
    store.open_trip(TRIP)

    with pytest.raises(OvertakenError):
        store.blow(TRIP.id, epoch=3, at=NOW)

    assert list(store.trips()) == [TRIP]
    assert store.state() == FuseState("llm")


def test_blowing_for_a_trip_that_is_over_leaves_the_state(store):
    store.open_trip(TRIP)
    store.set_status(TRIP, "past")

    with pytest.raises(OvertakenError):
        store.blow(TRIP.id, epoch=0, at=NOW)

    assert store.state() == FuseState("llm")


def test_joining_keeps_the_state_and_its_epoch(store):
    tripped(store)
    other = replace(TRIP, order=replace(ORDER, budget="a-team"))
    store.open_trip(other)

    store.join(other.id, epoch=1)

    joined = store.open_trip(other)
    assert (joined.status, joined.epoch, joined.joined) == ("tripping", 1, True)
    assert (store.state().epoch, store.state().trip_id) == (1, TRIP.id)
    with pytest.raises(OvertakenError):
        store.join(other.id, epoch=1)


def test_arming_sets_the_allowances_and_counts_the_epoch(store):
    tripped(store)

    store.arm(ALLOWANCES, epoch=1, at=NOW.replace(hour=14))

    state = store.state()
    assert (state.state, state.epoch) == ("armed", 2)
    assert state.allowances == ALLOWANCES
    assert state.since == NOW.replace(hour=14)


@pytest.mark.parametrize("epoch", [0, 2])
def test_arming_at_another_epoch_changes_nothing(store, epoch):
    tripped(store)

    with pytest.raises(OvertakenError):
        store.arm(ALLOWANCES, epoch=epoch, at=NOW)

    assert store.state().state == "tripped"
    assert store.state().allowances == {}


def test_an_armed_fuse_is_not_armed_again(store):
    with pytest.raises(OvertakenError):
        store.arm(ALLOWANCES, epoch=0, at=NOW)

    assert store.state() == FuseState("llm")


def test_the_next_trip_keeps_the_allowances(store):
    tripped(store)
    store.arm(ALLOWANCES, epoch=1, at=NOW)
    second = replace(TRIP, order=replace(ORDER, allowance=1))
    store.open_trip(second)

    store.blow(second.id, epoch=2, at=NOW)

    assert store.state().allowances == ALLOWANCES
    assert store.state().epoch == 3


def test_reports_and_passes_add_up(store):
    store.open_trip(TRIP)
    for outcome in ("incomplete", "done", "done"):
        store.mark_reported(TRIP.id, outcome)
    store.count_pass(TRIP.id)
    store.count_pass(TRIP.id)

    (trip,) = store.trips()
    assert trip.reported == ("done", "incomplete")
    assert trip.passes == 2


def test_a_restored_trip_stays_restored(store):
    store.open_trip(TRIP)
    store.set_status(TRIP, "done")
    done = store.open_trip(TRIP)
    store.set_status(done, "restored")

    with pytest.raises(OvertakenError):
        store.set_status(done, "done")

    assert store.open_trip(TRIP).status == "restored"


@pytest.mark.parametrize(
    "seen", [TRIP, replace(TRIP, status="tripping"), replace(TRIP, status="done", epoch=1)]
)
def test_a_status_is_set_only_where_the_trip_stands_as_it_was_seen(store, seen):
    tripped(store)

    with pytest.raises(OvertakenError):
        store.set_status(seen, "planning")

    (trip,) = store.trips()
    assert (trip.status, trip.epoch) == ("tripping", 1)
    store.set_status(trip, "done")
    assert store.open_trip(TRIP) == replace(trip, status="done")


def test_a_restore_record_is_written_once_and_keeps_what_was_before(store):
    store.put_record(RECORD)
    store.mark_record(TRIP.id, KEY.ref, "disabled", note="slow")
    store.put_record(replace(RECORD, key=replace(KEY, enabled=False)))

    assert list(store.records()) == [replace(RECORD, status="disabled", note="slow")]


def test_each_trip_has_its_own_record_of_a_key(store):
    other = replace(RECORD, trip_id=f"{TRIP.id}0")
    store.put_record(RECORD)
    store.put_record(other)
    store.mark_record(TRIP.id, KEY.ref, "disabled")

    found = {each.trip_id: each.status for each in store.records()}
    assert found == {TRIP.id: "disabled", other.trip_id: "planned"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return aws("dynamodb")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ConditionalCheckFailedException", OvertakenError),
        ("AccessDeniedException", SettingsError),
        ("ResourceNotFoundException", SettingsError),
        ("ValidationException", SettingsError),
        ("ProvisionedThroughputExceededException", UnavailableError),
        ("InternalServerError", UnavailableError),
        ("ThrottlingException", UnavailableError),
    ],
)
def test_each_vendor_error_says_what_to_do_next(client, code, error):
    store = DynamoFuse(client, "fuse", "llm")

    with Stubber(client) as stubber:
        stubber.add_client_error("update_item", service_error_code=code)
        with pytest.raises(error):
            store.count_pass("a")


@pytest.mark.parametrize("error", [ConnectTimeoutError, ReadTimeoutError, EndpointConnectionError])
def test_a_table_that_does_not_answer_is_unavailable(error):
    class Silent:
        def get_item(self, **request):
            raise error(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")

    with pytest.raises(UnavailableError):
        DynamoFuse(Silent(), "fuse", "llm").state()


@pytest.mark.parametrize(
    ("reason", "error"),
    [("ConditionalCheckFailed", OvertakenError), ("TransactionConflict", UnavailableError)],
)
def test_a_cancelled_transaction_is_overtaken_only_when_its_condition_failed(client, reason, error):
    store = DynamoFuse(client, "fuse", "llm")

    with Stubber(client) as stubber:
        stubber.add_client_error(
            "transact_write_items",
            service_error_code="TransactionCanceledException",
            modeled_fields={"CancellationReasons": [{"Code": reason}, {"Code": "None"}]},
        )
        with pytest.raises(error):
            store.blow("a", epoch=0, at=NOW)


def test_all_pages_of_records_are_read(client):
    store = DynamoFuse(client, "fuse", "llm")
    more = {"pk": {"S": "fuse#llm"}, "sk": {"S": "key#x"}}

    with Stubber(client) as stubber:
        stubber.add_response("query", {"Items": [], "LastEvaluatedKey": more})
        stubber.add_response("query", {"Items": []})

        assert list(store.records()) == []
        stubber.assert_no_pending_responses()
