"""What the middleware holds for a request, and what of it is charged in the end."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace

import pytest
from metering_sinks import KeptRecords
from unit.guard.guarded_apps import (
    CALL,
    CALL_USD,
    a_budget,
    a_guard,
    amounts,
    guarded,
    streaming,
)
from unit.metering.asgi.raw import USAGE, Server, a_scope, body, sending, start

from spendfuse.errors import InputError
from spendfuse.guard.asgi import GuardMiddleware
from spendfuse.metering import report_usage
from spendfuse.metering.attribution import NOBODY, current_attribution

ZERO = Decimal(0)


@pytest.fixture
def sink():
    return KeptRecords()


@pytest.fixture
def guard():
    return a_guard(a_budget(), a_budget("each-user", per="user"))


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


def test_a_user_whom_only_the_app_signs_in_is_recorded(guard, sink):
    async def app(scope, _receive, send):
        scope["signed_in"] = "u1"
        report_usage("gpt-4o", CALL)
        await send(start())
        await send(body())

    Server().play(guarded(app, guard, sink, user=lambda scope: scope.get("signed_in")))

    assert sink.records[0].attributes["user"] == "u1"
    assert amounts(guard, user="anonymous")["each-user"] == (CALL_USD, ZERO)


def test_after_a_request_its_server_is_nobodys(guard, sink):
    async def main():
        app = guarded(streaming(1), guard, sink, user=lambda _scope: "u1")
        await app(a_scope(), Server().receive, Server().send)
        return current_attribution()

    assert asyncio.run(main()) == NOBODY


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
