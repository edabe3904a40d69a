"""What ``ValkeyStore`` promises beyond what every store does; tests/contract/guard has that."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from importlib import resources

import pytest
import valkey_servers
from unit.guard.valkey_steps import (
    FOUR,
    IN_2100,
    a_deployment,
    a_level,
    a_rate,
    at_once,
    held,
    monitored,
    reserve,
    settle,
)
from valkey_servers import Server

from spendfuse.errors import InputError, SettingsError
from spendfuse.guard.step import Granted, Refused, Settle, Standing, Unseeded
from spendfuse.guard.stores.valkey import ValkeyStore
from spendfuse.guard.stores.valkey_packing import MOST_NANO_USD
from spendfuse.guard.stores.windows import BUCKET_SECONDS

DAY = 86_400
IN_REDIS_6_2 = {
    "GET", "HDEL", "HGET", "HGETALL", "HINCRBY", "HMGET", "HSET", "PEXPIRE", "PEXPIREAT", "SET",
    "TIME",
}  # fmt: skip


@pytest.fixture
def server() -> Server:
    return valkey_servers.shared()


@pytest.fixture
def deployment() -> str:
    return a_deployment()


@pytest.fixture
def store(server: Server, deployment: str) -> Iterator[ValkeyStore]:
    store = ValkeyStore(server.url, deployment=deployment, timeout_seconds=5.0)
    yield store
    store.close()


def every_step(store) -> None:
    """Have the server know all scripts."""
    hold = held(store, "warm", 1, *FOUR)
    settle(store, hold, 0)
    store.release(hold)
    store.look([FOUR[0].counter])


def test_a_step_over_four_levels_is_one_command(server, store) -> None:
    every_step(store)
    with server.client() as client, monitored(client) as seen:
        settle(store, held(store, "a", 5, *FOUR), 5)

    assert [each.split()[1] for each in seen if not each.startswith("lua")] == ["EVALSHA"] * 2


def test_a_script_touches_only_keys_that_its_call_declares(server, store) -> None:
    levels, rates = FOUR, (a_rate(),)
    every_step(store)
    with server.client() as client, monitored(client) as seen:
        first = held(store, "a", 5, *levels, rates=rates, seconds=0.01)
        time.sleep(0.02)
        reserve(store, "b", 500, *levels, rates=rates, calls_in=True)
        settle(store, first, 7)
        second = held(store, "c", 5, *levels, rates=rates)
        settle(store, second, 1, keep_nano_usd=3, part=1)
        store.release(second)
        store.look([each.counter for each in levels])

    declared: set[str] = set()
    touched = 0
    for each in seen:
        kind, name, *arguments = each.split(" ")
        if kind != "lua":
            declared = set(arguments[2 : 2 + int(arguments[1])])
        elif name != "TIME":
            touched += 1
            assert arguments[0] in declared, each
    assert touched > 50


def test_all_keys_of_a_step_lie_in_one_slot_of_a_cluster(server, store, deployment) -> None:
    hold = held(store, "}a{:", 5, a_level("root", value="{x}:y"), a_level(), rates=(a_rate(),))
    settle(store, hold, 5)

    with server.client() as client:
        keys = client.keys(f"spendfuse:{{{deployment}}}:*")
        slots = {client.execute_command("CLUSTER", "KEYSLOT", each) for each in keys}
    assert len(keys) == 4
    assert len(slots) == 1


def test_a_hold_costs_the_same_among_two_thousand(server, store) -> None:
    def commands() -> int:
        with server.client() as client, monitored(client) as seen:
            settle(store, held(store, secrets.token_hex(8), 5, *FOUR), 5)
        return len(seen)

    commands()
    alone = commands()
    for number in range(2_000):
        held(store, f"live-{number}", 1, *FOUR)

    assert commands() == alone


def test_holds_that_ended_at_any_moment_stand_in_nobody_s_way(store) -> None:
    for number in range(300):
        held(store, f"old-{number}", 1, a_level(limit=300), seconds=0.001 * (number % 100 + 1))
    time.sleep(0.15)

    assert held(store, "new", 300, a_level(limit=300)).nano_usd == 300


def test_what_has_ended_can_not_be_released(store) -> None:
    hold = held(store, "a", 5, a_level(), seconds=0.01)
    time.sleep(0.02)
    held(store, "b", 7, a_level())

    assert not store.release(hold)
    assert store.look([a_level().counter]) == [Standing(0, 7)]


def test_scripts_use_only_what_redis_6_2_has() -> None:
    folder = resources.files("spendfuse.guard.stores") / "scripts"
    texts = [each.read_text() for each in folder.iterdir() if each.name.endswith(".lua")]

    assert len(texts) == 5
    assert set(re.findall(r"redis\.call\('(\w+)'", "".join(texts))) <= IN_REDIS_6_2
    assert sum(each.count("redis.") for each in texts) == sum(
        each.count("redis.call('") for each in texts
    )


def test_flushed_scripts_are_sent_again(server, store) -> None:
    hold = held(store, "a", 5, a_level())
    with server.client() as client:
        client.script_flush()
        connections = client.info("stats")["total_connections_received"]

        assert settle(store, hold, 5).kind == "settled"
        client.script_flush()
        assert store.look([a_level().counter]) == [Standing(5, 0)]
        assert client.info("stats")["total_connections_received"] == connections
    assert store.look([a_level().counter]) == [Standing(5, 0)]


def test_what_is_spent_is_exact_where_lua_s_numbers_are_not(store) -> None:
    watched = a_level(limit=MOST_NANO_USD, mode="observe")
    for number in range(5):
        settle(store, held(store, f"a{number}", MOST_NANO_USD - 1, watched), MOST_NANO_USD - 1)
    held(store, "b", MOST_NANO_USD, watched)
    held(store, "c", 3, watched)

    expected = Standing(5 * MOST_NANO_USD - 5, MOST_NANO_USD + 3)
    assert store.look([watched.counter]) == [expected]
    outcome = reserve(store, "d", 1, a_level(limit=MOST_NANO_USD))
    assert outcome == Refused((expected,))


def test_a_counter_is_never_counted_beyond_what_the_server_can_hold(store) -> None:
    watched = a_level(limit=MOST_NANO_USD, mode="observe")
    seeds = {watched.counter: 9 * 10**18 - 10}
    hold = held(store, "a", 20, watched, seeds=seeds)

    with pytest.raises(SettingsError, match="root"):
        settle(store, hold, 10**6)
    assert store.look([watched.counter]) == [Standing(9 * 10**18 - 10, 20)]


def test_nothing_more_is_held_than_the_server_can_count(store) -> None:
    watched = a_level(limit=MOST_NANO_USD, mode="observe")
    for number in range(1_000):
        held(store, f"a{number}", MOST_NANO_USD, watched)

    with pytest.raises(SettingsError, match="root"):
        reserve(store, "b", MOST_NANO_USD, watched)
    assert store.look([watched.counter]) == [Standing(0, 1_000 * MOST_NANO_USD)]


def test_a_limit_that_is_too_high_names_its_budget(store) -> None:
    with pytest.raises(SettingsError, match=r"budget 'root'.*9,000,000"):
        reserve(store, "a", 1, a_level(limit=MOST_NANO_USD + 1))
    with pytest.raises(SettingsError, match="rate 'burst'"):
        reserve(store, "a", 1, rates=(a_rate(MOST_NANO_USD + 1),))


@pytest.mark.parametrize("amount", [-1, MOST_NANO_USD + 1])
def test_an_amount_that_is_not_counted_exactly_changes_nothing(store, amount: int) -> None:
    hold = held(store, "a", 5, a_level())

    with pytest.raises(InputError):
        reserve(store, "b", amount, a_level())
    with pytest.raises(InputError):
        settle(store, hold, amount)
    assert store.look([a_level().counter]) == [Standing(0, 5)]


def test_a_counter_is_forgotten_forty_days_after_its_period_and_a_total_never(
    server, store, deployment
) -> None:
    total, past = a_level("all", period="total", ends_at=0), a_level("past", ends_at=1_000)
    held(store, "a", 5, a_level(), total, past)

    with server.client() as client:
        prefix = f"spendfuse:{{{deployment}}}:c:"
        assert client.expiretime(prefix + a_level().counter) == IN_2100 + 40 * DAY
        assert client.expiretime(prefix + total.counter) == -1
        assert DAY - 60 <= client.ttl(prefix + past.counter) <= DAY


def test_a_record_outlives_its_hold_by_a_day_and_its_settle_by_ten_minutes(
    server, store, deployment
) -> None:
    key = f"spendfuse:{{{deployment}}}:id:a"
    hold = held(store, "a", 5, a_level(), seconds=100.0)
    with server.client() as client:
        as_held = client.ttl(key)
        settle(store, hold, 1, keep_nano_usd=3, part=1, hold_seconds=500.0)
        as_kept = client.ttl(key)
        settle(store, hold, 1)
        as_settled = client.ttl(key)

    assert DAY + 95 <= as_held <= DAY + 100
    assert DAY + 495 <= as_kept <= DAY + 500
    assert 595 <= as_settled <= 600


def test_windows_are_forgotten_when_they_are_empty(server, store, deployment) -> None:
    held(store, "a", 5, rates=(a_rate(),))

    with server.client() as client:
        assert 60 <= client.ttl(f"spendfuse:{{{deployment}}}:r:{a_rate().counter}") <= 70


def test_the_first_seed_wins_among_clients_that_race(server, deployment) -> None:
    stores = [ValkeyStore(server.url, deployment=deployment) for _ in range(8)]
    works = [
        lambda number=number, store=store: reserve(
            store, f"a{number}", 1, a_level(limit=10**6), seeds={a_level().counter: 10 * number}
        )
        for number, store in enumerate(stores)
    ]

    at_once(works)

    (standing,) = stores[0].look([a_level().counter])
    assert standing is not None
    assert standing.spent_nano_usd in range(0, 80, 10)
    assert standing.held_nano_usd == 8
    for each in stores:
        each.close()


def test_a_limit_holds_among_threads_to_the_last_nano_dollar(store) -> None:
    granted: list[int] = []

    def spend(name: int) -> None:
        for number in range(40):
            outcome = reserve(store, f"{name}-{number}", 7, a_level(limit=1_000), a_level("team"))
            if isinstance(outcome, Granted):
                granted.append(settle(store, outcome.hold, 7).kind == "settled")

    at_once([lambda name=name: spend(name) for name in range(16)])

    assert store.look([a_level().counter, a_level("team").counter]) == [Standing(98, 0)] * 2
    assert len(granted) == 14


def test_what_a_lost_counter_held_is_not_taken_from_its_successor(
    server, store, deployment
) -> None:
    old = held(store, "old", 60, a_level())
    older = held(store, "older", 30, a_level())
    with server.client() as client:
        client.delete(f"spendfuse:{{{deployment}}}:c:{a_level().counter}")
    held(store, "new", 70, a_level(), seeds={a_level().counter: 10})

    settle(store, old, 5)
    store.release(older)

    assert store.look([a_level().counter]) == [Standing(15, 70)]


def test_deployments_share_nothing(server) -> None:
    one, other = (ValkeyStore(server.url, deployment=a_deployment()) for _ in range(2))
    held(one, "a", 100, a_level())

    assert held(other, "a", 100, a_level()).nano_usd == 100
    assert one.look([a_level().counter]) == other.look([a_level().counter]) == [Standing(0, 100)]
    one.close()
    other.close()


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "{a}"])
def test_a_deployment_that_would_break_the_hash_tag_is_refused(server, name: str) -> None:
    with pytest.raises(SettingsError, match="braces"):
        ValkeyStore(server.url, deployment=name)


@pytest.mark.parametrize("odd", ["user:x}:y", "{}", "\r\n", "\ud800", "ü" * 300, "", "*"])
def test_an_odd_id_is_only_an_id(store, odd: str) -> None:
    hold = held(store, odd, 5, a_level())
    held(store, odd + "2", 5, a_level())

    assert store.find(odd) == hold
    assert settle(store, hold, 5).kind == "settled"
    assert store.look([a_level().counter]) == [Standing(5, 5)]


def test_a_hold_is_found_as_it_was_granted(store) -> None:
    hold = held(store, "a", 5, *FOUR, rates=(a_rate(),))

    assert store.find("a") == hold
    assert hold.slot > 0


def test_a_settle_says_how_its_levels_stand(store) -> None:
    other = held(store, "other", 10, *FOUR)
    hold = held(store, "a", 50, *FOUR)

    part = store.settle(Settle(hold, 20, 30, 1, seeds={}))
    assert part.standings == (Standing(20, 40),) * 4
    assert settle(store, hold, 5).standings == (Standing(25, 10),) * 4
    store.release(other)
    assert settle(store, other, 1) == ("late", (Standing(26, 0),) * 4)


def test_seeds_are_asked_for_all_missing_counters_at_once(store) -> None:
    outcome = reserve(store, "a", 5, *FOUR, seeds=None)

    assert outcome == Unseeded(tuple(each.counter for each in FOUR))


def test_many_counters_are_looked_at(store) -> None:
    held(store, "a", 5, a_level("b600"))

    names = [a_level(f"b{number}").counter for number in range(1_100)]
    assert [n for n, each in enumerate(store.look(names)) if each is not None] == [600]


def test_a_window_slides_by_the_server_s_clock(server, store, deployment) -> None:
    left = BUCKET_SECONDS - time.time() % BUCKET_SECONDS
    if left < 1.0:
        # Else it might slide once by itself.
        time.sleep(left)
    held(store, "a", 60, rates=(a_rate(),))
    held(store, "b", 40, rates=(a_rate(),))
    (wait,) = reserve(store, "c", 1, rates=(a_rate(),)).rate_waits
    assert 55 <= wait <= 65

    _age_window(server, deployment, slots=12)
    (wait,) = reserve(store, "c", 1, rates=(a_rate(),)).rate_waits
    assert 0 < wait <= 5

    _age_window(server, deployment, slots=1)
    assert held(store, "c", 100, rates=(a_rate(),)).nano_usd == 100
    with server.client() as client:
        assert client.hlen(_window(deployment)) == 1


def _window(deployment: str) -> str:
    return f"spendfuse:{{{deployment}}}:r:{a_rate().counter}"


def _age_window(server: Server, deployment: str, *, slots: int) -> None:
    """Have what is counted be counted so many buckets earlier."""
    with server.client() as client:
        amounts = client.hgetall(_window(deployment))
        client.delete(_window(deployment))
        client.hset(
            _window(deployment),
            mapping={int(slot) - slots: amount for slot, amount in amounts.items()},
        )


def _counter(deployment: str) -> str:
    return f"spendfuse:{{{deployment}}}:c:{a_level().counter}"


@pytest.mark.parametrize("end", ["settled", "released"])
def test_a_hold_that_ended_before_the_clock_stepped_back_is_let_go_of_once(
    server, store, deployment, end
) -> None:
    hold = held(store, "a", 5, a_level())
    with server.client() as client:
        # As a step leaves it at a time when the hold was over.
        fields = client.hgetall(_counter(deployment))
        moment = next(name for name in fields if name.isdigit())
        client.hdel(_counter(deployment), moment, "n")
        client.hincrby(_counter(deployment), "h", -5)
    if end == "settled":
        settle(store, hold, 3)
    else:
        store.release(hold)

    assert store.look([a_level().counter]) == [Standing(3 if end == "settled" else 0, 0)]
    assert held(store, "b", 5, a_level()).nano_usd == 5


@pytest.mark.parametrize("end", ["settled", "released"])
def test_a_hold_on_a_counter_that_is_younger_by_the_clock_ends_all_the_same(
    server, store, deployment, end
) -> None:
    settle(store, held(store, "first", 1, a_level()), 1)
    with server.client() as client:
        client.hincrby(_counter(deployment), "b", 3_600_000_000)
    hold = held(store, "a", 5, a_level())
    if end == "settled":
        settle(store, hold, 3)
    else:
        store.release(hold)

    assert store.look([a_level().counter]) == [Standing(4 if end == "settled" else 1, 0)]
