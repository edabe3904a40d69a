"""Counters in Valkey or Redis (6.2 or newer), the same for all processes.

All that a step does happens in one script on the server, by the server's clock. So it is atomic
over all levels, and costs one round trip.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import valkey
from valkey.cluster import ValkeyCluster
from valkey.exceptions import (
    ConnectionError as ValkeyConnectionError,
)
from valkey.exceptions import (
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    ValkeyClusterException,
    ValkeyError,
)

from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.guard.step import (
    Granted,
    Hold,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
)
from spendfuse.guard.stores.valkey_advice import advice
from spendfuse.guard.stores.valkey_answers import found, looked, reserved, settled
from spendfuse.guard.stores.valkey_packing import Command, Packing, arguments, read_scripts
from spendfuse.metering.forks import renew_after_fork

TIMEOUT_SECONDS = 0.5
_IDLE_SECONDS = 30.0
"""A connection that was not used for so long is made anew: what lies between may have cut it."""
_COUNTERS_A_LOOK = 500


class ValkeyStore:
    """A ``Store`` that many processes share.

    A step whose connection breaks is sent once more on a new one, which its id makes safe; one
    that gets no answer in time is not.

    Args:
        server: ``valkey://user@host:6379/0``, ``valkeys://`` for TLS, ``redis://``,
            ``rediss://`` or ``unix://``; or a client of valkey-py, of which the settings are
            taken. A ``ValkeyCluster`` is used as it is, with its own timeouts.
        deployment: whose counters they are; part of every key.
        password: beats the one in the URL.
        timeout_seconds: for connecting, and again for each answer.
    """

    is_local = False
    takes_rates = True

    def __init__(
        self,
        server: str | valkey.Valkey | ValkeyCluster,
        *,
        deployment: str = "spendfuse",
        password: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._packing = Packing(deployment)
        self._scripts = read_scripts()
        self._server = _server(server, password, timeout_seconds)
        self._name = f"{self._server.name} {deployment}"

    def __repr__(self) -> str:
        return f"<ValkeyStore {self._name}>"

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        return reserved(step, self._take(self._packing.reserve(step)))

    def settle(self, step: Settle) -> Settled | Unseeded:
        return settled(step, self._take(self._packing.settle(step)))

    def release(self, hold: Hold) -> bool:
        return self._take(self._packing.release(hold)) == b"1"

    def find(self, hold_id: str) -> Hold | None:
        record = self._ask(self._packing.find(hold_id))
        return None if record is None else found(hold_id, record)

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        standings: list[Standing | None] = []
        for begin in range(0, len(counters), _COUNTERS_A_LOOK):
            names = counters[begin : begin + _COUNTERS_A_LOOK]
            standings += looked(self._take(self._packing.look(names)))
        return standings

    def close(self) -> None:
        """Close the connections; a client that was passed in stays open."""
        self._server.close()

    def _take(self, command: Command) -> bytes:
        script = self._scripts[command.step]
        try:
            answer = self._ask(script.by_digest(command))
        except NoScriptError:
            # It was restarted or its scripts were flushed. Nothing was done, and the text that
            # is sent instead of its digest is kept.
            answer = self._ask(script.whole(command))
        return answer or b""

    def _ask(self, call: bytes) -> bytes | None:
        try:
            return self._server.ask(call)
        except NoScriptError:
            raise
        except (ValkeyError, ValkeyClusterException, OSError) as error:
            raise UnavailableError(f"the guard's store does not work: {advice(error)}") from error


class _Server(Protocol):
    name: str
    """Without a password."""

    def ask(self, call: bytes) -> bytes | None: ...

    def close(self) -> None: ...


class _Connections:
    """Connections to one server, one for each thread that asks at the same time.

    valkey-py's own pool reads from a connection each time before it lends it out, and packs and
    counts more than a step needs; that would double its cost.
    """

    def __init__(self, pool: valkey.ConnectionPool, settings: Mapping[str, Any]) -> None:
        # Kept, because the connections of a Sentinel's pool ask it for their address.
        self._pool = pool
        self._settings = settings
        self.name = _place(settings)
        self.begin_anew()
        renew_after_fork(self.begin_anew)

    def begin_anew(self) -> None:
        """Forget the connections: in a forked child they are the parent's."""
        self._idle: deque[tuple[Any, float]] = deque()

    def ask(self, call: bytes) -> bytes | None:
        connection = self._lent()
        if connection is not None:
            try:
                return self._asked(connection, call)
            except ValkeyConnectionError:
                # The server was restarted, most likely, and then all of them are dead.
                self.close()
        return self._asked(self._pool.connection_class(**self._settings), call)

    def close(self) -> None:
        idle, self._idle = self._idle, deque()
        for connection, _ in idle:
            connection.disconnect()

    def _lent(self) -> Any:
        try:
            connection, used_at = self._idle.pop()
        except IndexError:
            return None
        if time.monotonic() - used_at > _IDLE_SECONDS:
            # The one that was used last is that old, so all of them are.
            connection.disconnect()
            self.close()
            return None
        return connection

    def _asked(self, connection: Any, call: bytes) -> bytes | None:
        try:
            connection.send_packed_command((call,), check_health=False)
            answer: bytes | None = connection.read_response()
        except ReadOnlyError:
            # After a failover the same name leads to another server.
            connection.disconnect()
            self.close()
            raise
        except ResponseError:
            self._idle.append((connection, time.monotonic()))
            raise
        except BaseException:
            # An answer may still come, and must not be taken for another step's.
            connection.disconnect()
            raise
        self._idle.append((connection, time.monotonic()))
        return answer


