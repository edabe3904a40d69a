"""A guard with a tracker, and what its budgets say, for tests of the HTTP side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from metering_sinks import KeptRecords
from unit.metering.asgi.raw import App, Message, Server, body, start

from spendfuse.budget import Budget
from spendfuse.fuse_state import FuseState
from spendfuse.guard.asgi import GuardMiddleware
from spendfuse.guard.guard import Guard
from spendfuse.guard.step import (
    Granted,
    Hold,
    Refused,
    Reserve,
    Settle,
    Settled,
    Unseeded,
)
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.metering import CostTracker, PriceBook, report_usage
from spendfuse.money import nano_usd, usd

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALL = {"prompt_tokens": 1000, "completion_tokens": 100}
CALL_USD = Decimal("0.0035")
"""What it costs with gpt-4o."""


class SlowStore(MemoryStore):
    """A store behind a network: each step takes a moment."""

    is_local = False

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        time.sleep(0.02)
        return super().reserve(step)

    def settle(self, step: Settle) -> Settled | Unseeded:
        time.sleep(0.02)
        return super().settle(step)

    def release(self, hold: Hold) -> bool:
        time.sleep(0.02)
        return super().release(hold)


def a_budget(name: str = "organisation", limit_usd: str = "1", **more: Any) -> Budget:
    return Budget(name, nano_usd(Decimal(limit_usd)), more.pop("period", "month"), **more)


def a_guard(*budgets: Budget, **options: Any) -> Guard:
    return Guard(budgets or [a_budget()], now=lambda: NOW, **options)


@cache
def prices() -> PriceBook:
    return PriceBook.standard()


def a_tracker(sink: KeptRecords | None = None) -> CostTracker:
    return CostTracker(sinks=[sink or KeptRecords()], prices=prices(), unknown_models="unpriced")


def tripped() -> FuseState:
    return FuseState("spendfuse", "tripped", trip_id="t1", since=NOW)


def amounts(guard: Guard, **attributes: str) -> dict[str, tuple[Decimal, Decimal]]:
    """Return what is spent and held of each budget that such a request is charged to."""
    return {
        each.budget: (usd(each.spent_nano_usd), usd(each.held_nano_usd))
        for each in guard.check(**attributes)
    }


def raising(error: BaseException, *before: Message) -> App:
    """An app that sends these, and fails."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in before:
            await send(message)
        raise error

    return app


def played(app: App, guard: Guard, scope: dict[str, Any] | None = None, **options: Any) -> Server:
    """Play one request to ``app`` with the guard around it."""
    server = Server()
    server.play(GuardMiddleware(app, guard=guard, **options), scope)
    return server


def guarded(app: App, guard: Guard, sink: KeptRecords, **options: Any) -> GuardMiddleware:
    """Return ``app`` with guard and meter around it, and a dime held for each request."""
    return GuardMiddleware(
        app, guard=guard, tracker=a_tracker(sink), **{"estimate_usd": "0.10", **options}
    )


def streaming(chunks: int, *, and_then: Sequence[Callable[[], object]] = ()) -> App:
    """An app that streams, and reports a call with each chunk."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start())
        for number in range(chunks):
            report_usage("gpt-4o", CALL)
            await send(body(b"%d" % number, more=True))
        await send(body())
        for each in and_then:
            each()

    return app
