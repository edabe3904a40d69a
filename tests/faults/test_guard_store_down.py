"""The guard's store is killed and frozen while threads reserve and settle as fast as they can."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import valkey_servers
from valkey_servers import Server

from spendfuse.budget import WhenDown
from spendfuse.errors import UnavailableError
from spendfuse.guard.outage.fallback import Fallback
from spendfuse.guard.outage.outage_log import StoreHealth
from spendfuse.guard.step import Granted, Level, Refused, Reserve, Settle, Standing, Unseeded
from spendfuse.guard.stores.valkey import ValkeyStore
from spendfuse.guard.tree import counter_name

THREADS = 4
ASKED = 10
PATIENCE_SECONDS = 60.0


def levels_of(when_down: WhenDown, limit: int) -> tuple[Level, ...]:
    return tuple(
        Level(counter_name(name, "2099-12"), name, "", "2099-12", limit, when_down=when_down)
        for name in ("organisation", "team")
    )


class App:
    """One process's guard, and its threads that make requests."""

    def __init__(self, server: Server, levels: tuple[Level, ...], ledger: Ledger) -> None:
        store = ValkeyStore(server.url, timeout_seconds=0.3)
        self.guard = Fallback(store, first_pause_seconds=0.1, longest_pause_seconds=0.3)
        self._levels = levels
        self._ledger = ledger
        self._is_over = threading.Event()
        self.refused_by_limit = 0
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        self._is_over.set()
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        chance = random.Random(1)
        try:
            while not self._is_over.is_set():
                self._request(chance)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.errors.append(error)

    def _request(self, chance: random.Random) -> None:
        step = Reserve(secrets.token_hex(8), ASKED, ASKED, self._levels)
        try:
            outcome = self.guard.reserve(step)
            if isinstance(outcome, Unseeded):
                outcome = self.guard.reserve(step._replace(seeds=self._ledger.seeds(self._levels)))
        except UnavailableError:
            time.sleep(0.002)
            return
        if isinstance(outcome, Refused):
            self.refused_by_limit += 1
            time.sleep(0.002)
            return
        assert isinstance(outcome, Granted)
        hold = outcome.hold
        if chance.random() < 0.1:
            self.guard.release(hold)
            return
        cost = chance.randint(1, ASKED)
        self._ledger.charge(cost)
        time.sleep(0.001)  # a call takes its time; and else more would wait than the bound
        settled = self.guard.settle(Settle(hold, cost))
        if isinstance(settled, Unseeded):
            self.guard.settle(Settle(hold, cost, seeds=self._ledger.seeds(self._levels)))