class _Cluster:
    """A cluster, through its client, which knows where the slots are."""

    def __init__(self, client: ValkeyCluster) -> None:
        settings = client.nodes_manager.connection_kwargs
        if settings.get("socket_timeout") is None:
            raise SettingsError(
                "the ValkeyCluster has no timeout, and would let a request wait for ever: make "
                "it with socket_timeout=0.5 and socket_connect_timeout=0.5"
            )
        self._client = client
        self.name = "cluster"

    def ask(self, call: bytes) -> bytes | None:
        execute: Callable[..., bytes | str | None] = self._client.execute_command
        name, *others = arguments(call)
        answer = execute(name.decode(), *others)
        return answer.encode() if isinstance(answer, str) else answer

    def close(self) -> None:
        """The client is its owner's."""


def _server(
    server: str | valkey.Valkey | ValkeyCluster, password: str | None, timeout_seconds: float
) -> _Server:
    if isinstance(server, ValkeyCluster):
        return _Cluster(server)
    ours: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "decode_responses": False,
        "retry": None,
        "retry_on_error": None,
        "retry_on_timeout": False,
        "health_check_interval": 0,
        # Else each new connection waits for two more answers.
        "lib_name": None,
        "lib_version": None,
    }
    if password is not None:
        ours["password"] = password
    if isinstance(server, valkey.Valkey):
        pool = server.connection_pool
        return _Connections(pool, {**pool.connection_kwargs, **ours})
    from_url: Callable[[str], valkey.ConnectionPool] = valkey.ConnectionPool.from_url
    try:
        pool = from_url(server)
    except (ValueError, TypeError, AttributeError):
        # Not the error itself: it may quote a part of the password.
        raise SettingsError(
            "the guard's store has no URL that can be read: write valkey://host:6379/0, and a "
            "password with special characters into SPENDFUSE_VALKEY_PASSWORD_FILE"
        ) from None
    if "path" not in pool.connection_kwargs:
        ours["socket_keepalive"] = True
    return _Connections(pool, {**pool.connection_kwargs, **ours})


def _place(settings: Mapping[str, Any]) -> str:
    if "path" in settings:
        return str(settings["path"])
    host, port = settings.get("host", "localhost"), settings.get("port", 6379)
    return f"{host}:{port}/{settings.get('db') or 0}"
