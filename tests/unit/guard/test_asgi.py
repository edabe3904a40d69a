"""What the middleware refuses, and how it says so."""

from __future__ import annotations

import asyncio
import json

import pytest
from unit.guard.guarded_apps import a_budget, a_guard, played, raising, tripped
from unit.metering.asgi.raw import Server, a_scope, body, sending, start
from unit.metering.integrations.recording import Recording

from spendfuse.errors import SettingsError
from spendfuse.guard.asgi import GuardMiddleware
from spendfuse.guard.errors import GuardDownError, RateExceededError

OK = (start(), body(b"answer"))


def reserving(guard, usd, **attributes):
    """An app whose route asks the guard."""

    async def app(_scope, _receive, send):
        await guard.reserve_async(usd, **attributes)
        for message in OK:
            await send(message)

    return app


def answer(server):
    """Return status, headers and parsed body of what was sent."""
    first, last = server.sent
    assert last["more_body"] is False
    return first["status"], dict(first["headers"]), json.loads(last["body"])


def test_a_request_that_nobody_refuses_is_passed_on_as_it_is():
    messages = (start((b"x-a", b"1")), body(b"a", more=True), body(b"b", more=True), body())

    server = played(sending(*messages), a_guard())

    assert server.sent == list(messages)


def test_what_a_route_is_refused_becomes_a_429_with_all_figures():
    guard = a_guard(a_budget(), a_budget("each-user", "0.50", period="day", per="user"))
    guard.reserve("0.40", user="u-17").settle("0.30")
    guard.reserve("0.10", user="u-17")

    server = played(reserving(guard, "0.25", user="u-17"), guard)

    status, headers, told = answer(server)
    assert status == 429
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"cache-control"] == b"no-store"
    assert int(headers[b"content-length"]) == len(server.sent[1]["body"])
    assert told == {
        "error": "budget_exceeded",
        "message": "budget each-user of u-17: $0.25 is asked for, and $0.10 is left of $0.50 for "
        "2026-11-22 ($0.30 spent, $0.10 held by running requests); the budget starts anew on "
        "2026-11-23 at 00:00 UTC",
        "budget": "each-user",
        "for": "u-17",
        "period": "2026-11-22",
        "limit_usd": "0.5",
        "spent_usd": "0.3",
        "held_usd": "0.1",
        "asked_usd": "0.25",
        "resets_at": "2026-11-23T00:00:00.000Z",
        "budgets": [
            {
                "budget": "organisation",
                "period": "2026-11",
                "limit_usd": "1",
                "spent_usd": "0.3",
                "held_usd": "0.1",
                "resets_at": "2026-12-01T00:00:00.000Z",
            },
            {
                "budget": "each-user",
                "for": "u-17",
                "period": "2026-11-22",
                "limit_usd": "0.5",
                "spent_usd": "0.3",
                "held_usd": "0.1",
                "resets_at": "2026-11-23T00:00:00.000Z",
            },
        ],
    }


def test_a_person_at_a_terminal_can_read_the_answer():
    server = played(reserving(guard := a_guard(), "1.25"), guard)

    lines = server.sent[1]["body"].decode().split("\n")
    assert lines[:2] == ["{", '  "error": "budget_exceeded",']
    assert lines[-2:] == ["}", ""]


def test_a_spent_day_says_to_come_back_at_midnight():
    guard = a_guard(a_budget(period="day"))
    guard.reserve("1").settle("1")

    _, headers, _ = answer(played(reserving(guard, "0.25"), guard))

    assert headers[b"retry-after"] == b"43200"


@pytest.mark.parametrize(
    ("period", "spent", "asked"), [("total", "1", "0.25"), ("day", "0", "1.25")]
)
def test_where_waiting_does_not_help_there_is_no_retry_after(period, spent, asked):
    guard = a_guard(a_budget(period=period))
    guard.reserve("1").settle(spent)

    status, headers, _ = answer(played(reserving(guard, asked), guard))

    assert status == 429
    assert b"retry-after" not in headers


def test_a_wait_below_a_second_is_a_whole_second():
    refused = RateExceededError("burst", "", 10, 5, retry_after_seconds=1)
    refused.retry_after_seconds = 0.2

    _, headers, told = answer(played(raising(refused), a_guard()))

    assert headers[b"retry-after"] == b"1"
    assert told["error"] == "rate_exceeded"


