"""What the middleware holds for a request, and what of it is charged in the end."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from types import SimpleNamespace

import anyio
import pytest
from metering_sinks import KeptRecords
from unit.guard.guarded_apps import (
    CALL,
    CALL_USD,
    SlowStore,
    a_budget,
    a_guard,
    a_tracker,
    amounts,
)
from unit.metering.asgi.raw import USAGE, Server, a_scope, body, sending, start

from spendfuse.errors import InputError, UnavailableError
from spendfuse.guard.asgi import GuardMiddleware
from spendfuse.guard.memory import MemoryStore
from spendfuse.metering import report_usage
from spendfuse.metering.attribution import current_attribution

ZERO = Decimal(0)
DISCONNECT = {"type": "http.disconnect"}


@pytest.fixture
def sink():
    return KeptRecords()


@pytest.fixture
def guard():
    return a_guard(a_budget(), a_budget("each-user", per="user"))


def guarded(app, guard, sink, **options):
    return GuardMiddleware(
        app, guard=guard, tracker=a_tracker(sink), **{"estimate_usd": "0.10", **options}
    )


def streaming(chunks, *, and_then=()):
    """An app that streams, and reports a call with each chunk."""

    async def app(_scope, _receive, send):
        await send(start())
        for number in range(chunks):
            report_usage("gpt-4o", CALL)
            await send(body(b"%d" % number, more=True))
        await send(body())
        for each in and_then:
            each()

    return app


def test_the_estimate_is_held_while_the_app_runs_and_its_records_are_charged(guard, sink):
    seen = []

    async def app(scope, _receive, send):
        seen.append(amounts(guard, user="u1"))
        seen.append(scope["state"]["reservation"].held_usd)
        report_usage("gpt-4o", CALL)
        report_usage("gpt-4o", CALL)
        await send(start())
        await send(body())

    Server().play(guarded(app, guard, sink, user=lambda _scope: "u1"))

    held = (ZERO, Decimal("0.1"))
    assert seen == [{"organisation": held, "each-user": held}, Decimal("0.1")]
    charged = (2 * CALL_USD, ZERO)
    assert amounts(guard, user="u1") == {"organisation": charged, "each-user": charged}
    assert [each.attributes["user"] for each in sink.records] == ["u1", "u1"]


def test_what_the_usage_header_tells_is_charged(guard, sink):
    Server().play(guarded(sending(start(USAGE), body()), guard, sink))

    (record,) = sink.records
    assert amounts(guard)["organisation"] == (Decimal(record.cost_nano_usd) / 10**9, ZERO)


def test_a_request_that_does_not_fit_never_reaches_the_app(guard, sink):
    server = Server()

    server.play(guarded(streaming(1), guard, sink, estimate_usd="1.01"))

    assert server.sent[0]["status"] == 429
    assert sink.records == []


def test_scopes_for_which_the_function_tells_nothing_are_not_reserved(guard, sink):
    def estimate(scope):
        return "0.10" if scope["path"] == "/chat" else None

    app = guarded(sending(start(), body()), guard, sink, estimate_usd=estimate)
    for path in ("/health", "/chat", "/health"):
        Server().play(app, a_scope(path=path))

    assert guard.health().reserved == 1


def test_an_estimate_that_is_no_amount_is_the_apps_own_error(guard, sink):
    with pytest.raises(InputError):
        Server().play(guarded(sending(), guard, sink, estimate_usd=lambda _scope: "NaN"))

    assert amounts(guard)["organisation"] == (ZERO, ZERO)


@pytest.mark.parametrize("status", [200, 302])
def test_an_answer_that_the_meter_heard_nothing_of_costs_its_estimate(guard, sink, status):
    Server().play(guarded(sending(start(status=status), body()), guard, sink))

    assert amounts(guard)["organisation"] == (Decimal("0.1"), ZERO)


@pytest.mark.parametrize("status", [401, 404, 422, 500, 503])
def test_an_answer_of_an_error_releases_what_was_not_used(guard, sink, status):
    Server().play(guarded(sending(start(status=status), body()), guard, sink))

    assert amounts(guard)["organisation"] == (ZERO, ZERO)


def test_an_answer_of_an_error_is_charged_what_was_recorded(guard, sink):
    async def app(_scope, _receive, send):
        report_usage("gpt-4o", CALL)
        await send(start(status=500))
        await send(body())

    Server().play(guarded(app, guard, sink))

    assert amounts(guard)["organisation"] == (CALL_USD, ZERO)


@pytest.mark.parametrize("spends", [True, False])
def test_an_app_that_fails_is_charged_what_it_spent(guard, sink, spends):
    async def app(_scope, _receive, _send):
        if spends:
            report_usage("gpt-4o", CALL)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Server().play(guarded(app, guard, sink))

    assert amounts(guard)["organisation"] == (CALL_USD if spends else ZERO, ZERO)


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


def test_a_reservation_of_the_route_charges_its_call_and_not_the_requests(guard, sink):
    async def app(_scope, _receive, send):
        async with guard.reserving("0.20"):
            report_usage("gpt-4o", CALL)
        await send(start())
        await send(body())

    Server().play(guarded(app, guard, sink))

    assert amounts(guard)["organisation"] == (CALL_USD, ZERO)


def test_a_route_that_reserves_is_charged_what_the_meter_records_after_it(guard, sink):
    async def app(_scope, _receive, send):
        async with guard.reserving("0.20"):
            report_usage("gpt-4o", CALL)
        await send(start())
        await send(body())

    Server().play(guarded(app, guard, sink, estimate_usd=None))

    assert amounts(guard)["organisation"] == (CALL_USD, ZERO)


def test_without_a_tracker_a_request_may_settle_by_itself(guard):
    async def app(scope, _receive, send):
        await scope["state"]["reservation"].settle_async("0.02")
        await send(start())
        await send(body())

    Server().play(GuardMiddleware(app, guard=guard, estimate_usd="0.10"))

    assert amounts(guard)["organisation"] == (Decimal("0.02"), ZERO)


def test_attributes_and_user_hold_for_reservations_and_records_within(sink):
    guard = a_guard(a_budget("search", match={"team": "search"}), a_budget("each-user", per="user"))

    async def app(_scope, _receive, send):
        (await guard.reserve_async("0.20")).settle("0.20")
        report_usage("gpt-4o", CALL)
        await send(start())
        await send(body())

    app = guarded(
        app,
        guard,
        sink,
        estimate_usd=None,
        user=lambda _scope: "u1",
        attributes=lambda _scope: {"team": "search"},
    )
    Server().play(app)

    assert amounts(guard, team="search", user="u1") == {
        "search": (Decimal("0.2"), ZERO),
        "each-user": (Decimal("0.2"), ZERO),
    }
    assert sink.records[0].attributes["team"] == "search"


def test_a_user_whom_an_outer_middleware_signed_in_is_charged(guard, sink):
    app = guarded(streaming(1), guard, sink)

    Server().play(app, a_scope(state={"user_id": "u1"}))

    assert amounts(guard, user="u1")["each-user"] == (CALL_USD, ZERO)


def test_a_user_whom_nobody_knows_is_anonymous(guard, sink):
    Server().play(guarded(streaming(1), guard, sink))

    assert amounts(guard, user="anonymous")["each-user"] == (CALL_USD, ZERO)


def test_one_request_knows_nothing_of_another(guard, sink):
    async def app(scope, _receive, send):
        await asyncio.sleep(0)
        user = current_attribution().attributes["user"]
        report_usage("gpt-4o", {"prompt_tokens": 1000 * int(user)})
        await asyncio.sleep(0)
        await send(start())
        await send(body())

    middleware = guarded(app, guard, sink, estimate_usd="0.01", user=lambda s: s["path"][1:])

    async def main():
        calls = (
            middleware(a_scope(path=f"/{user}"), Server().receive, Server().send)
            for user in range(1, 20)
        )
        await asyncio.gather(*calls)

    asyncio.run(main())

    for user in range(1, 20):
        spent = Decimal("0.0025") * user
        assert amounts(guard, user=str(user))["each-user"] == (spent, ZERO)


def test_a_state_that_is_an_object_is_shown_the_reservation(guard, sink):
    state = SimpleNamespace(user_id="u1")

    Server().play(guarded(streaming(1), guard, sink), a_scope(state=state))

    assert state.reservation.held_usd == Decimal("0.1")
    assert amounts(guard, user="u1")["each-user"] == (CALL_USD, ZERO)


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
