"""Processes that borrow from one Valkey server; one of them is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey_servers
from valkey_servers import Server

from spendfuse.guard.step import Standing
from spendfuse.guard.stores.valkey import ValkeyStore

ROOT = Path(__file__).parents[2]
LIMIT = 600_000_000


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey_servers.running() as server:
        yield server


def test_processes_that_borrow_spend_a_limit_whole_and_never_pass_it(server: Server) -> None:
    watched = ValkeyStore(server.url, deployment="all")
    apps = [_app(server, "all", patience=0.5) for _ in range(4)]

    most = _watch(watched, apps)

    charged = sum(int(each.communicate(timeout=20)[0]) for each in apps)
    assert most <= LIMIT
    assert watched.look(["root/total"])[0] == Standing(charged, 0, is_called_in=True)
    assert LIMIT - 11 < charged <= LIMIT
    watched.close()


def test_what_a_killed_process_had_borrowed_comes_back(server: Server) -> None:
    watched = ValkeyStore(server.url, deployment="killed")
    victim = _app(server, "killed", patience=2.6)
    while _used(watched) < LIMIT // 10:
        assert victim.poll() is None
    victim.kill()
    victim.communicate(timeout=20)
    apps = [_app(server, "killed", patience=2.6) for _ in range(2)]

    most = _watch(watched, apps)

    told = sum(int(each.communicate(timeout=20)[0]) for each in apps)
    (standing,) = watched.look(["root/total"])
    assert standing is not None
    assert most <= LIMIT
    assert standing.held_nano_usd == 0
    assert told < standing.spent_nano_usd
    assert LIMIT - 11 < standing.spent_nano_usd <= LIMIT
    watched.close()


def _app(server: Server, deployment: str, *, patience: float) -> subprocess.Popen[str]:
    given = {
        "url": server.url,
        "deployment": deployment,
        "limit": LIMIT,
        "threads": 4,
        "patience": patience,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.lease_app", json.dumps(given)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _watch(store: ValkeyStore, apps: list[subprocess.Popen[str]]) -> int:
    """Return the most that was ever spent and held, until all have ended."""
    most, deadline = 0, time.monotonic() + 20
    while any(each.poll() is None for each in apps):
        assert time.monotonic() < deadline, "they never end"
        most = max(most, _used(store))
        time.sleep(0.002)
    return most


def _used(store: ValkeyStore) -> int:
    (standing,) = store.look(["root/total"])
    return 0 if standing is None else standing.spent_nano_usd + standing.held_nano_usd
