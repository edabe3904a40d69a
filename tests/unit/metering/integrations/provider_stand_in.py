"""A web server on this machine that stands in for a model's API, and answers as it is told.

Bodies are lists of pieces, each sent as one chunk. A piece that is a ``threading.Event`` is
waited for; ``HANG_UP`` breaks the connection off.
"""

from __future__ import annotations

import json
import struct
import threading
from binascii import crc32
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_UP = object()
PATIENCE_SECONDS = 20


@dataclass
class Answer:
    pieces: Sequence[object] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(body: object, *, status: int = 200, **headers: str) -> Answer:
    sent = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return Answer([json.dumps(body).encode()], status, sent)


def sse_answer(*events: object, named: bool = False, done: bool = True) -> Answer:
    """Server-sent events; ``named`` ones say their type, as Anthropic's and Responses' do."""
    pieces: list[object] = []
    for event in events:
        if not isinstance(event, dict):
            pieces.append(event)
            continue
        head = f"event: {event['type']}\n" if named else ""
        pieces.append(f"{head}data: {json.dumps(event)}\n\n".encode())
    if done and not named:
        pieces.append(b"data: [DONE]\n\n")
    return Answer(pieces, headers={"Content-Type": "text/event-stream"})


def frame(event_type: str, payload: dict[str, Any], *, exception: bool = False) -> bytes:
    """One message of AWS's binary event stream, checksums included."""
    kind = ("exception", ":exception-type") if exception else ("event", ":event-type")
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (":message-type", kind[0]),
            (kind[1], event_type),
            (":content-type", "application/json"),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + body
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    return (
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack("!H", len(value))
        + value.encode()
    )


def event_stream_answer(*pieces: object, **headers: str) -> Answer:
    sent = {"Content-Type": "application/vnd.amazon.eventstream"}
    return Answer(pieces, headers=sent | {k.replace("_", "-"): v for k, v in headers.items()})


@dataclass
class Asked:
    path: str
    body: Any
    headers: dict[str, str]


class ProviderStandIn:
    """Plays its ``script`` answer by answer; without one it says 404."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.asked: list[Asked] = []
        self.base = ""

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.script.pop(0) if self.script else json_answer({"error": "none"}, status=404)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._play(json.loads(raw))
        except ValueError:
            self._play(raw)

    def do_GET(self) -> None:
        self._play(None)

    def _play(self, body: object) -> None:
        answer = self.server.provider.answer(Asked(self.path, body, dict(self.headers)))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._send(answer.pieces)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, pieces: Sequence[object]) -> None:
        for piece in pieces:
            if isinstance(piece, threading.Event):
                piece.wait(PATIENCE_SECONDS)
            elif piece is HANG_UP:
                self.close_connection = True
                return
            elif isinstance(piece, bytes):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, provider: ProviderStandIn) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.provider = provider

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what some tests are about."""


@contextmanager
def provider_stand_in() -> Iterator[ProviderStandIn]:
    provider = ProviderStandIn()
    server = Server(provider)
    provider.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
