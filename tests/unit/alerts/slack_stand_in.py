"""A web server on this machine that stands in for Slack, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    hangs_up: bool = False


class SlackStandIn:
    """Plays its ``script`` answer by answer, then says ok."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.received: list[dict] = []
        """Every message posted, answered well or not."""
        self.taken: list[dict] = []
        """Those that it took."""
        self.base = ""
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.base}/services/T0/B0/hush-hush"

    def answer(self, message: dict) -> Answer:
        self.received.append(message)
        answer = self.script.pop(0) if self.script else Answer()
        if answer.status == 200 and not (answer.hangs or answer.hangs_up):
            self.taken.append(message)
        return answer


@contextmanager
def slack_stand_in() -> Iterator[SlackStandIn]:
    slack = SlackStandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            answer = slack.answer(json.loads(self.rfile.read(length)))
            if answer.hangs:
                slack.over.wait()
            if answer.hangs or answer.hangs_up:
                return
            self.send_response(answer.status)
            for name, value in {"Content-Type": "text/plain", **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    slack.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield slack
    finally:
        slack.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
