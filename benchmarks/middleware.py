"""What a middleware adds to a request and to a chunk of a stream, above the bare app.

A raw ASGI app is called in a loop, without a server: what is left is the middleware.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from benchmarks.figures import Figure, write

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PROCESSES = 5
ROUNDS = 15
REQUESTS = 300
STREAMS = 20
CHUNKS = 200
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"15"),
    (b"cache-control", b"no-store"),
    (b"x-request-id", b"0f8fad5b-d9cb-469f-a165-70867728950e"),
]
_USAGE = (
    b"x-llm-usage",
    b'{"model": "gpt-4o-mini", "prompt_tokens": 1200, "completion_tokens": 300}',
)


class Untracked:
    """A tracker that does nothing: what tracking costs is the business of other figures."""

    def track_quietly(self, _reported: object, /) -> None: ...

    def refuse(self, _reason: str, /) -> None: ...


def _app(headers: list[tuple[bytes, bytes]], chunks: int) -> App:
    async def app(_scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(chunks):
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: Message) -> None: ...


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "POST",
        "path": "/chat",
        "headers": [(b"host", b"127.0.0.1")],
        "query_string": b"",
        "state": {},
    }


async def _microseconds(app: App, calls: int) -> float:
    """Return the CPU time of one call, the least of some rounds."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            await app(_scope(), _receive, _send)
        least = min(least, time.process_time() - began)
    return least / calls * 1e6


def _ours(app: App) -> App:
    from spendfuse.metering.asgi import UsageMiddleware  # noqa: PLC0415

    return UsageMiddleware(app, tracker=Untracked())


def _peer(app: App) -> App:
    from starlette.middleware.base import BaseHTTPMiddleware  # noqa: PLC0415

    async def dispatch(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        if "X-LLM-Usage" in response.headers:
            json.loads(response.headers["X-LLM-Usage"])
            del response.headers["X-LLM-Usage"]
        return response

    return BaseHTTPMiddleware(app, dispatch)


async def _measure() -> dict[str, float]:
    """Return what each middleware adds, in microseconds."""
    shapes = {
        "request": (_app(_HEADERS, 0), REQUESTS, 1),
        "usage": (_app([*_HEADERS, _USAGE], 0), REQUESTS, 1),
        "chunk": (_app(_HEADERS, CHUNKS), STREAMS, CHUNKS),
    }
    found = {}
    for shape, (app, calls, parts) in shapes.items():
        bare = await _microseconds(app, calls)
        for name, wrapped in {"ours": _ours(app), "peer": _peer(app)}.items():
            found[f"{shape} {name}"] = (await _microseconds(wrapped, calls) - bare) / parts
    return found


def run() -> None:
    """Measure in several processes, one after another, and report the medians."""
    command = [sys.executable, "-m", "benchmarks.middleware"]
    samples = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(PROCESSES)
    ]
    median = {name: statistics.median(each[name] for each in samples) for name in samples[0]}

    def figure(text: str, shape: str) -> Figure:
        peers = {"BaseHTTPMiddleware": round(median[f"{shape} peer"], 3)}
        return Figure(text, "us", round(median[f"{shape} ours"], 3), peers)

    write(
        "middleware",
        [
            figure("a request, nothing reported", "request"),
            figure("a request with X-LLM-Usage, tracking apart", "usage"),
            figure("a chunk of a stream", "chunk"),
        ],
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure())))
