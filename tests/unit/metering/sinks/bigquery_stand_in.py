"""BigQuery's insertAll on 127.0.0.1: keeps rows by insert id, and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]
"""Status and body."""


def an_error(status: int, reason: str) -> Answer:
    errors = [{"reason": reason, "message": "a secret value"}]
    return status, {"error": {"code": status, "message": "a secret value", "errors": errors}}


class BigQuery:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.judge: Callable[[list[dict[str, Any]]], Answer] = lambda _: (200, {})
        """What to answer to these rows; those that it names in insertErrors are not kept."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = stand_in.take(self.path, body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def take(self, path: str, body: dict[str, Any]) -> Answer:
        self.paths.append(path)
        self.requests.append(body)
        status, answer = self.judge([row["json"] for row in body["rows"]])
        refused = {error["index"] for error in answer.get("insertErrors", [])}
        if status == 200:
            for index, row in enumerate(body["rows"]):
                if index not in refused:
                    self.rows[row["insertId"]] = row["json"]
        return status, answer

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
