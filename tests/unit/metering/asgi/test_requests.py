"""Requests through the middleware, without a framework."""

import asyncio

import pytest
from unit.metering.asgi.raw import (
    CALL,
    USAGE,
    Server,
    a_scope,
    body,
    metered,
    played,
    sending,
    start,
)
from unit.metering.integrations.recording import Recording

from spendfuse.errors import SettingsError
from spendfuse.metering import attributed, report_usage
from spendfuse.metering.asgi import UsageMiddleware
from spendfuse.metering.usage import Usage

PLAIN = (b"content-type", b"text/plain")


def reporting(*models, status=200):
    async def app(_scope, _receive, send):
        for model in models:
            report_usage(model, {"prompt_tokens": 5})
        await send(start(status=status))
        await send(body())

    return app


def test_the_header_is_tracked_and_removed():
    server, tracker = played(sending(start(PLAIN, USAGE), body(b"hello")))

    assert server.headers == [PLAIN]
    assert tracker.call.model == "gpt-4o"
    assert tracker.call.usage == Usage(input_tokens=100, output_tokens=10)
    assert tracker.call.attribution.attributes == {"user": "anonymous", "endpoint": "/chat"}


@pytest.mark.parametrize("name", [b"X-LLM-Usage", b"x-llm-USAGE"])
def test_the_header_is_known_in_any_case(name):
    server, tracker = played(sending(start((name, CALL.encode()), PLAIN), body()))

    assert server.headers == [PLAIN]
    assert len(tracker.calls) == 1


def test_a_message_that_an_app_sends_many_times_is_left_as_it_is():
    first = start(USAGE)
    wrapped, tracker = metered(sending(first, body()))
    for _ in range(2):
        Server().play(wrapped)

    assert first["headers"] == [USAGE]
    assert len(tracker.calls) == 2


def test_headers_may_be_any_iterable():
    message = {"type": "http.response.start", "status": 200, "headers": iter([PLAIN, USAGE])}
    server, tracker = played(sending(message, body()))

    assert server.headers == [PLAIN]
    assert len(tracker.calls) == 1


@pytest.mark.parametrize("headers", [[(1, 2)], [3], [()], ["ab"], [(None, b"1")], [{}]])
def test_what_is_no_header_is_left_to_the_server(headers):
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    server, tracker = played(sending(message, body()))

    assert server.sent[0]["headers"] == headers
    assert tracker.calls == tracker.refused == []


@pytest.mark.parametrize("value", [None, 3, 2**62, [1, 2]], ids=repr)
def test_a_value_that_is_no_bytes_is_left_to_the_server(value):
    server, tracker = played(sending(start(PLAIN, (b"x-llm-usage", value), USAGE), body()))

    assert server.headers == [PLAIN, (b"x-llm-usage", value)]
    assert len(tracker.calls) == 1
    assert tracker.refused == []


@pytest.mark.parametrize("kind", [bytearray, memoryview, bytes.decode])
def test_a_value_may_be_anything_that_is_as_good_as_bytes(kind):
    server, tracker = played(sending(start((b"x-llm-usage", kind(CALL.encode()))), body()))

    assert server.headers == []
    assert len(tracker.calls) == 1


def test_the_header_is_found_beside_one_that_is_none():
    odd = ([], b"1")
    server, tracker = played(sending(start(odd, USAGE), body()))

    assert server.headers == [odd]
    assert len(tracker.calls) == 1


def test_a_response_without_headers_goes_through():
    server, tracker = played(sending({"type": "http.response.start", "status": 204}, body()))

    assert [message["type"] for message in server.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert tracker.calls == []


def test_a_malformed_header_is_removed_and_refused():
    server, tracker = played(sending(start((b"x-llm-usage", b"{")), body()))

    assert server.headers == []
    assert tracker.calls == []
    assert len(tracker.refused) == 1


def test_the_header_of_a_request_says_nothing():
    _, tracker = played(sending(start(), body()), a_scope(headers=[USAGE]))

    assert tracker.calls == tracker.refused == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("POST", 204)])
def test_a_response_without_a_body_counts_too(method, status):
    server, tracker = played(sending(start(USAGE, status=status), body()), a_scope(method=method))

    assert server.headers == []
    assert len(tracker.calls) == 1


def test_what_an_early_response_says_is_counted_once():
    again = start(USAGE)
    server, tracker = played(sending(start(USAGE, status=103), again, body()))

    assert server.headers == []
    assert len(tracker.calls) == 1


def test_usage_in_trailers_is_tracked_and_removed():
    trailers = {"type": "http.response.trailers", "headers": [PLAIN, USAGE]}
    server, tracker = played(sending(start(USAGE), body(), trailers))

    assert server.headers == [PLAIN]
    assert len(tracker.calls) == 2


def test_nothing_is_tracked_before_the_response_is_out():
    async def app(_scope, _receive, send):
        report_usage("gpt-4o", {"prompt_tokens": 1})
        await send(start(USAGE))
        await send(body(more=True))
        assert tracker.calls == []
        await send(body())
        assert len(tracker.calls) == 2

    wrapped, tracker = metered(app)
    Server().play(wrapped)

    assert len(tracker.calls) == 2


