"""The server's own door, ``/_spendfuse/``, for what AWS has no API for.

* ``GET health``: the sandbox's token, so that nobody takes another server for it
* ``POST budgets/<AWS budget>/spend``: ``{"actual_usd", "forecast_usd"?, "at"?}``
* ``POST publish``: ``{"service", "topic_arn", "source_arn", "subject", "message"}``
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from spendfuse.clock import parse_utc
from spendfuse.errors import InputError
from spendfuse.money import decimal_usd
from spendfuse.sandbox.aws_player import AwsPlayer
from spendfuse.sandbox.budget_notice import Spend
from spendfuse.sandbox.folder import Running

PREFIX = "/_spendfuse/"


@dataclass(frozen=True)
class Door:
    """An ASGI app for the requests below ``/_spendfuse/``."""

    running: Running
    player: AwsPlayer
    now: Callable[[], datetime]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        path = unquote(scope["path"]).removeprefix(PREFIX)
        try:
            # A thread: whatever is published may take its time.
            answer = await asyncio.to_thread(self.answer, scope["method"], path, body)
        except InputError as error:
            await _send(send, HTTPStatus.BAD_REQUEST, {"error": str(error)})
        else:
            await _send(send, HTTPStatus.OK, answer)

    def answer(self, method: str, path: str, body: bytes) -> Mapping[str, Any]:
        """Return the answer to one request.

        Raises:
            InputError: there is nothing of that name, or the body is wrong.
        """
        if (method, path) == ("GET", "health"):
            return {"sandbox": self.running.token, **asdict(self.running)}
        if (method, path) == ("POST", "publish"):
            return self._publish(_fields(body))
        if method == "POST" and path.startswith("budgets/") and path.endswith("/spend"):
            name = path.removeprefix("budgets/").removesuffix("/spend")
            return self.player.spend(name, self._spend(_fields(body))).to_json()
        raise InputError(f"nothing answers to {method} {PREFIX}{path}")

    def _spend(self, fields: Mapping[str, Any]) -> Spend:
        forecast = fields.get("forecast_usd")
        return Spend(
            actual_usd=decimal_usd(fields.get("actual_usd")),
            forecast_usd=None if forecast is None else decimal_usd(forecast),
            at=parse_utc(fields["at"]) if fields.get("at") else self.now(),
        )

    def _publish(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = ("service", "topic_arn", "source_arn", "subject", "message")
        missing = [name for name in wanted if not isinstance(fields.get(name), str)]
        if missing:
            raise InputError(f"missing, or no text: {', '.join(missing)}")
        return self.player.publish_as(
            fields["service"],
            fields["topic_arn"],
            source_arn=fields["source_arn"],
            title=fields["subject"],
            body=fields["message"],
        ).to_json()


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise InputError("the body is no JSON") from error
    if not isinstance(fields, dict):
        raise InputError("the body is no JSON object")
    return fields


async def _body(receive: Any) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _send(send: Any, status: int, answer: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
