"""A queue that fails in every way that SQS can: a server of its own, and a client like boto3's.

``python -m tests.faults.queue_stand_in LOG FAILING SEED`` serves on loopback and prints its
port. What it stores stands in LOG, a message a line; it outlives any process that sends.
"""

from __future__ import annotations

import json
import os
import random
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

TIMEOUT_SECONDS = 0.5
HANG_SECONDS = 0.8
_URL = "https://queue"
_LENGTH = struct.Struct("!I")


class Connection:
    """Messages of JSON over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._file = end.makefile("rb")

    def send(self, message: object) -> None:
        raw = json.dumps(message).encode()
        self._end.sendall(_LENGTH.pack(len(raw)) + raw)

    def receive(self) -> Any:
        """Return the next message; raises EOFError when the other end is gone."""
        head = self._file.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise EOFError
        (length,) = _LENGTH.unpack(head)
        raw = self._file.read(length)
        if len(raw) < length:
            raise EOFError
        return json.loads(raw)

    def close(self) -> None:
        self._file.close()
        self._end.close()


class StandInClient:
    """Talks to the server as a boto3 client talks to SQS, and raises what that raises."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    def send_message_batch(
        self,
        *,
        QueueUrl: str,  # noqa: N803
        Entries: Sequence[Mapping[str, str]],  # noqa: N803
    ) -> Any:
        answer = self.ask({"bodies": [entry["MessageBody"] for entry in Entries]})
        if "code" in answer:
            raise ClientError(
                {
                    "Error": {"Code": answer["code"], "Message": ""},
                    "ResponseMetadata": {"HTTPStatusCode": answer["status"]},
                },
                "SendMessageBatch",
            )
        return answer

    def ask(self, request: object) -> Any:
        try:
            if self._connection is None:
                end = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_SECONDS)
                self._connection = Connection(end)
            self._connection.send(request)
            return self._connection.receive()
        except TimeoutError as error:
            self.close()
            raise ReadTimeoutError(endpoint_url=_URL) from error
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            raise ConnectionClosedError(endpoint_url=_URL) from error
        except OSError as error:
            self.close()
            raise EndpointConnectionError(endpoint_url=_URL) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Queue:
    """Stores messages in a file, each whole; fails as often as it is told."""

    def __init__(self, log: str, failing: float, seed: int) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self.failing = failing
        self.counts: Counter[str] = Counter()

    def answer(self, bodies: list[str]) -> Any:
        """Return the answer; None to hang up without one."""
        with self._lock:
            fails = self._random.random() < self.failing
            way = self._random.choice(self.WAYS) if fails else "store"
            self.counts[way] += 1
        return getattr(self, f"_{way}")(bodies)

    WAYS = ("refuse", "lose", "partly", "throttle", "break", "hang", "forbid", "crawl")

    def _store(self, bodies: list[str]) -> Any:
        self._put(bodies)
        return {"Successful": [{"Id": str(number)} for number in range(len(bodies))]}

    def _refuse(self, bodies: list[str]) -> Any:
        return None

    def _lose(self, bodies: list[str]) -> Any:
        self._put(bodies)

    def _partly(self, bodies: list[str]) -> Any:
        good = [number for number in range(len(bodies)) if self._random.random() < 0.5]
        self._put([bodies[number] for number in good])
        bad = sorted(set(range(len(bodies))) - set(good))
        return {
            "Successful": [{"Id": str(number)} for number in good],
            "Failed": [
                {"Id": str(number), "Code": "InternalError", "SenderFault": False} for number in bad
            ],
        }

    def _throttle(self, bodies: list[str]) -> Any:
        return {"code": "RequestThrottled", "status": 400}

    def _break(self, bodies: list[str]) -> Any:
        return {"code": "InternalFailure", "status": 500}

    def _forbid(self, bodies: list[str]) -> Any:
        return {"code": "AccessDenied", "status": 403}

    def _hang(self, bodies: list[str]) -> Any:
        """Store it, and answer when nobody listens any more."""
        time.sleep(HANG_SECONDS)
        return self._store(bodies)

    def _crawl(self, bodies: list[str]) -> Any:
        time.sleep(self._random.uniform(0.02, 0.2))
        return self._store(bodies)

    def _put(self, bodies: list[str]) -> None:
        raw = "".join(f"{body}\n" for body in bodies).encode()
        with self._lock:
            assert os.write(self._file, raw) == len(raw)


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        connection = Connection(self.request)
        try:
            while True:
                request = connection.receive()
                if "failing" in request:
                    self.server.queue.failing = request["failing"]
                    connection.send(self.server.queue.counts)
                elif (answer := self.server.queue.answer(request["bodies"])) is not None:
                    connection.send(answer)
                else:
                    return
        except (EOFError, OSError):
            return
        finally:
            connection.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, queue: Queue) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.queue = queue


def main(log: str, failing: str, seed: str) -> None:
    with _Server(Queue(log, float(failing), int(seed))) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