def test_a_store_that_is_down_is_a_503_that_names_no_host():
    refused = GuardDownError("organisation", "valkey://10.0.0.7:6379 can't be reached")

    server = played(raising(refused), a_guard())

    status, headers, told = answer(server)
    assert (status, headers[b"retry-after"], told["error"]) == (503, b"1", "guard_down")
    assert b"10.0.0.7" not in server.sent[1]["body"]


def test_a_tripped_fuse_is_a_503_and_the_app_does_not_run():
    server = played(raising(AssertionError("it ran")), a_guard(fuse=tripped))

    status, headers, told = answer(server)
    assert status == 503
    assert b"retry-after" not in headers
    assert told["error"] == "fuse_tripped"
    assert told["since"] == "2026-11-22T12:00:00.000Z"


def test_a_path_that_is_always_open_is_passed_on_while_the_fuse_is_tripped():
    guard = a_guard(fuse=tripped)
    options = {"always_open": ["/health"], "estimate_usd": "0.10"}

    checked = played(sending(*OK), guard, a_scope(path="/health"), **options)
    refused = played(sending(*OK), guard, a_scope(path="/health/"), **options)

    assert checked.sent == list(OK)
    assert refused.sent[0]["status"] == 503


def test_a_refusal_after_the_response_began_stays_an_error():
    guard = a_guard()
    refused = GuardDownError("organisation", "down")

    with pytest.raises(GuardDownError):
        played(raising(refused, start(), body(b"a", more=True)), guard)


def test_a_hint_before_the_response_is_not_its_beginning():
    hint = {"type": "http.response.early_hint", "links": []}
    server = played(raising(GuardDownError("organisation", "down"), hint), a_guard())

    assert [each["type"] for each in server.sent][:2] == [hint["type"], "http.response.start"]
    assert server.sent[1]["status"] == 503


def test_a_refusal_in_a_task_group_of_the_app_is_answered_as_well():
    guard = a_guard()

    async def app(_scope, _receive, _send):
        async with asyncio.TaskGroup() as outer:
            outer.create_task(two_calls())

    async def two_calls():
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(guard.reserve_async("1.50"))

    status, _, told = answer(played(app, guard))

    assert (status, told["error"]) == (429, "budget_exceeded")


def test_a_refusal_beside_another_error_hides_it_not():
    group = ExceptionGroup("both", [GuardDownError("organisation", "down"), ValueError("a bug")])

    with pytest.raises(ExceptionGroup):
        played(raising(group), a_guard())


def test_a_client_who_left_before_the_answer_is_nobodys_error():
    guard = a_guard(fuse=tripped)
    server = Server(breaks_at=0)

    server.play(GuardMiddleware(sending(*OK), guard=guard))

    assert server.sent == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_an_error_of_the_app_passes_through(kind):
    with pytest.raises(ZeroDivisionError):
        played(raising(ZeroDivisionError()), a_guard(), a_scope(kind))


def test_lifespan_is_not_guarded():
    started = {"type": "lifespan.startup.complete"}

    server = played(sending(started), a_guard(fuse=tripped), {"type": "lifespan"})

    assert server.sent == [started]


def test_odd_names_can_be_told():
    guard = a_guard(a_budget("each-user", "0.10", per="user"))

    _, _, told = answer(played(reserving(guard, "0.25", user="\ud800\n☃"), guard))

    assert "\n" not in told["message"]
    assert told["for"].endswith("\n☃")


@pytest.mark.parametrize(
    "options",
    [
        {"user": "u1"},
        {"attributes": {"team": "search"}},
        {"estimate_usd": "much"},
        {"estimate_usd": -1},
        {"tracker": "jsonl"},
        {"guard": None},
        {"always_open": "/health"},
    ],
)
def test_what_can_not_work_is_told_at_the_start(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        GuardMiddleware(sending(), **{"guard": a_guard(), **options})


@pytest.mark.parametrize("name", ["user", "attributes", "estimate_usd"])
def test_an_async_function_is_told_at_the_start(name):
    async def tells(_scope): ...

    with pytest.raises(SettingsError, match=name):
        GuardMiddleware(sending(), guard=a_guard(), tracker=Recording(), **{name: tells})
