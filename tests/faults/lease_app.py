"""A process that borrows from a Valkey server: ``python -m tests.faults.lease_app JSON``.

Its threads spend until nothing is granted for as long as they are told; then it says what it spent.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time

from spendfuse.guard.leasing.lease import Pace
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.step import Granted, Level, Reserve, Settle
from spendfuse.guard.stores.valkey import ValkeyStore

PACE = Pace(sync_seconds=0.05, lease_seconds=2.0, margin_seconds=0.5)


def main(given: dict) -> None:
    shared = ValkeyStore(given["url"], deployment=given["deployment"], timeout_seconds=5.0)
    store = LeasedStore(shared, pace=PACE)
    levels = (_level("root", given["limit"]), _level("team", 10 * given["limit"]))
    totals: list[int] = []

    def client(number: int) -> int:
        return _client(store, levels, number, given["patience"])

    threads = [
        threading.Thread(target=lambda number=number: totals.append(client(number)))
        for number in range(given["threads"])
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    store.close()
    sys.stdout.write(json.dumps(sum(totals)))


def _client(
    store: LeasedStore, levels: tuple[Level, ...], number: int, patience_seconds: float
) -> int:
    chance, charged, each = random.Random(number), 0, 0
    until = time.monotonic() + patience_seconds
    while time.monotonic() < until:
        each += 1
        asked = chance.choice((11, 1_013, 100_019))
        step = Reserve(
            f"{id(store)}-{number}-{each}-{time.time_ns()}", asked, asked, levels, (), 2.0
        )
        outcome = store.reserve(step._replace(seeds={}, calls_in=True))
        if isinstance(outcome, Granted):
            cost = asked - chance.randrange(5)
            store.settle(Settle(outcome.hold, cost, seeds={}))
            charged += cost
            until = time.monotonic() + patience_seconds
        else:
            time.sleep(0.01)
    return charged


def _level(budget: str, limit: int) -> Level:
    return Level(f"{budget}/total", budget, "", "total", limit)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
