"""What ``ValkeyStore`` does when its server is away, unwilling, or many servers."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import valkey_servers
from unit.guard.valkey_steps import (
    FOUR,
    a_deployment,
    a_level,
    a_rate,
    at_once,
    held,
    reserve,
    settle,
)
from valkey.cluster import ValkeyCluster
from valkey_servers import Server

from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.guard.step import Standing
from spendfuse.guard.stores.valkey import ValkeyStore

SECRET = "hunter2-is-secret"


@pytest.fixture
def server() -> Server:
    return valkey_servers.shared()


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that a test may set up as it likes, with nothing of others' in it."""
    # Else a replica would wait for others to come along.
    with valkey_servers.running(**{"repl-diskless-sync-delay": "0"}) as server:
        yield server


@pytest.fixture
def user(own: Server) -> Iterator[str]:
    """A user who may do nothing yet."""
    with own.client() as client:
        client.acl_setuser("app", enabled=True, passwords=[f"+{SECRET}"])
        yield "app"
        client.acl_deluser("app")


def test_a_restarted_server_is_noticed_and_costs_no_request() -> None:
    with valkey_servers.running() as server:
        store = ValkeyStore(server.url)
        held(store, "a", 5, a_level())
        server.kill()
        server.restart()

        assert held(store, "b", 7, a_level()).nano_usd == 7
        assert store.look([a_level().counter]) == [Standing(0, 7)]
        store.close()


def test_a_server_that_is_away_is_unavailable_at_once_and_not_named_to_clients() -> None:
    with valkey_servers.running() as server:
        store = ValkeyStore(server.url)
        hold = held(store, "a", 5, a_level())
        server.kill()

        with pytest.raises(UnavailableError) as raised:
            settle(store, hold, 5)
        assert "can't be reached" in str(raised.value)
        assert str(server.port) not in str(raised.value)
        assert "127.0.0.1" not in str(raised.value)
        assert str(server.port) in str(raised.value.__cause__)
        store.close()


def test_a_server_that_hangs_is_not_asked_twice_and_takes_the_step_once() -> None:
    with valkey_servers.running() as server:
        store = ValkeyStore(server.url, timeout_seconds=0.2)
        _pairs(store, "warm", number=1)
        hold = held(store, "a", 5, a_level())
        calls = _calls(server)
        server.pause()
        try:
            with pytest.raises(UnavailableError, match="did not answer in time"):
                settle(store, hold, 3)
        finally:
            server.go_on()
        _wait_until(lambda: _calls(server) == calls + 1)

        assert settle(store, hold, 3).kind == "again"
        assert store.look([a_level().counter]) == [Standing(3, 0)]
        store.close()


def test_every_connection_has_a_timeout_whatever_a_client_s_is(own) -> None:
    with own.client(socket_timeout=None) as client:
        for server in (own.url, client):
            store = ValkeyStore(server, deployment=a_deployment(), timeout_seconds=0.7)
            held(store, "a", 5, a_level())

            (connection, _) = store._server._idle[0]
            assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.7, 0.7)
            store.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_another_step_s() -> None:
    with valkey_servers.running() as server:
        store = ValkeyStore(server.url, timeout_seconds=0.2)
        held(store, "a", 5, a_level())
        server.pause()
        with pytest.raises(UnavailableError):
            reserve(store, "b", 11, a_level())
        server.go_on()

        assert held(store, "c", 7, a_level()).nano_usd == 7
        store.close()


def test_a_step_whose_answer_broke_off_is_sent_once_more_and_counts_once(server) -> None:
    proxy = Proxy(server.port)
    store = ValkeyStore(proxy.url, deployment=a_deployment())
    _pairs(store, "warm", number=1)
    hold = held(store, "a", 5, a_level())
    proxy.cuts = 1

    assert settle(store, hold, 3).kind == "again"
    assert store.look([a_level().counter]) == [Standing(3, 0)]
    assert proxy.cuts == 0
    store.close()
    proxy.close()


def test_a_new_connection_that_breaks_off_too_is_the_end_of_it(server) -> None:
    proxy = Proxy(server.port)
    store = ValkeyStore(proxy.url, deployment=a_deployment())
    hold = held(store, "a", 5, a_level())
    proxy.cuts = 2

    with pytest.raises(UnavailableError):
        settle(store, hold, 3)
    assert proxy.cuts == 0
    store.close()
    proxy.close()


