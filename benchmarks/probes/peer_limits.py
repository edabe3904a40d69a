"""What others do with a limit of $1.00: run in the peers' environment, against a real server.

``peer_limits.py race KIND URL CLIENTS RUN`` starts CLIENTS at once, each of them one call of
$0.05 that takes a while, and prints how many calls were made. ``… speed URL`` prints what one
request costs in microseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

LIMIT, CALL = 1.00, 0.05
CALL_SECONDS = 0.2
MICRO = 1_000_000
MOST_CLIENTS = 1000
"""Above the library's default of 100 connections, at which it refuses the rest."""
LEVELS = ("org", "team", "user", "model")
ONE_LEVEL = """
local spent = tonumber(redis.call('GET', KEYS[1]) or '0')
if spent + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return -1 end
return redis.call('INCRBY', KEYS[1], ARGV[1])
"""
"""As gateways do it (litellm's shape): check and add, one call for each level."""
Client = Callable[[], Awaitable[bool]]
"""Makes one call if it may, and returns whether it did."""


def naive(url: str, key: str) -> Client:
    """GET before the call, INCRBYFLOAT after it: how it is mostly written."""
    from redis.asyncio import Redis  # noqa: PLC0415

    redis = Redis.from_url(url, max_connections=MOST_CLIENTS)

    async def call() -> bool:
        if float(await redis.get(key) or 0) + CALL > LIMIT:
            return False
        await asyncio.sleep(CALL_SECONDS)
        await redis.incrbyfloat(key, CALL)
        return True

    return call


def limits(url: str, key: str) -> Client:
    """The library ``limits``: its sliding window counter, a micro-dollar a unit."""
    from limits import parse  # noqa: PLC0415
    from limits.aio.storage import RedisStorage  # noqa: PLC0415
    from limits.aio.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415

    limiter = SlidingWindowCounterRateLimiter(
        RedisStorage(f"async+{url}", implementation="redispy", max_connections=MOST_CLIENTS)
    )
    day = parse(f"{int(LIMIT * MICRO)} per day")

    async def call() -> bool:
        if not await limiter.hit(day, key, cost=int(CALL * MICRO)):
            return False
        await asyncio.sleep(CALL_SECONDS)
        return True

    return call


def spend_limits(url: str, key: str) -> Client:
    """pydantic-ai-harness: an agent with SpendLimits, and a model that answers by itself."""
    from pydantic_ai import Agent  # noqa: PLC0415
    from pydantic_ai.messages import ModelResponse, TextPart  # noqa: PLC0415
    from pydantic_ai.models.function import FunctionModel  # noqa: PLC0415
    from pydantic_ai_harness.spend import (  # noqa: PLC0415
        Budget,
        RedisSpendStore,
        SpendLimitExceeded,
        SpendLimits,
    )
    from redis.asyncio import Redis  # noqa: PLC0415

    made = 0

    async def answer(_messages: Any, _info: Any) -> ModelResponse:
        nonlocal made
        made += 1
        await asyncio.sleep(CALL_SECONDS)
        return ModelResponse(parts=[TextPart("done")], model_name="made-up")

    gate = SpendLimits[None](
        budgets=[Budget(usd=Decimal("1.00"), window="day")],
        price=lambda _response: Decimal("0.05"),
        store=RedisSpendStore(Redis.from_url(url, max_connections=MOST_CLIENTS), prefix=key),
    )
    agent = Agent(FunctionModel(answer), capabilities=[gate])

    async def call() -> bool:
        before = made
        try:
            await agent.run("go")
        except SpendLimitExceeded:
            return made > before
        return True

    return call


KINDS: dict[str, Callable[[str, str], Client]] = {
    "naive": naive,
    "limits": limits,
    "SpendLimits": spend_limits,
}


async def race(kind: str, url: str, clients: int, run: str) -> int:
    """Return how many calls were made."""
    call = KINDS[kind](url, f"bench-{kind}-{run}")
    return sum(await asyncio.gather(*(call() for _ in range(clients))))


def speed(url: str) -> dict[str, float]:
    """Return the microseconds of one request at one level, for three shapes."""
    from limits import parse  # noqa: PLC0415
    from limits.storage import RedisStorage  # noqa: PLC0415
    from limits.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
    from redis import Redis  # noqa: PLC0415

    redis = Redis.from_url(url)
    one_level = redis.register_script(ONE_LEVEL)
    limiter = SlidingWindowCounterRateLimiter(RedisStorage(url))
    day = parse(f"{10**15} per day")

    def naive_pair() -> None:
        redis.get("bench-speed-naive")
        redis.incrbyfloat("bench-speed-naive", 0.000001)

    def four_hits() -> None:
        for level in LEVELS:
            limiter.hit(day, f"bench-speed-{level}", cost=1000)

    def a_script_a_level() -> None:
        for amount in (1000, -200):
            for level in LEVELS:
                one_level(keys=[f"bench-shape-{level}"], args=[amount, 10**15])

    return {
        "a script a level, 4 levels": _wall(a_script_a_level),
        "naive, 1 level": _wall(naive_pair),
        "limits, 4 levels": _wall(four_hits),
    }


def _wall(call: Callable[[], object], calls: int = 1000, repeats: int = 5) -> float:
    call()
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, time.perf_counter() - began)
    return best / calls * 1e6


if __name__ == "__main__":
    if sys.argv[1] == "race":
        _, _, kind_, url_, clients_, run_ = sys.argv
        print(json.dumps({"calls": asyncio.run(race(kind_, url_, int(clients_), run_))}))
    else:
        print(json.dumps(speed(sys.argv[2])))
