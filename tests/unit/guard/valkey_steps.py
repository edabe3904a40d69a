"""Short ways to take steps on a real server."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from spendfuse.guard.step import Granted, Hold, Level, RateLevel, Reserve, Settle, Settled
from spendfuse.guard.tree import counter_name

IN_2100 = 4_102_444_800
_numbers = itertools.count()


def a_deployment() -> str:
    """Return a name that no other test uses on the server that they share."""
    return f"unit-{next(_numbers)}"


def a_level(budget: str = "root", limit: int = 100, **more: Any) -> Level:
    period = more.pop("period", "2099-12")
    value = more.get("value", "")
    more.setdefault("ends_at", IN_2100)
    return Level(
        counter_name(budget, period, value),
        budget,
        more.pop("value", ""),
        period,
        limit,
        more.pop("mode", "strict"),
        **more,
    )


def a_rate(limit: int = 100) -> RateLevel:
    return RateLevel(counter_name("burst", "rate"), "burst", "", limit)


FOUR = tuple(a_level(name, 10**15) for name in ("organisation", "team", "user", "model"))


def reserve(
    store: Any,
    hold_id: str,
    nano_usd: int,
    *levels: Level,
    rates: tuple[RateLevel, ...] = (),
    seconds: float = 600.0,
    seeds: Mapping[str, int] | None = {},
    calls_in: bool = False,
) -> Any:
    step = Reserve(hold_id, nano_usd, nano_usd, levels, rates, seconds, seeds, calls_in)
    return store.reserve(step)


def held(store: Any, hold_id: str, nano_usd: int, *levels: Level, **more: Any) -> Hold:
    outcome = reserve(store, hold_id, nano_usd, *levels, **more)
    assert isinstance(outcome, Granted), outcome
    return outcome.hold


def settle(store: Any, hold: Hold, nano_usd: int, **more: Any) -> Settled:
    outcome = store.settle(Settle(hold, nano_usd, seeds={}, **more))
    assert isinstance(outcome, Settled), outcome
    return outcome


def at_once(works: list[Callable[[], None]]) -> None:
    """Run all in threads that begin together; raise what any of them raises."""
    barrier = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if errors:
        raise errors[0]


@contextmanager
def monitored(client: Any) -> Iterator[list[str]]:
    """Collect what the server does meanwhile, what scripts do too."""
    seen: list[str] = []
    with client.monitor() as monitor:
        yield seen
        client.echo("the end")
        for each in monitor.listen():
            if "the end" in each["command"]:
                return
            seen.append(f"{each['client_type']} {each['command']}")