def test_every_thread_has_a_connection_and_they_are_used_again(own) -> None:
    store = ValkeyStore(own.url, deployment=a_deployment())
    at_once([lambda name=name: _pairs(store, str(name)) for name in range(8)])

    with own.client() as client:
        assert len(client.client_list(_type="normal")) <= 8 + 1
    assert store.look([FOUR[0].counter]) == [Standing(8 * 20, 0)]
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(own) -> None:
    store = ValkeyStore(own.url, deployment=a_deployment())
    held(store, "parent", 5, *FOUR)
    child = os.fork()
    if child == 0:
        # No assert here: a child that raised would go on with the parent's tests.
        _pairs(store, "child")
        os._exit(0)
    _pairs(store, "parent")
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert store.look([FOUR[0].counter]) == [Standing(40, 5)]
    store.close()


def test_an_old_connection_is_made_anew(own, monkeypatch) -> None:
    monkeypatch.setattr("spendfuse.guard.stores.valkey._IDLE_SECONDS", -1.0)
    store = ValkeyStore(own.url, deployment=a_deployment())
    with own.client() as client:
        before = client.info("stats")["total_connections_received"]
        _pairs(store, "a", number=2)

        assert client.info("stats")["total_connections_received"] == before + 4
    store.close()


def test_a_wrong_password_says_what_to_check_and_shows_nothing(own, user) -> None:
    url = f"valkey://{user}:wrong-{SECRET}@127.0.0.1:{own.port}/0"
    store = ValkeyStore(url, deployment=a_deployment())

    with pytest.raises(UnavailableError, match="SPENDFUSE_VALKEY_PASSWORD_FILE") as raised:
        held(store, "a", 5, a_level())
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r} {store!r} {vars(store)!r}"


def test_the_password_that_is_passed_beats_the_one_in_the_url(own, user) -> None:
    with own.client() as client:
        client.acl_setuser(user, enabled=True, keys=["spendfuse:*"], categories=["+@all"])
    url = f"valkey://{user}:wrong@127.0.0.1:{own.port}/0"
    store = ValkeyStore(url, deployment=a_deployment(), password=SECRET)

    assert held(store, "a", 5, a_level()).nano_usd == 5
    assert SECRET not in repr(store)
    store.close()


def test_a_server_that_wants_a_password_says_so(own) -> None:
    with own.client() as client:
        client.config_set("requirepass", SECRET)
        store = ValkeyStore(own.url, deployment=a_deployment())
        try:
            with pytest.raises(UnavailableError, match="wants a password"):
                held(store, "a", 5, a_level())
        finally:
            client.config_set("requirepass", "")


@pytest.mark.parametrize("allowed", [[], ["+evalsha", "+eval"]])
def test_a_user_without_the_rights_says_which_it_needs(own, user, allowed) -> None:
    with own.client() as client:
        client.acl_setuser(user, enabled=True, keys=["spendfuse:*"], commands=allowed)
    store = ValkeyStore(
        f"valkey://{user}@127.0.0.1:{own.port}/0", deployment=a_deployment(), password=SECRET
    )

    with pytest.raises(UnavailableError, match="allow EVALSHA"):
        held(store, "a", 5, a_level())
    store.close()


def test_the_rights_that_the_docs_name_are_enough(own, user) -> None:
    names = ("evalsha", "eval", "get", "hdel", "hget", "hgetall", "hincrby", "hmget", "hset")
    names += ("pexpire", "pexpireat", "set", "time")
    with own.client() as client:
        client.acl_setuser(
            user, enabled=True, keys=["spendfuse:*"], commands=[f"+{each}" for each in names]
        )
    url = f"valkey://{user}@127.0.0.1:{own.port}/0"
    store = ValkeyStore(url, deployment=a_deployment(), password=SECRET)

    _every_step(store)
    store.close()


def test_a_replica_is_told_from_a_primary(own) -> None:
    with valkey_servers.running() as replica, replica.client() as client:
        client.slaveof("127.0.0.1", own.port)
        _wait_until(lambda: client.info("replication")["master_link_status"] == "up")
        store = ValkeyStore(replica.url, deployment=a_deployment())

        with pytest.raises(UnavailableError, match=r"read-only replica.*primary"):
            held(store, "a", 5, a_level())
        client.slaveof()
        assert held(store, "a", 5, a_level()).nano_usd == 5
        store.close()


