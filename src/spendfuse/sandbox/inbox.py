"""Where the sandbox's alerts arrive: plays Slack, PagerDuty and a mail server on loopback.

It can be told to answer 429 or 500, or nothing at all. Tests of one process use ``Inbox``,
others ``InboxClient`` with its URL.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from spendfuse.clock import utc_now
from spendfuse.errors import InputError
from spendfuse.sandbox.mail_server import MailServer
from spendfuse.sandbox.messages import Fault, Message, Messages

LOOPBACK = "127.0.0.1"


class Inbox:
    """The inbox of this process; it listens while it is entered."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self._messages = Messages(now)
        self._stopping = threading.Event()
        self._mail = MailServer(self._messages)
        self._http: _HttpServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._mail.start()
        self._http = _HttpServer((LOOPBACK, 0), _Requests)
        self._http.messages, self._http.stopping = self._messages, self._stopping
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._mail.stop()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    @property
    def url(self) -> str:
        """The base URL of the control API, ``http://127.0.0.1:<port>``."""
        if self._http is None:
            raise InputError("the inbox listens only inside its `with` block")
        return f"http://{LOOPBACK}:{self._http.server_address[1]}"

    @property
    def slack_url(self) -> str:
        """A Slack webhook."""
        return slack_url(self.url)

    @property
    def pagerduty_url(self) -> str:
        """PagerDuty's Events API v2."""
        return f"{self.url}/v2/enqueue"

    @property
    def smtp_port(self) -> int:
        """The mail server's port on 127.0.0.1."""
        return self._mail.port

    def messages(self, channel: str | None = None) -> list[Message]:
        """Return what was delivered, oldest first."""
        return self._messages.delivered(channel)

    def refused(self, channel: str | None = None) -> list[Message]:
        """Return what was answered with an error, or not at all."""
        return self._messages.refused(channel)

    def answer(
        self,
        channel: str,
        *,
        status: int = 500,
        retry_after: int | None = None,
        hang_seconds: float = 0.0,
        times: int = 1,
    ) -> None:
        """Refuse the channel's next ``times`` messages.

        Example:
            ``inbox.answer("slack", status=429, retry_after=3, times=2)``
        """
        self._messages.answer(channel, Fault(status, retry_after, hang_seconds), times=times)

    def clear(self) -> None:
        """Forget all messages and faults."""
        self._messages.clear()


def slack_url(inbox_url: str) -> str:
    """Return the Slack webhook of the inbox at that URL."""
    return f"{inbox_url}/slack/services/T0SANDBOX/B0SANDBOX/sandbox"


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    messages: Messages
    stopping: threading.Event


class _Requests(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self._json()
        if body is None:
            self._answer(HTTPStatus.BAD_REQUEST, "invalid_payload")
        elif path.startswith("/slack/"):
            self._take("slack", body, HTTPStatus.OK, "ok")
        elif path == "/v2/enqueue":
            accepted = {"status": "success", "message": "Event processed"}
            self._take("pagerduty", body, HTTPStatus.ACCEPTED, {**accepted, **_key_of(body)})
        elif path == "/answers":
            self._prepare(body)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "no_service")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/messages":
            self._answer(HTTPStatus.NOT_FOUND, "no_service")
            return
        channel = parse_qs(url.query).get("channel", [None])[0]
        kept = self.server.messages
        self._answer(
            HTTPStatus.OK,
            {
                "messages": [each.to_json() for each in kept.delivered(channel)],
                "refused": [each.to_json() for each in kept.refused(channel)],
            },
        )

    def do_DELETE(self) -> None:
        self.server.messages.clear()
        self._answer(HTTPStatus.OK, {})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: what arrived can be asked for."""

    def _json(self) -> dict[str, Any] | None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(text)
        except ValueError:
            return None
        return body if isinstance(body, dict) else None

    def _take(self, channel: Any, body: dict[str, Any], status: int, answer: object) -> None:
        fault = self.server.messages.arrive(channel, body, self.path)
        if fault is None:
            self._answer(status, answer)
        elif fault.hang_seconds:
            self.server.stopping.wait(fault.hang_seconds)
            self.close_connection = True
        else:
            self._answer(fault.status, "refused", retry_after=fault.retry_after)

    def _prepare(self, body: dict[str, Any]) -> None:
        times, channel = body.pop("times", 1), body.pop("channel", None)
        try:
            self.server.messages.answer(channel, Fault(**body), times=times)
        except (InputError, TypeError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        else:
            self._answer(HTTPStatus.OK, {})

    def _answer(self, status: int, body: object, *, retry_after: int | None = None) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        payload = text.encode()
        # The client may have given up meanwhile.
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            if retry_after is not None:
                self.send_header("Retry-After", str(retry_after))
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)


def _key_of(event: dict[str, Any]) -> dict[str, Any]:
    return {"dedup_key": event["dedup_key"]} if "dedup_key" in event else {}
