"""What a middleware adds to a request, and to a chunk of a stream, above the bare app.

A raw ASGI app is called in a loop, without a server: what is left is the middleware. The tracker
does nothing: what tracking costs is a figure of ``make bench NAME=metering``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from time import process_time
from typing import Any

from starlette.middleware.base import BaseHTTPMiddleware

from spendfuse.metering import UsageMiddleware, report_usage, track_llm_cost

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

ROUNDS = 25
REQUESTS = 500
STREAMS = 10
CHUNKS = 200
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"15"),
    (b"cache-control", b"no-store"),
    (b"x-request-id", b"0f8fad5b-d9cb-469f-a165-70867728950e"),
]
USAGE = (
    b"x-llm-usage",
    b'{"model": "gpt-4o-mini", "prompt_tokens": 1200, "completion_tokens": 300}',
)


class Untracked:
    def track_quietly(self, _reported: object, /) -> None: ...

    def refuse(self, _reason: str, /) -> None: ...


def app_sending(headers: list[tuple[bytes, bytes]], chunks: int) -> App:
    async def app(_scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        # A list of its own for each request: Starlette's headers are changed in place.
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        for _ in range(chunks):
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def receive_nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send_nowhere(_message: Message) -> None: ...


async def seconds(app: App, requests: int) -> float:
    began = process_time()
    for _ in range(requests):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "method": "POST",
            "path": "/chat",
            "headers": [(b"host", b"127.0.0.1")],
            "query_string": b"",
            "state": {"user_id": "u1"},
        }
        await app(scope, receive_nothing, send_nowhere)
    return process_time() - began


def ours(app: App) -> App:
    return UsageMiddleware(app, tracker=Untracked())


def base_http(app: App) -> App:
    """The middleware that people write: read the header, remove it."""

    async def dispatch(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        if "X-LLM-Usage" in response.headers:
            json.loads(response.headers["X-LLM-Usage"])
            del response.headers["X-LLM-Usage"]
        return response

    return BaseHTTPMiddleware(app, dispatch)


async def added(app: App, requests: int) -> dict[str, float]:
    """Return the microseconds a request that each adds: the least of rounds taken in turn."""
    apps = {"bare": app, "ours": ours(app), "BaseHTTPMiddleware": base_http(app)}
    least = dict.fromkeys(apps, float("inf"))
    for _ in range(ROUNDS):
        for name, each in apps.items():
            least[name] = min(least[name], await seconds(each, requests))
    bare = least.pop("bare")
    return {name: (each - bare) / requests * 1e6 for name, each in least.items()}


def decorated() -> float:
    """Return the microseconds that the decorator adds to a function that reports a call."""

    @track_llm_cost("rag", tracker=Untracked(), feature="chat")
    def inside() -> None:
        report_usage("gpt-4o-mini", counts)

    counts = {"prompt_tokens": 1200, "completion_tokens": 300}
    least = float("inf")
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(REQUESTS):
            inside()
        least = min(least, process_time() - began)
    return least / REQUESTS * 1e6


async def main() -> None:
    stream = await added(app_sending(HEADERS, CHUNKS), STREAMS)
    figures = {
        "request": await added(app_sending(HEADERS, 0), REQUESTS),
        "usage": await added(app_sending([*HEADERS, USAGE], 0), REQUESTS),
        "chunk": {name: each / CHUNKS for name, each in stream.items()},
        "decorator": {"ours": decorated()},
    }
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
