"""A server that plays one request to an ASGI app, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from unit.metering.integrations.recording import Recording

from spendfuse.metering.asgi import UsageMiddleware

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

CALL = '{"model": "gpt-4o", "prompt_tokens": 100, "completion_tokens": 10}'
USAGE = (b"x-llm-usage", CALL.encode())


def a_scope(kind: str = "http", path: str = "/chat", **more: Any) -> dict[str, Any]:
    return {"type": kind, "method": "POST", "path": path, "query_string": b"q=1", **more}


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(text: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


def sending(*messages: Message) -> App:
    """An app that sends these."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


class Server:
    """Plays requests, and keeps what the app sent.

    Args:
        breaks_at: The number of the message from which on sending fails, as to a client who left.
        incoming: What the app receives, in turn.
    """

    def __init__(self, *, breaks_at: int = 1000, incoming: tuple[Message, ...] = ()) -> None:
        self.sent: list[Message] = []
        self._breaks_at = breaks_at
        self._incoming = list(incoming)

    async def receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop(0)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if len(self.sent) >= self._breaks_at:
            raise OSError("the client left")
        self.sent.append(message)

    def play(self, app: App, scope: dict[str, Any] | None = None) -> None:
        asyncio.run(app(scope or a_scope(), self.receive, self.send))

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [tuple(each) for message in self.sent for each in message.get("headers", ())]


def metered(app: App, **options: Any) -> tuple[UsageMiddleware, Recording]:
    tracker = Recording()
    return UsageMiddleware(app, tracker=tracker, **options), tracker


def played(
    app: App, scope: dict[str, Any] | None = None, **options: Any
) -> tuple[Server, Recording]:
    """Play one request to ``app`` with our middleware around it."""
    server = Server()
    wrapped, tracker = metered(app, **options)
    server.play(wrapped, scope)
    return server, tracker
