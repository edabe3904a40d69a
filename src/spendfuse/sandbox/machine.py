"""Start, find and stop the sandbox: the class that the CLI, the demo and the tests use."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spendfuse.errors import InputError, SettingsError, SpendfuseError, UnavailableError
from spendfuse.sandbox.aws_client import aws_client
from spendfuse.sandbox.environment import bare_environment, client_environment
from spendfuse.sandbox.folder import Folder, Running, disk_error
from spendfuse.sandbox.inbox_client import InboxClient
from spendfuse.sandbox.leash import leashed
from spendfuse.sandbox.player_client import PlayerClient

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_HEALTH_SECONDS = 10.0
_TAIL_LINES = 12


@dataclass
class Sandbox:
    """AWS on this machine, running."""

    folder: Folder
    running: Running
    _leash: subprocess.Popen[bytes] | None = None
    """None when it was started by another process, or detached."""
    _clients: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        detached: bool = False,
        port: int = 0,
        account: str = "111122223333",
        region: str = "us-east-1",
    ) -> Self:
        """Start a sandbox in ``folder`` and return once it answers.

        It ends with this process, however that ends, unless it is ``detached``.

        Raises:
            SettingsError: the port or the folder can't be used, or a sandbox runs there.
            UnavailableError: the disk is full, or the server did not come up.
        """
        place = Folder(folder.absolute())
        place.make()
        leash = _launch(place, _server_command(place, port, account, region), detached=detached)
        try:
            sandbox = cls(place, _await_ready(place, leash), leash)
            sandbox.check()
        except BaseException:
            _end(leash)
            raise
        if detached:
            sandbox._let_go()
        return sandbox

    @classmethod
    def attach(cls, folder: Path) -> Self:
        """Return the sandbox that runs in ``folder``.

        Raises:
            SettingsError: none runs there.
        """
        place = Folder(folder.absolute())
        running = place.running()
        if running is None:
            raise SettingsError(
                f"no sandbox runs in {place.path}; start one with `spendfuse sandbox up`"
            )
        sandbox = cls(place, running)
        sandbox.check()
        return sandbox

    def check(self) -> None:
        """Ask it for its token.

        Raises:
            UnavailableError: it does not answer, or another server does.
        """
        answer = self.control("GET", "health")
        if answer.get("sandbox") != self.running.token:
            raise UnavailableError(f"what answers at {self.running.endpoint_url} is not ours")

    def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask the server's own door, ``/_spendfuse/``, and return its JSON answer.

        Raises:
            InputError: it says what is wrong with the request.
            UnavailableError: it does not answer.
        """
        request = urllib.request.Request(  # noqa: S310 - the URL is our own, https
            f"{self.running.endpoint_url}/_spendfuse/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        trust = ssl.create_default_context(cafile=self.folder.authority)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        try:
            with opener.open(request, timeout=_HEALTH_SECONDS) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise InputError(_reason(error.read())) from error
        except OSError as error:
            raise UnavailableError(
                f"the sandbox does not answer at {self.running.endpoint_url}: {error}"
            ) from error

    @property
    def inbox(self) -> InboxClient:
        """Where alerts arrive."""
        return InboxClient(self.running.inbox_url)

    @property
    def player(self) -> PlayerClient:
        """Plays what AWS does by itself."""
        return PlayerClient(self.control)

    def environment(self) -> dict[str, str]:
        """Return what an AWS client needs in its environment to speak to the sandbox."""
        return client_environment(self.folder, self.running)

    def client(self, service: str) -> Any:
        """Return a boto3 client of the account's root; the same one each time."""
        if service not in self._clients:
            self._clients[service] = aws_client(service, self.environment())
        return self._clients[service]

    def stop(self) -> None:
        """Stop it, with all its processes; stopping it again does nothing."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._leash is not None:
            _end(self._leash)
            self._leash = None
        elif self.folder.running() == self.running:
            _stop_detached(self.folder, self.running)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _let_go(self) -> None:
        """Forget the leash of a detached sandbox; its parent is no longer us, but nobody."""
        if self._leash is not None and self._leash.stdout is not None:
            self._leash.stdout.close()
            # It runs on: a Popen that is forgotten while its process lives would warn.
            self._leash.returncode = 0
        self._leash = None


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace")


def _server_command(folder: Folder, port: int, account: str, region: str) -> list[str | Path]:
    options = ["--port", str(port), "--account", account, "--region", region]
    return [sys.executable, "-m", "spendfuse.sandbox.server", "--folder", folder.path, *options]


def _launch(
    folder: Folder, command: list[str | Path], *, detached: bool
) -> subprocess.Popen[bytes]:
    try:
        with folder.log.open("ab") as log:
            return subprocess.Popen(
                leashed(command, lifeline=not detached),
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder.path,
                env=bare_environment(folder, os.environ),
                # Ctrl-C is for us alone: we stop the sandbox in our own time.
                start_new_session=True,
            )
    except OSError as error:
        raise disk_error(folder.path, error) from error


def _await_ready(folder: Folder, leash: subprocess.Popen[bytes]) -> Running:
    """Read the server's first line: how to reach it, or why it can't start."""
    assert leash.stdout is not None  # noqa: S101 - it is a pipe
    readable, _, _ = select.select([leash.stdout], [], [], START_SECONDS)
    line = leash.stdout.readline() if readable else b""
    if not line:
        raise UnavailableError(f"the sandbox did not start; its log ends with:\n{log_tail(folder)}")
    said = json.loads(line)
    if "error" in said:
        kind: type[SpendfuseError] = UnavailableError if said["retry"] else SettingsError
        raise kind(said["error"])
    return Running(**said)


def log_tail(folder: Folder) -> str:
    """Return the last lines of the server's log."""
    try:
        lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return str(error)
    return "\n".join(lines[-_TAIL_LINES:])


def _end(leash: subprocess.Popen[bytes]) -> None:
    """Cut the lifeline and wait until all is gone."""
    if leash.stdin is not None:
        with contextlib.suppress(OSError):
            leash.stdin.close()
    else:
        leash.terminate()
    try:
        leash.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        leash.kill()
        leash.wait()
    if leash.stdout is not None:
        leash.stdout.close()


def _stop_detached(folder: Folder, running: Running) -> None:
    """End the process that holds the folder: as long as it holds it, its number is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while folder.is_locked():
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.process, signal.SIGKILL)
            return
        time.sleep(0.05)