def test_several_reports_are_several_calls():
    _, tracker = played(reporting("a", "b", "c"))

    assert [call.model for call in tracker.calls] == ["a", "b", "c"]


def test_a_report_after_the_response_counts():
    async def app(_scope, _receive, send):
        await send(start())
        await send(body())
        report_usage("in-the-background", {"prompt_tokens": 1})

    _, tracker = played(app)

    assert tracker.call.model == "in-the-background"
    assert tracker.call.status == "ok"


def test_a_task_that_outlives_its_request_still_counts_for_it():
    wrapped, tracker = metered(None, user=lambda scope: scope["path"])
    tasks = []

    async def outliving(path):
        await asyncio.sleep(0)
        report_usage(f"late-{path}", {"prompt_tokens": 1})

    async def app(scope, _receive, send):
        tasks.append(asyncio.create_task(outliving(scope["path"])))
        await send(start())
        await send(body())

    wrapped.app = app

    async def main():
        server = Server()
        for path in ("/a", "/b"):
            await wrapped(a_scope(path=path), server.receive, server.send)
        assert tracker.calls == []
        await asyncio.gather(*tasks)

    asyncio.run(main())

    users = {call.model: call.attribution.attributes["user"] for call in tracker.calls}
    assert users == {"late-/a": "/a", "late-/b": "/b"}


def test_reports_from_threads_count_once_each():
    count, rounds = 8, 300

    async def app(_scope, _receive, send):
        def work():
            for _ in range(rounds):
                report_usage("m", {"prompt_tokens": 1})

        await send(start())
        await send(body())
        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(count)))

    _, tracker = played(app)

    assert len(tracker.calls) == count * rounds


def test_concurrent_requests_keep_their_reports_and_users_apart():
    async def app(scope, _receive, send):
        for number in range(3):
            await asyncio.sleep(0)
            scope["state"]["user_id"] = scope["path"]
            report_usage(scope["path"], {"prompt_tokens": number})
        await send(start())
        await send(body())

    wrapped, tracker = metered(app)

    async def main():
        server = Server()
        await asyncio.gather(
            *(wrapped(a_scope(path=f"/p-{n}x"), server.receive, server.send) for n in range(50))
        )

    asyncio.run(main())

    assert len(tracker.calls) == 150
    assert all(call.attribution.attributes["user"] == call.model for call in tracker.calls)


def test_the_attribution_in_force_is_kept_and_beats_what_we_find_out():
    async def app(_scope, _receive, send):
        with attributed(user="u-7", team="search", environment="prod"):
            report_usage("a", {"prompt_tokens": 1}, feature="chat")
            await send(start(USAGE))
        await send(body())

    _, tracker = played(app, user=lambda _: "somebody")

    shared = {"user": "u-7", "team": "search", "environment": "prod", "endpoint": "/chat"}
    assert tracker.calls[0].attribution.attributes == {**shared, "feature": "chat"}
    assert tracker.calls[1].attribution.attributes == shared


class State:
    user_id = "u-state"


@pytest.mark.parametrize(
    ("state", "user"),
    [
        ({"user_id": "u-1"}, "u-1"),
        ({"user_id": 7}, "7"),
        (State(), "u-state"),
        ({"user_id": None}, "anonymous"),
        ({"user_id": ""}, "anonymous"),
        ({}, "anonymous"),
        (None, "anonymous"),
        (object(), "anonymous"),
    ],
)
def test_the_user_is_the_one_that_the_app_put_into_the_state(state, user):
    _, tracker = played(reporting("m"), a_scope(state=state))

    assert tracker.call.attribution.attributes["user"] == user


def test_a_user_set_on_a_copy_of_the_scope_is_found():
    inner = reporting("m")

    async def app(scope, receive, send):
        copy = dict(scope)
        copy["state"]["user_id"] = "u-2"
        await inner(copy, receive, send)

    _, tracker = played(app)

    assert tracker.call.attribution.attributes["user"] == "u-2"


def test_a_function_of_yours_may_tell_the_user():
    _, tracker = played(reporting("m"), a_scope(who="u-3"), user=lambda scope: scope["who"])

    assert tracker.call.attribution.attributes["user"] == "u-3"


def test_a_function_that_fails_leaves_the_user_anonymous_and_loses_nothing():
    _, tracker = played(reporting("m"), user=lambda scope: scope["nobody"])

    assert tracker.call.attribution.attributes["user"] == "anonymous"
    assert tracker.refused == ["the user of a request can't be told: KeyError"]


@pytest.mark.parametrize("user", ["u1", 7])
def test_a_user_that_can_not_be_called_is_refused_at_once(user):
    with pytest.raises(SettingsError, match="user must be a plain function"):
        UsageMiddleware(reporting(), tracker=Recording(), user=user)


def test_a_coroutine_function_can_not_tell_the_user():
    async def user(_scope):
        return "u1"

    with pytest.raises(SettingsError, match="plain function"):
        UsageMiddleware(reporting(), tracker=Recording(), user=user)


