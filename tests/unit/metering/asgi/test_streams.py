"""Streams that finish, break, and are cancelled, through the middleware."""

import asyncio
import gc

import pytest
from unit.metering.asgi.raw import USAGE, Server, a_scope, body, metered, played, start

from spendfuse.metering import report_usage

GONE = {"type": "http.disconnect"}


def streaming(*, before=None, after=None, chunks=3):
    async def app(_scope, _receive, send):
        await send(start(USAGE))
        if before:
            report_usage(before, {"prompt_tokens": 1})
        for _ in range(chunks):
            await send(body(b"x", more=True))
            await asyncio.sleep(0)
        if after:
            report_usage(after, {"completion_tokens": 1})
        await send(body())

    return app


def statuses(tracker):
    return [(call.model, call.status, call.error_type) for call in tracker.calls]


def test_usage_that_is_known_at_the_end_of_a_stream_counts():
    server, tracker = played(streaming(after="late"))

    assert [message.get("body") for message in server.sent] == [None, b"x", b"x", b"x", b""]
    assert statuses(tracker) == [("late", "ok", None), ("gpt-4o", "ok", None)]


def test_a_stream_that_breaks_records_what_was_reported():
    async def app(_scope, _receive, send):
        await send(start(USAGE))
        report_usage("so-far", {"prompt_tokens": 1})
        await send(body(b"x", more=True))
        raise RuntimeError

    wrapped, tracker = metered(app)
    with pytest.raises(RuntimeError):
        Server().play(wrapped)

    assert statuses(tracker) == [
        ("so-far", "error", "RuntimeError"),
        ("gpt-4o", "error", "RuntimeError"),
    ]


def test_a_client_who_left_is_no_error_of_the_app():
    wrapped, tracker = metered(streaming(before="so-far", after="never"))
    with pytest.raises(OSError, match="the client left"):
        Server(breaks_at=2).play(wrapped)

    assert statuses(tracker) == [("so-far", "cancelled", None), ("gpt-4o", "cancelled", None)]


def test_a_client_who_left_is_known_whatever_the_app_makes_of_it():
    class ClientDisconnect(Exception):  # noqa: N818 (as Starlette's)
        pass

    async def app(scope, receive, send):
        try:
            await streaming(before="so-far")(scope, receive, send)
        except OSError:
            raise ClientDisconnect from None

    wrapped, tracker = metered(app)
    with pytest.raises(ClientDisconnect):
        Server(breaks_at=2).play(wrapped)

    assert {call.status for call in tracker.calls} == {"cancelled"}


def test_an_os_error_of_the_app_itself_is_an_error():
    async def app(_scope, _receive, send):
        await send(start(USAGE))
        raise ConnectionResetError

    wrapped, tracker = metered(app)
    with pytest.raises(ConnectionResetError):
        Server().play(wrapped)

    assert statuses(tracker) == [("gpt-4o", "error", "ConnectionResetError")]


def test_a_request_that_is_cancelled_records_what_was_reported():
    wrapped, tracker = metered(streaming(before="so-far", chunks=10**6))
    server = Server(breaks_at=10**9)

    async def main():
        task = asyncio.create_task(wrapped(a_scope(), server.receive, server.send))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert statuses(tracker) == [("so-far", "cancelled", None), ("gpt-4o", "cancelled", None)]


def test_an_app_that_stops_half_way_was_cancelled():
    async def app(_scope, receive, send):
        await send(start(USAGE))
        await send(body(b"x", more=True))
        assert await receive() == GONE

    server = Server(incoming=(GONE,))
    wrapped, tracker = metered(app)
    server.play(wrapped)

    assert statuses(tracker) == [("gpt-4o", "cancelled", None)]


def test_an_app_that_ends_its_stream_because_the_client_left_was_cancelled():
    async def app(_scope, receive, send):
        await send(start(USAGE))
        while (await receive()) != GONE:
            await send(body(b"x", more=True))
        await send(body())

    server = Server(incoming=({"type": "http.request"}, GONE))
    wrapped, tracker = metered(app)
    server.play(wrapped)

    assert statuses(tracker) == [("gpt-4o", "cancelled", None)]


def test_a_disconnect_after_the_response_cancels_nothing():
    async def app(_scope, receive, send):
        await send(start())
        await send(body())
        assert await receive() == GONE
        report_usage("in-the-background", {"prompt_tokens": 1})
        raise RuntimeError

    server = Server(incoming=(GONE,))
    wrapped, tracker = metered(app)
    with pytest.raises(RuntimeError):
        server.play(wrapped)

    assert statuses(tracker) == [("in-the-background", "error", "RuntimeError")]


@pytest.mark.parametrize(
    "last",
    [
        {"type": "http.response.pathsend", "path": "/tmp/x"},
        {"type": "http.response.zerocopysend", "file": 3},
    ],
)
def test_a_file_that_the_server_sends_ends_a_response(last):
    async def app(_scope, _receive, send):
        await send(start(USAGE))
        await send(last)
        assert len(tracker.calls) == 1

    wrapped, tracker = metered(app)
    Server().play(wrapped)

    assert statuses(tracker) == [("gpt-4o", "ok", None)]


def test_a_stream_that_the_garbage_collector_closes_counts_for_its_own_request():
    async def tokens(name):
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            report_usage(name, {"prompt_tokens": 1})

    async def app(scope, _receive, send):
        await send(start())
        # As frameworks do: nobody closes the iterator when the task is cancelled.
        async for chunk in tokens(scope["path"]):
            await send(body(chunk, more=True))

    wrapped, tracker = metered(app, user=lambda scope: scope["path"])

    async def main():
        server = Server(breaks_at=3)
        for path in ("/a", "/b"):
            with pytest.raises(OSError, match="left"):
                await wrapped(a_scope(path=path), server.receive, server.send)
            server.sent.clear()
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(main())

    found = [(c.model, c.attribution.attributes["user"], c.status) for c in tracker.calls]
    assert found == [("/a", "/a", "cancelled"), ("/b", "/b", "cancelled")]
