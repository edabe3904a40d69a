"""The guard's table under what the store contract can't stage: races, AWS's answers, late deletes.

moto takes one call at a time, so what two clients do at once is staged: the second one acts just
before the first one's transaction, or AWS's answer to a collision is put in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from contract.guard.steps import DOLLAR, IN_2100, level
from guard_table import TABLE, WallClock, Watched, a_store, cancel, guard_items, guard_table, refuse

from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    RateLevel,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
)
from spendfuse.guard.stores.dynamodb import DynamoStore

DAY = 86_400
FOUR = tuple(level(name) for name in ("all", "organisation", "team", "user"))


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def client() -> Iterator[Watched]:
    with guard_table() as client:
        yield Watched(client)


@pytest.fixture
def store(client: Watched, clock: WallClock) -> DynamoStore:
    return a_store(client, clock)


@pytest.fixture
def other(client: Watched, clock: WallClock) -> DynamoStore:
    """Another process, whose calls are not staged."""
    return a_store(client._client, clock)


def step(id: str, nano_usd: int, *levels: Level, **more: Any) -> Reserve:
    least = more.pop("least", nano_usd)
    return Reserve(id, nano_usd, least, levels, **{"seeds": {}, **more})


def held(store: DynamoStore, id: str, nano_usd: int, *levels: Level, **more: Any) -> Hold:
    outcome = store.reserve(step(id, nano_usd, *levels, **more))
    assert isinstance(outcome, Granted)
    return outcome.hold


def settle(store: DynamoStore, hold: Hold, nano_usd: int, **more: Any) -> Settled:
    outcome = store.settle(Settle(hold, nano_usd, seeds={}, **more))
    assert isinstance(outcome, Settled)
    return outcome


def look(store: DynamoStore, *levels: Level) -> list[Standing | None]:
    return store.look([each.counter for each in levels])


def key_of(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def item(client: Watched, pk: str) -> dict[str, Any]:
    (found,) = [each for each in guard_items(client) if each["pk"]["S"] == pk]
    return dict(found)


# Others act between the look and the write


def test_what_another_took_in_between_is_not_given_twice(client, store, other) -> None:
    held(other, "seeds", 0, level())
    client.before["transact_write_items"] = [lambda: held(other, "b", 60, level())]

    outcome = store.reserve(step("a", 60, level()))

    assert outcome == Refused((Standing(0, 60),))


def test_an_amount_that_no_longer_fits_is_lowered_once_more(client, store, other) -> None:
    fit = level(mode="fit")
    held(other, "seeds", 30, fit)
    client.before["transact_write_items"] = [lambda: held(other, "b", 50, fit)]

    outcome = store.reserve(step("a", 100, fit, least=10))

    assert isinstance(outcome, Granted)
    assert outcome.hold.nano_usd == 20
    assert outcome.standings == (Standing(0, 100),)


def test_one_level_that_moved_on_leaves_all_others_as_they_were(client, store, other) -> None:
    root, team = level("root"), level("team")
    held(other, "seeds", 0, root, team)
    client.before["transact_write_items"] = [lambda: held(other, "b", 60, team)]

    outcome = store.reserve(step("a", 60, root, team))

    assert isinstance(outcome, Refused)
    assert look(store, root, team) == [Standing(0, 0), Standing(0, 60)]


def test_two_who_take_the_same_id_hold_it_once(client, store, other) -> None:
    wide = level(limit=1000)
    held(other, "seeds", 0, wide)
    client.before["transact_write_items"] = [lambda: held(other, "a", 60, wide)]

    outcome = store.reserve(step("a", 60, wide))

    assert isinstance(outcome, Granted)
    assert outcome.is_again
    assert look(store, wide) == [Standing(0, 60)]


def test_two_who_seed_a_counter_start_it_once(client, store, other) -> None:
    counter = level().counter
    client.before["put_item"] = [lambda: held(other, "b", 10, level(), seeds={counter: 40})]

    held(store, "a", 10, level(), seeds={counter: 50})

    assert look(store, level()) == [Standing(40, 20)]


def test_two_who_settle_charge_once(client, store, other) -> None:
    hold = held(other, "a", 60, level())
    client.before["transact_write_items"] = [lambda: settle(other, hold, 25)]

    assert settle(store, hold, 25).kind == "again"
    assert look(store, level()) == [Standing(25, 0)]


def test_two_who_settle_with_different_amounts_charge_the_first_one(client, store, other) -> None:
    hold = held(other, "a", 60, level())
    client.before["transact_write_items"] = [lambda: settle(other, hold, 25)]

    with pytest.raises(ReservationError, match=r"settled with \$2\.5E-8"):
        settle(store, hold, 26)

    assert look(store, level()) == [Standing(25, 0)]


def test_a_new_part_after_the_final_settle_is_a_mistake_whatever_its_amount(store) -> None:
    hold = held(store, "a", 60, level())
    settle(store, hold, 25)

    with pytest.raises(ReservationError, match="part 1"):
        settle(store, hold, 25, keep_nano_usd=10, part=1)

    assert look(store, level()) == [Standing(25, 0)]


def test_a_release_that_a_settle_overtook_does_nothing(client, store, other) -> None:
    hold = held(other, "a", 60, level())
    client.before["transact_write_items"] = [lambda: settle(other, hold, 25)]

    assert not store.release(hold)
    assert look(store, level()) == [Standing(25, 0)]


def test_a_counter_that_vanishes_in_between_is_asked_for_again(client, store, other) -> None:
    held(other, "seeds", 0, level())
    pk = f"counter#acme#{level().counter}"
    key = key_of(pk, "counter")
    client.before["transact_write_items"] = [
        lambda: client._client.delete_item(TableName=TABLE, Key=key)
    ]

    held(store, "a", 60, level(), seeds={level().counter: 30})

    assert look(store, level()) == [Standing(30, 60)]


# Collisions, which moto and the sandbox never have: AWS's answers are put in their place


@pytest.mark.parametrize(
    "answer",
    [
        cancel("None", "TransactionConflict"),
        cancel("None", "ThrottlingError"),
        cancel("None", "ProvisionedThroughputExceeded"),
        refuse("TransactionInProgressException"),
        refuse("ThrottlingException"),
        refuse("InternalServerError"),
    ],
)
@pytest.mark.parametrize("kind", ["reserve", "settle", "release"])
def test_a_collision_is_tried_again_and_counts_once(client, store, answer, kind) -> None:
    hold = held(store, "a", 60, level())
    client.before["transact_write_items"] = [answer, answer]

    if kind == "reserve":
        held(store, "b", 40, level())
        assert look(store, level()) == [Standing(0, 100)]
    elif kind == "settle":
        assert settle(store, hold, 25).kind == "settled"
        assert look(store, level()) == [Standing(25, 0)]
    else:
        assert store.release(hold)
        assert look(store, level()) == [Standing(0, 0)]


@pytest.mark.parametrize("kind", ["reserve", "settle", "release"])
def test_who_collides_for_ever_gives_up_and_has_changed_nothing(client, clock, kind) -> None:
    waits: list[float] = []
    store = DynamoStore(client, TABLE, deployment="acme", now=clock, sleep=waits.append)
    hold = held(store, "a", 60, level())
    client.before["transact_write_items"] = [cancel("None", "TransactionConflict")] * 100
    take: dict[str, Callable[[], object]] = {
        "reserve": lambda: held(store, "b", 40, level()),
        "settle": lambda: settle(store, hold, 25),
        "release": lambda: store.release(hold),
    }

    with pytest.raises(UnavailableError, match="contended"):
        take[kind]()

    client.before.clear()
    assert look(store, level()) == [Standing(0, 60)]
    assert len(waits) == 8
    assert all(0 <= each <= 0.8 for each in waits)
    assert sum(waits) < 4


def test_a_counter_that_is_being_written_may_stay_without_its_mark(client, store) -> None:
    held(store, "a", 60, level())
    client.before["update_item"] = [refuse("TransactionConflictException")]

    outcome = store.reserve(step("b", 60, level(), calls_in=True))

    assert isinstance(outcome, Refused)


def test_a_crowd_of_refused_requests_calls_a_counter_in_once_in_a_while(
    client, clock, store
) -> None:
    held(store, "a", 60, level())
    for number in range(10):
        store.reserve(step(f"refused-{number}", 60, level(), calls_in=True))
    marked = client.count("update_item")
    clock.let_pass(2)
    store.reserve(step("later", 60, level(), calls_in=True))

    assert (marked, client.count("update_item")) == (1, 2)


# What AWS says, and what is done about it


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDeniedException", SettingsError),
        ("ResourceNotFoundException", SettingsError),
        ("UnrecognizedClientException", SettingsError),
        ("ValidationException", SettingsError),
        ("ProvisionedThroughputExceededException", UnavailableError),
        ("IdempotentParameterMismatchException", UnavailableError),
        ("ServiceUnavailable", UnavailableError),
    ],
)
@pytest.mark.parametrize(
    "operation", ["batch_get_item", "transact_write_items", "put_item", "query", "update_item"]
)
def test_an_error_of_aws_is_one_of_ours(client, store, operation, code, expected) -> None:
    held(store, "a", 60, level())
    client.before[operation] = [refuse(code)] * 20

    def reserve() -> None:
        # What does not fit looks for expired holds, and calls the counter in.
        store.reserve(step("b", 60, level(), level("new"), calls_in=True))
        store.reserve(step("c", 40, level()))

    with pytest.raises(SpendfuseError) as caught:
        reserve()

    assert type(caught.value) is expected
    assert "the guard's table" in str(caught.value)


def test_a_number_that_dynamodb_can_not_hold_is_a_setting(client, store) -> None:
    client.before["transact_write_items"] = [cancel("None", "ValidationError")]

    with pytest.raises(SettingsError):
        held(store, "a", 60, level())


@pytest.mark.parametrize("error", [ConnectTimeoutError, EndpointConnectionError])
@pytest.mark.parametrize("operation", ["batch_get_item", "transact_write_items", "put_item"])
def test_a_table_out_of_reach_is_unavailable(client, store, operation, error) -> None:
    def out_of_reach() -> None:
        raise error(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")

    client.before[operation] = [out_of_reach]

    with pytest.raises(UnavailableError, match="did not answer"):
        held(store, "a", 60, level())


@pytest.mark.parametrize("kind", ["reserve", "settle", "release"])
def test_a_step_whose_answer_was_lost_counts_once(client, store, kind, monkeypatch) -> None:
    hold = held(store, "a", 60, level())
    transact = client._client.transact_write_items

    def taken_without_an_answer(**request: Any) -> None:
        transact(**request)
        raise ReadTimeoutError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")

    take: dict[str, Callable[[], object]] = {
        "reserve": lambda: held(store, "b", 40, level()),
        "settle": lambda: settle(store, hold, 25),
        "release": lambda: store.release(hold),
    }
    with monkeypatch.context() as patch:
        patch.setattr(client._client, "transact_write_items", taken_without_an_answer, False)
        with pytest.raises(UnavailableError):
            take[kind]()
    take[kind]()

    expected = {"reserve": Standing(0, 100), "settle": Standing(25, 0), "release": Standing(0, 0)}
    assert look(store, level()) == [expected[kind]]


def test_what_aws_left_unread_is_read_again(client, store) -> None:
    held(store, "a", 10, level("one"), level("two"))
    read = client._client.batch_get_item
    left = [2]

    def half(**request: Any) -> Any:
        keys = request["RequestItems"][TABLE]["Keys"]
        if not left or len(keys) < 2:
            return read(**request)
        left.pop()
        request["RequestItems"] = {TABLE: {"Keys": keys[:1], "ConsistentRead": True}}
        return {**read(**request), "UnprocessedKeys": {TABLE: {"Keys": keys[1:]}}}

    client._client.batch_get_item = half

    assert look(store, level("one"), level("two")) == [Standing(0, 10)] * 2


def test_what_aws_never_reads_is_unavailable(client, store) -> None:
    def nothing(**request: Any) -> Any:
        return {"Responses": {TABLE: []}, "UnprocessedKeys": request["RequestItems"]}

    client._client.batch_get_item = nothing

    with pytest.raises(UnavailableError):
        held(store, "a", 10, level())


def test_more_counters_than_aws_reads_at_once_are_looked_at(store) -> None:
    held(store, "a", 10, level("one"))
    names = [f"none-{number}" for number in range(230)]

    assert store.look([*names, level("one").counter])[-1] == Standing(0, 10)


def test_rates_are_refused_by_name(store) -> None:
    with pytest.raises(SettingsError, match="burst"):
        store.reserve(step("a", 1, level(), rates=(RateLevel("burst/rate", "burst", "", 100),)))


# Time: holds end a minute late, and DynamoDB deletes days late


def test_a_killed_worker_leaks_nothing(client, clock, store, other) -> None:
    for number in range(3):
        held(other, f"killed-{number}", 30, *FOUR, hold_seconds=600)
    assert isinstance(store.reserve(step("a", 60, *FOUR)), Refused)

    clock.let_pass(660)

    held(store, "b", 100, *FOUR)
    assert look(store, *FOUR) == [Standing(0, 100)] * 4


def test_a_clock_that_is_ahead_frees_nothing_that_is_in_use(client, clock, store) -> None:
    hold = held(store, "a", 60, level(), hold_seconds=600)
    ahead = WallClock()
    ahead.let_pass(600 + 59)

    outcome = a_store(client, ahead).reserve(step("b", 60, level()))

    assert isinstance(outcome, Refused)
    assert settle(store, hold, 25).kind == "settled"


def test_a_hold_that_is_settled_while_its_time_ends_is_let_go_of_once(
    client, clock, store, other
) -> None:
    hold = held(other, "a", 60, level(), hold_seconds=600)
    clock.let_pass(660)
    client.before["transact_write_items"] = [lambda: settle(other, hold, 25)]

    outcome = store.reserve(step("b", 80, level()))

    assert outcome == Refused((Standing(25, 0),))


def test_a_hold_that_is_prolonged_while_its_time_ends_stays(client, clock, store, other) -> None:
    hold = held(other, "a", 60, level(), hold_seconds=600)
    behind = WallClock()
    behind.let_pass(620)
    clock.let_pass(660)
    client.before["transact_write_items"] = [
        lambda: settle(a_store(client._client, behind), hold, 25, keep_nano_usd=35, part=1)
    ]

    outcome = store.reserve(step("b", 50, level()))

    assert outcome == Refused((Standing(25, 35),))


def test_an_index_that_lags_behind_lets_go_of_nothing(client, clock, store, other) -> None:
    hold = held(other, "a", 60, level(), hold_seconds=600)
    clock.let_pass(660)
    # After the index was asked, before the hold itself is read.
    client.before["batch_get_item"] = [lambda: None, lambda: settle(other, hold, 25)]

    outcome = store.reserve(step("b", 80, level()))

    assert outcome == Refused((Standing(25, 0),))


def test_many_dead_holds_are_let_go_of_by_more_than_one_step(client, clock, store) -> None:
    gone, narrow = level("gone"), level("narrow")
    held(store, "dead", 1, gone)
    # Their counter is gone, so that letting go of them is one write each, and the test is quick.
    client.delete_item(TableName=TABLE, Key=key_of(f"counter#acme#{gone.counter}", "counter"))
    dead = item(client, "hold#acme#dead")
    for number in range(104):
        client.put_item(TableName=TABLE, Item={**dead, "pk": {"S": f"hold#acme#dead-{number}"}})
    held(store, "last", 100, narrow, hold_seconds=601)
    clock.let_pass(661)

    first = store.reserve(step("a", 100, narrow))
    second = store.reserve(step("b", 100, narrow))

    assert isinstance(first, Refused)
    assert isinstance(second, Granted)


def test_a_hold_of_a_period_whose_counter_is_gone_is_let_go_of(client, clock, store) -> None:
    held(store, "a", 60, level("old"), level("total"))
    key = key_of(f"counter#acme#{level('old').counter}", "counter")
    client.delete_item(TableName=TABLE, Key=key)
    clock.let_pass(660)

    assert look(store, level("old"), level("total")) == [None, Standing(0, 0)]
    assert settle(store, Hold("a", 60, (level("total"),)), 25).kind == "late"


def test_only_what_is_finished_has_a_time_to_live(client, clock, store) -> None:
    # Else DynamoDB could delete a hold that still stands in a counter, and nobody would let go.
    hold = held(store, "a", 60, level())
    now = int(clock().timestamp())
    while_held = item(client, "hold#acme#a")

    settle(store, hold, 25)

    settled = item(client, "hold#acme#a")
    assert "expires_at" not in while_held
    assert while_held["held_of"] == {"S": "acme"}
    assert settled["expires_at"] == {"N": str(now + 600)}
    assert not {"held_of", "held_until"} & set(settled)


def test_an_expired_hold_is_kept_for_a_late_settle_and_then_goes(client, clock, store) -> None:
    held(store, "a", 60, level(), hold_seconds=600)
    ends = int(clock().timestamp()) + 600
    clock.let_pass(660)
    look(store, level())

    assert item(client, "hold#acme#a")["expires_at"] == {"N": str(ends + DAY)}


def test_a_counter_goes_forty_days_after_its_period_and_that_of_a_total_stays(
    client, store
) -> None:
    total = Level("all/total", "all", "", "total", 100)
    held(store, "a", 60, level(), total)

    assert item(client, f"counter#acme#{level().counter}")["expires_at"] == {
        "N": str(IN_2100 + 40 * DAY)
    }
    assert "expires_at" not in item(client, "counter#acme#all/total")


def test_what_dynamodb_forgot_to_delete_means_nothing_any_more(clock, store) -> None:
    hold = held(store, "a", 60, level())
    settle(store, hold, 25)
    clock.let_pass(601)

    assert store.find("a") is None
    held(store, "a", 70, level())
    assert look(store, level()) == [Standing(25, 70)]


def test_a_cost_after_everything_about_it_was_forgotten_counts(clock, store) -> None:
    hold = held(store, "a", 60, level())
    settle(store, hold, 25)
    clock.let_pass(601)

    assert settle(store, hold, 30).kind == "late"
    assert settle(store, hold, 30).kind == "again"
    assert look(store, level()) == [Standing(55, 0)]


def test_a_hold_that_nobody_let_go_of_for_days_is_found_no_more_and_leaks_nothing(
    clock, store
) -> None:
    held(store, "a", 60, level(), hold_seconds=600)
    clock.let_pass(3 * DAY)

    assert store.find("a") is None
    held(store, "a", 100, level())
    assert look(store, level()) == [Standing(0, 100)]


# What is in the table


def test_a_pair_over_four_levels_writes_ten_items_and_reads_ten(client, store) -> None:
    held(store, "seeds", 0, *FOUR)
    client.calls.clear()

    settle(store, held(store, "a", 60, *FOUR), 25)

    operations = [operation for operation, _ in client.calls]
    assert operations == ["batch_get_item", "transact_write_items"] * 2
    written = [
        len(call["TransactItems"])
        for operation, call in client.calls
        if operation == "transact_write_items"
    ]
    read = [
        len(call["RequestItems"][TABLE]["Keys"])
        for operation, call in client.calls
        if operation == "batch_get_item"
    ]
    assert (written, read) == ([5, 5], [5, 5])
    # An item of up to a kilobyte is two write units in a transaction.
    assert all(len(str(each)) < 1024 for each in guard_items(client))


def test_a_refusal_and_a_free_request_write_no_counter(client, store) -> None:
    held(store, "a", 60, *FOUR)
    client.calls.clear()

    store.reserve(step("b", 60, *FOUR))
    settle(store, held(store, "free", 0, *FOUR), 0)

    written = [call for name, call in client.calls if name == "transact_write_items"]
    assert [len(each["TransactItems"]) for each in written] == [1, 1]


def test_every_read_of_items_is_consistent(client, store) -> None:
    settle(store, held(store, "a", 60, level()), 25)

    for operation, call in client.calls:
        if operation == "batch_get_item":
            assert call["RequestItems"][TABLE]["ConsistentRead"] is True


def test_deployments_that_share_a_table_share_no_counter(client, clock, store) -> None:
    theirs = DynamoStore(client, TABLE, deployment="beta", now=clock)
    hold = held(store, "a", 60, level(), hold_seconds=600)
    held(theirs, "a", 100, level())

    assert look(theirs, level()) == [Standing(0, 100)]
    settle(store, hold, 25)
    clock.let_pass(660)
    assert look(store, level()) == [Standing(25, 0)]
    assert item(client, "hold#beta#a")["state"] == {"S": "held"}


@pytest.mark.parametrize(
    "id",
    ["", "user:x}:y", "a#b", "🔥", "\ud800", "x" * 5000, "counter#acme#root/2099-12", "a\n", " "],
)
def test_an_odd_id_is_an_id_of_its_own(client, store, id) -> None:
    held(store, "a", 10, level())

    hold = held(store, id, 20, level())

    assert store.find(id) == hold
    assert store.release(hold)
    assert look(store, level()) == [Standing(0, 10)]


def test_an_id_that_looks_like_anothers_hash_is_not_that_one(client, store) -> None:
    held(store, "user x", 10, level())
    (key,) = [each["pk"]["S"] for each in guard_items(client) if each["sk"]["S"] == "hold"]

    assert store.find(key.removeprefix("hold#acme#")) is None


def test_a_name_that_somebody_calls_himself_comes_back_as_it_was(store) -> None:
    names = ["x}:y", 'a"b\\', "\ud800", "Zoë"]
    levels = tuple(level("user", value=each) for each in names)
    held(store, "a", 10, *levels)

    found = store.find("a")

    assert found is not None
    assert [each.value for each in found.levels] == names


def test_a_hold_of_a_newer_process_can_be_read(client, store) -> None:
    hold = held(store, "a", 10, level())
    stored = item(client, "hold#acme#a")
    stored["levels"] = {"S": stored["levels"]["S"].replace("]]", ', "new"]]')}
    client.put_item(TableName=TABLE, Item=stored)

    assert store.find("a") == hold


def test_dollars_beyond_any_bill_are_counted_to_the_nano_dollar(store) -> None:
    limit = 10**18 * DOLLAR - 1
    huge = level(limit=limit)
    hold = held(store, "a", limit - 1, huge)

    assert isinstance(store.reserve(step("b", 2, huge)), Refused)
    held(store, "c", 1, huge)
    settle(store, hold, limit - 1)
    assert look(store, huge) == [Standing(limit - 1, 1)]
