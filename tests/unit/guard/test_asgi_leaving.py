"""A request that is cut off, or whose store fails: nothing stays held, and the answer goes out."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import anyio
import pytest
from metering_sinks import KeptRecords
from unit.guard.guarded_apps import (
    CALL,
    CALL_USD,
    SlowStore,
    a_budget,
    a_guard,
    amounts,
    guarded,
    streaming,
)
from unit.metering.asgi.raw import Server, a_scope, start

from spendfuse.errors import UnavailableError
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.metering import report_usage

ZERO = Decimal(0)


@pytest.fixture
def sink():
    return KeptRecords()


@pytest.fixture
def guard():
    return a_guard(a_budget(), a_budget("each-user", per="user"))


def test_a_client_who_leaves_in_the_middle_of_a_stream_is_charged_what_was_streamed(guard, sink):
    server = Server(breaks_at=4)

    with pytest.raises(OSError, match="the client left"):
        server.play(guarded(streaming(100), guard, sink))

    assert len(sink.records) == 4
    assert amounts(guard)["organisation"] == (4 * CALL_USD, ZERO)


@pytest.mark.parametrize("store", [MemoryStore, SlowStore])
def test_a_request_that_is_cancelled_leaks_no_hold(sink, store):
    guard = a_guard(store=store())

    async def app(_scope, _receive, send):
        await send(start())
        report_usage("gpt-4o", CALL)
        await asyncio.sleep(60)

    async def main():
        running = guarded(app, guard, sink)(a_scope(), Server().receive, Server().send)
        task = asyncio.create_task(running)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    guard.close()

    assert amounts(guard)["organisation"] == (CALL_USD, ZERO)


@pytest.mark.parametrize("after_seconds", [0.0, 0.01, 0.03, 0.06, 0.1])
def test_a_scope_that_cancels_again_and_again_leaks_no_hold(sink, after_seconds):
    # As in BaseHTTPMiddleware outside of ours: each await in a cancelled scope is cancelled.
    guard = a_guard(store=SlowStore())

    async def app(_scope, _receive, send):
        await send(start())
        report_usage("gpt-4o", CALL)
        await asyncio.sleep(60)

    async def main():
        with anyio.move_on_after(after_seconds):
            await guarded(app, guard, sink)(a_scope(), Server().receive, Server().send)

    asyncio.run(main())
    guard.close()

    spent = CALL_USD * len(sink.records)
    assert amounts(guard)["organisation"] == (spent, ZERO)


def test_a_store_that_waits_does_not_block_the_loop(sink):
    guard = a_guard(store=SlowStore())
    ticks = []

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.001)

    async def main():
        ticking = asyncio.create_task(tick())
        app = guarded(streaming(1), guard, sink)
        await app(a_scope(), Server().receive, Server().send)
        ticking.cancel()

    asyncio.run(main())
    guard.close()

    assert len(ticks) > 5


def test_a_store_that_fails_when_the_request_ends_does_not_break_the_response(
    guard, sink, monkeypatch, caplog
):
    def fail(_step):
        raise UnavailableError("the store is down")

    server = Server()
    app = guarded(
        streaming(2, and_then=[lambda: monkeypatch.setattr(store, "settle", fail)]), guard, sink
    )
    store = guard._store

    with caplog.at_level(logging.WARNING):
        server.play(app)

    assert [each.get("body") for each in server.sent] == [None, b"0", b"1", b""]
    assert guard.health().store_failures > 0
    assert "the store is down" in caplog.text


@pytest.mark.parametrize("store", [MemoryStore, SlowStore])
def test_a_request_whose_loop_is_gone_leaks_no_hold(sink, store):
    guard = a_guard(store=store())

    async def app(_scope, _receive, send):
        await send(start())
        report_usage("gpt-4o", CALL)
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(running)
        task._log_destroy_pending = False
        await asyncio.sleep(0.1)

    running = guarded(app, guard, sink)(a_scope(), Server().receive, Server().send)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    running.close()
    guard.close()

    assert amounts(guard)["organisation"] == (CALL_USD, ZERO)