class Ledger:
    """What was really spent, known at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spent = 0
        self.seeded: list[int] = []

    def charge(self, cost: int) -> None:
        with self._lock:
            self.spent += cost

    def seeds(self, levels: tuple[Level, ...]) -> dict[str, int]:
        self.seeded.append(self.spent)
        return {each.counter: self.spent for each in levels}


@contextmanager
def two_apps(
    server: Server, when_down: WhenDown, *, limit: int
) -> Iterator[tuple[Ledger, list[App]]]:
    ledger = Ledger()
    levels = levels_of(when_down, limit)
    apps = [App(server, levels, ledger) for _ in range(2)]
    try:
        yield ledger, apps
    finally:
        for each in apps:
            each.stop()
        for each in apps:
            each.guard.close()
    for each in apps:
        if each.errors:
            raise each.errors[0]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def wait_for_spending(ledger: Ledger, more: int) -> None:
    enough = ledger.spent + more
    wait_until(lambda: ledger.spent >= enough)


def healths(apps: list[App]) -> list[StoreHealth]:
    return [each.guard.health() for each in apps]


def standings(server: Server, levels: tuple[Level, ...]) -> list[Standing | None]:
    store = ValkeyStore(server.url, timeout_seconds=5.0)
    try:
        return store.look([each.counter for each in levels])
    finally:
        store.close()


def disturb(server: Server, apps: list[App], ledger: Ledger) -> None:
    """Kill the server twice and freeze it once, each time amid requests."""
    for trouble in ("kill", "freeze", "kill"):
        wait_for_spending(ledger, 1_000)
        failed = [each.failures for each in healths(apps)]
        if trouble == "kill":
            server.kill()
        else:
            server.pause()
        wait_until(
            lambda failed=failed: all(
                each.is_down and each.failures > before
                for each, before in zip(healths(apps), failed, strict=True)
            )
        )
        time.sleep(0.3)
        if trouble == "kill":
            server.restart()
        else:
            server.go_on()
        wait_until(lambda: not any(each.is_down for each in healths(apps)))


@pytest.mark.parametrize("when_down", ["fail_closed", "fail_open"])
def test_a_server_that_forgets_nothing_is_told_everything_once(
    tmp_path, caplog, when_down: WhenDown
) -> None:
    caplog.set_level(logging.WARNING)
    with valkey_servers.running(tmp_path) as server:
        with two_apps(server, when_down, limit=10**9) as (ledger, apps):
            disturb(server, apps, ledger)
            wait_for_spending(ledger, 1_000)
        found = standings(server, levels_of(when_down, 1))

    assert found == [Standing(ledger.spent, 0)] * 2
    for each in healths(apps):
        assert (each.outages, each.waiting, each.dropped, each.rejected) == (1, 0, 0, 0)
        assert bool(each.admitted_open) == (when_down == "fail_open")
        assert bool(each.refused_closed) == (when_down == "fail_closed")
        assert each.delivered > 0
    assert caplog.text.count("is down, and each budget") == 2 * 3
    assert caplog.text.count("is back:") == 2 * 3


def test_a_closed_budget_holds_though_its_server_dies_and_forgets(caplog) -> None:
    limit = 6_000
    with valkey_servers.running() as server:
        with two_apps(server, "fail_closed", limit=limit) as (ledger, apps):
            disturb(server, apps, ledger)
            refused = [each.refused_by_limit for each in apps]
            wait_until(
                lambda: all(
                    each.refused_by_limit > before + 100
                    for each, before in zip(apps, refused, strict=True)
                )
            )
        (found, _) = standings(server, levels_of("fail_closed", 1))

    assert 3_000 < ledger.spent <= limit
    assert found is not None
    assert found.spent_nano_usd >= ledger.spent
    assert len(ledger.seeded) >= 3
    assert max(ledger.seeded) > 0
    assert all(each.admitted_open == each.admitted_locally == 0 for each in healths(apps))


def test_a_local_share_is_all_that_a_process_admits_alone(tmp_path) -> None:
    limit, share = 50_000, 5_000
    with valkey_servers.running(tmp_path) as server:
        with two_apps(server, "local_share", limit=limit) as (ledger, apps):
            wait_for_spending(ledger, 1_000)
            server.kill()
            wait_until(lambda: all(each.is_down for each in healths(apps)))
            wait_until(lambda: all(each.refused_locally > 100 for each in healths(apps)))
            alone = [each.admitted_locally for each in healths(apps)]
            server.restart()
            wait_until(lambda: not any(each.is_down for each in healths(apps)))
            wait_until(lambda: all(each.refused_by_limit > 10 for each in apps))
        found = standings(server, levels_of("local_share", 1))

    # A request costs half of what it held, on average; what it held is never more than is left.
    assert all(share // ASKED <= each <= share for each in alone)
    assert found == [Standing(ledger.spent, 0)] * 2
    assert ledger.spent <= limit + 2 * share


def test_a_server_that_hangs_keeps_hardly_any_request_waiting() -> None:
    with (
        valkey_servers.running() as server,
        two_apps(server, "fail_open", limit=10**9) as (ledger, apps),
    ):
        wait_for_spending(ledger, 1_000)
        server.pause()
        wait_until(lambda: all(each.is_down for each in healths(apps)))
        wait_until(lambda: all(each.admitted_open > 500 for each in healths(apps)))
        failures = [each.failures for each in healths(apps)]
        server.go_on()

    # Each thread found out once; after that there was one attempt in each pause.
    assert all(each < 50 for each in failures)