def test_data_of_others_under_our_keys_is_said_and_left_alone(own) -> None:
    deployment = a_deployment()
    store = ValkeyStore(own.url, deployment=deployment)
    with own.client() as client:
        key = f"spendfuse:{{{deployment}}}:c:{a_level('team').counter}"
        client.set(key, "somebody's")
        with pytest.raises(UnavailableError, match="a database of its own"):
            held(store, "a", 5, a_level(), a_level("team"))

        assert client.get(key) == b"somebody's"
    assert store.look([a_level().counter]) in ([None], [Standing(0, 0)])
    store.close()


def test_a_full_server_takes_a_step_whole_or_not_at_all(own) -> None:
    store = ValkeyStore(own.url, deployment=a_deployment())
    hold = held(store, "a", 5, *FOUR)
    with own.client() as client:
        client.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(UnavailableError, match="memory is full"):
                settle(store, hold, 3)
        finally:
            client.config_set("maxmemory", "0")

    assert store.look([each.counter for each in FOUR]) == [Standing(0, 5)] * 4
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        f"valkey://:{SECRET}/x@host:6379/0",
        f"valkey://:a@host:{SECRET}/0",
        f"http://:{SECRET}@host/0",
        SECRET,
        f"valkey://host:6379/0?socket_timeout={SECRET}",
    ],
)
def test_a_url_that_can_not_be_read_is_not_repeated(url) -> None:
    with pytest.raises(SettingsError, match="valkey://host:6379/0") as raised:
        ValkeyStore(url)

    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_client_of_the_app_s_own_lends_its_settings(own) -> None:
    with own.client(decode_responses=True, socket_timeout=None, db=3) as client:
        store = ValkeyStore(client, deployment=a_deployment())

        _every_step(store)
        assert client.dbsize() > 0
        assert client.flushdb()
        store.close()


def test_a_unix_socket_is_a_server_too(tmp_path) -> None:
    with valkey_servers.running(unixsocket=str(tmp_path / "valkey.sock")):
        store = ValkeyStore(f"unix://{tmp_path}/valkey.sock?db=1", deployment=a_deployment())

        _every_step(store)
        assert repr(store).startswith(f"<ValkeyStore {tmp_path}")
        store.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    # By default the second port lies 10,000 above the first, where there may be none.
    settings = {"cluster-enabled": "yes", "cluster-port": str(valkey_servers.free_port())}
    with valkey_servers.running(**settings) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            _wait_until(lambda: b"state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield server


@pytest.mark.parametrize("decodes", [False, True])
def test_a_cluster_takes_every_step_through_its_own_client(cluster, decodes) -> None:
    settings = {"socket_timeout": 5.0, "decode_responses": decodes}
    with ValkeyCluster(host="127.0.0.1", port=cluster.port, **settings) as client:
        store = ValkeyStore(client, deployment=a_deployment())

        _every_step(store)
        with cluster.client() as alone:
            alone.script_flush()
        _every_step(store, "again")


def test_a_cluster_s_client_without_a_timeout_is_refused(cluster) -> None:
    with (
        ValkeyCluster(host="127.0.0.1", port=cluster.port, socket_timeout=None) as client,
        pytest.raises(SettingsError, match=r"socket_timeout=0\.5"),
    ):
        ValkeyStore(client)


def _every_step(store: ValkeyStore, name: str = "a") -> None:
    rates = (a_rate(10**9),)
    hold = held(store, f"{name}{{}}", 5, *FOUR, rates=rates)
    assert reserve(store, hold.id, 5, *FOUR, rates=rates).is_again
    assert store.find(hold.id) == hold
    assert settle(store, hold, 1, keep_nano_usd=3, part=1).kind == "settled"
    assert settle(store, hold, 1).kind == "settled"
    assert store.release(held(store, f"{name}2", 5, *FOUR))
    standings = store.look([each.counter for each in FOUR])
    assert {each and each.held_nano_usd for each in standings} == {0}


def _pairs(store: ValkeyStore, name: str, *, number: int = 20) -> None:
    for each in range(number):
        settle(store, held(store, f"{name}-{each}", 5, *FOUR), 1)


def _calls(server: Server) -> int:
    with server.client() as client:
        stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


class Proxy:
    """Passes everything on to a server, and cuts connections instead of some answers."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.cuts = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"valkey://127.0.0.1:{self._listening.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Else accept() would go on to wait on the closed socket.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A step and its answer each arrive in one piece, over loopback.
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            while asked := client.recv(1 << 20):
                server.sendall(asked)
                answer = server.recv(1 << 20)
                if self.cuts:
                    self.cuts -= 1
                    return
                client.sendall(answer)