@pytest.mark.parametrize("tracker", [None, "tracker", object()])
def test_what_is_no_tracker_is_refused_at_once(tracker):
    with pytest.raises(SettingsError, match="tracker must be a CostTracker"):
        UsageMiddleware(reporting(), tracker=tracker)


def test_an_error_of_the_app_passes_untouched_and_is_recorded():
    error = ValueError("a prompt")

    async def app(_scope, _receive, _send):
        report_usage("m", {"prompt_tokens": 1})
        raise error

    wrapped, tracker = metered(app)
    with pytest.raises(ValueError, match="a prompt") as caught:
        Server().play(wrapped)

    assert caught.value is error
    assert (tracker.call.status, tracker.call.error_type) == ("error", "ValueError")


def test_a_server_error_is_the_status_of_its_calls():
    _, tracker = played(reporting("m", status=503))

    assert (tracker.call.status, tracker.call.error_type) == ("error", "HTTP 503")


def test_a_client_error_is_no_error_of_the_call():
    _, tracker = played(reporting("m", status=422))

    assert tracker.call.status == "ok"


def test_a_status_that_was_reported_is_kept():
    async def app(_scope, _receive, _send):
        report_usage("m", {"prompt_tokens": 1}, status="error", error_type="RateLimitError")
        raise RuntimeError

    wrapped, tracker = metered(app)
    with pytest.raises(RuntimeError):
        Server().play(wrapped)

    assert tracker.call.error_type == "RateLimitError"


def test_an_error_after_the_response_spares_what_is_tracked_already():
    async def app(_scope, _receive, send):
        report_usage("in-time", {"prompt_tokens": 1})
        await send(start())
        await send(body())
        report_usage("in-the-background", {"prompt_tokens": 1})
        raise RuntimeError

    wrapped, tracker = metered(app)
    with pytest.raises(RuntimeError):
        Server().play(wrapped)

    assert [(call.model, call.status) for call in tracker.calls] == [
        ("in-time", "ok"),
        ("in-the-background", "error"),
    ]


def test_a_tracker_that_breaks_its_promise_breaks_no_request():
    class Broken:
        refused = ()

        def track_quietly(self, reported):
            raise RuntimeError

        def refuse(self, reason):
            self.refused = (reason,)

    tracker, server = Broken(), Server()
    server.play(UsageMiddleware(reporting("m"), tracker=tracker))

    assert len(server.sent) == 2
    assert tracker.refused == ("a request's usage can't be tracked: RuntimeError",)


def test_lifespan_passes_through_as_it_is():
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    wrapped, _ = metered(app)
    parts = ({"type": "lifespan"}, Server().receive, Server().send)
    asyncio.run(wrapped(*parts))

    assert seen == [parts]
    assert "state" not in parts[0]


def test_a_websocket_is_tracked_message_by_message():
    async def app(_scope, receive, send):
        await send({"type": "websocket.accept", "headers": [USAGE]})
        counts.append(len(tracker.calls))
        for number in range(3):
            await receive()
            report_usage(f"m-{number}", {"prompt_tokens": 1})
            await send({"type": "websocket.send", "text": "answer"})
            counts.append(len(tracker.calls))
        report_usage("last", {"prompt_tokens": 1})

    counts = []
    server = Server()
    wrapped, tracker = metered(app)
    server.play(wrapped, a_scope("websocket", path="/talk"))

    assert server.headers == []
    assert counts == [1, 2, 3, 4]
    assert {(c.status, c.attribution.attributes["endpoint"]) for c in tracker.calls} == {
        ("ok", "/talk")
    }
    assert [c.model for c in tracker.calls] == ["gpt-4o", "m-0", "m-1", "m-2", "last"]


def test_a_websocket_whose_client_left_is_cancelled():
    async def app(_scope, _receive, send):
        report_usage("m", {"prompt_tokens": 1})
        await send({"type": "websocket.send", "text": "answer"})

    wrapped, tracker = metered(app)
    with pytest.raises(OSError, match="left"):
        Server(breaks_at=0).play(wrapped, a_scope("websocket"))

    assert tracker.call.status == "cancelled"


def test_more_reports_than_wait_at_most_are_all_counted():
    async def app(_scope, _receive, send):
        for _ in range(2500):
            assert report_usage("m", {"prompt_tokens": 1})
        await send(start())
        await send(body())

    _, tracker = played(app)

    assert len(tracker.calls) == 2500


def test_a_middleware_inside_another_counts_once():
    inner, inside = metered(reporting("m"))
    _, outside = played(inner)

    assert (len(inside.calls), len(outside.calls)) == (1, 0)


def test_the_collector_is_gone_after_the_request():
    async def main():
        server = Server()
        await wrapped(a_scope(), server.receive, server.send)
        return report_usage("m", {"prompt_tokens": 1})

    wrapped, tracker = metered(reporting("m"))

    assert asyncio.run(main()) is False
    assert len(tracker.calls) == 1
