"""How long a call takes: the least of several rounds, because others only ever add to it."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time


def microseconds(
    call: Callable[[], object],
    clock: Callable[[], float] = process_time,
    *,
    calls: int = 20_000,
    repeats: int = 15,
) -> float:
    """Return the microseconds of one call on ``clock``, by default CPU time."""
    call()
    best = float("inf")
    for _ in range(repeats):
        began = clock()
        for _ in range(calls):
            call()
        best = min(best, clock() - began)
    return best / calls * 1e6
