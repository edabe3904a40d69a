"""How our guard does: what a reserve and its settle cost, and whether a limit of $1.00 holds.

Each figure is a process of its own, because stores leave threads and connections behind:
``memory``, ``leased URL``, ``pairs URL HOLDS``, ``race STORE URL CLIENTS RUN`` and
``worker STORE URL THREADS RUN``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.probes.timing import microseconds
from spendfuse.budget import Budget
from spendfuse.guard.errors import BudgetExceededError
from spendfuse.guard.guard import Guard
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.store import Store
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.guard.stores.valkey import ValkeyStore
from spendfuse.money import decimal_usd, nano_usd

LIMIT, CALL = "1.00", "0.05"
CALL_SECONDS = 0.2
WHO: dict[str, Any] = {"team": "search", "user": "u-17", "model": "gpt-4o"}
GENEROUS = 8_000_000 * 10**9
FOUR_LEVELS = (
    Budget("org", GENEROUS, "month"),
    Budget("team", GENEROUS, "month", match={"team": "search"}),
    Budget("each-user", GENEROUS, "day", per="user"),
    Budget("model", GENEROUS, "week", match={"model": "gpt-4o*"}),
)
TIGHT = (Budget("tight", nano_usd(decimal_usd(LIMIT)), "month"),)


def pair(guard: Guard) -> Callable[[], object]:
    def reserve_and_settle() -> None:
        guard.reserve("0.001", **WHO).settle("0.0008")

    return reserve_and_settle


def memory() -> dict[str, float]:
    """Return the microseconds of a pair in memory, matching included, without and with holds."""
    guard = Guard(FOUR_LEVELS)
    alone = microseconds(pair(guard), calls=5_000)
    for _ in range(10_000):
        guard.reserve("0.001", **WHO)
    return {"alone": alone, "with_10000_holds": microseconds(pair(guard), calls=5_000)}


def leased(url: str) -> dict[str, float]:
    """Return the microseconds of a leased pair, CPU time of all threads."""
    store = LeasedStore(ValkeyStore(url, deployment="bench-leased"))
    budgets = [
        *(Budget(**{**_fields(each), "limit_nano_usd": 100 * 10**9}) for each in FOUR_LEVELS)
    ]
    guard = Guard(budgets, store=store)

    def reserve_and_settle() -> None:
        guard.reserve("0.00001", **WHO).settle("0.000008")

    try:
        return {"alone": microseconds(reserve_and_settle, calls=20_000, repeats=9)}
    finally:
        guard.close()


def _fields(budget: Budget) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in ("name", "period", "match", "per")}


def pairs(url: str, holds: int) -> dict[str, float]:
    """Return one client's pairs at four levels beside so many live holds: wall time."""
    store = ValkeyStore(url, deployment=f"bench-pairs-{holds}")
    guard = Guard(FOUR_LEVELS, store=store)
    for _ in range(holds):
        guard.reserve("0.001", **WHO)
    call = pair(guard)
    for _ in range(200):
        call()
    before, best = _commands(url), float("inf")
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1000):
            started = time.perf_counter()
            call()
            took.append(time.perf_counter() - started)
        best = min(best, time.perf_counter() - began)
    after = _commands(url)
    guard.close()
    took.sort()
    return {
        "us": best / 1000 * 1e6,
        "p50_us": statistics.median(took) * 1e6,
        "p99_us": took[int(len(took) * 0.99)] * 1e6,
        "commands": (after - before) / 5000,
    }


def _commands(url: str) -> int:
    """Return the scripts that the server was asked to run so far."""
    import valkey  # noqa: PLC0415

    with contextlib.closing(valkey.Valkey.from_url(url)) as client:
        stats: Any = client.info("commandstats")
    asked = ("cmdstat_evalsha", "cmdstat_eval")
    return sum(int(stats.get(name, {}).get("calls", 0)) for name in asked)


def store_of(kind: str, url: str, run: str) -> Store:
    if kind == "memory":
        return MemoryStore()
    shared = ValkeyStore(url, deployment=f"bench-{kind}-{run}")
    return LeasedStore(shared) if kind == "leased" else shared


async def race(kind: str, url: str, clients: int, run: str) -> dict[str, float]:
    """Return the calls made by so many clients at once, and what is left of the limit."""
    guard = Guard(TIGHT, store=store_of(kind, url, f"race-{run}"))
    made = 0

    async def client() -> None:
        nonlocal made
        try:
            reservation = await guard.reserve_async(CALL)
        except BudgetExceededError:
            return
        made += 1
        await asyncio.sleep(CALL_SECONDS)
        await reservation.settle_async(CALL)

    await asyncio.gather(*(client() for _ in range(clients)))
    guard.close()
    return {"calls": made}


def worker(kind: str, url: str, threads: int, run: str) -> dict[str, float]:
    """Make calls that cost less than their estimate until nothing fits; return their cost."""
    guard = Guard(TIGHT, store=store_of(kind, url, f"crowd-{run}"))
    spent = [0] * threads
    began = threading.Barrier(threads)

    def client(number: int) -> None:
        chance = random.Random(f"{run}-{number}-{time.time_ns()}")  # noqa: S311
        began.wait()
        while True:
            try:
                reservation = guard.reserve(CALL)
            except BudgetExceededError as refused:
                if not refused.figures.held_nano_usd:
                    return
                # Others' calls still run: what they don't need comes back.
                time.sleep(0.02)
                continue
            cost = chance.randrange(5_000_000, 50_000_000)
            time.sleep(0.01)
            spent[number] += cost
            reservation.settle(f"{cost / 10**9:.9f}")

    members = [threading.Thread(target=client, args=(number,)) for number in range(threads)]
    for each in members:
        each.start()
    for each in members:
        each.join()
    guard.close()
    return {"nano_usd": sum(spent)}


def main(arguments: list[str]) -> dict[str, float]:
    match arguments:
        case ["memory"]:
            return memory()
        case ["leased", url]:
            return leased(url)
        case ["pairs", url, holds]:
            return pairs(url, int(holds))
        case ["race", kind, url, clients, run]:
            return asyncio.run(race(kind, url, int(clients), run))
        case ["worker", kind, url, threads, run]:
            return worker(kind, url, int(threads), run)
    raise SystemExit(f"unknown: {arguments}")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
