"""The sandbox's folder: one lock, one state file, and all that its processes write.

Whoever holds the lock is the sandbox of this folder; the state file says how to reach it.
The kernel drops the lock with its process, so a state file without it is stale.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that runs, as others find it."""

    process: int
    token: str
    """What its health endpoint answers; nobody else's would."""
    port: int
    account: str
    region: str
    inbox_url: str
    smtp_port: int

    @property
    def endpoint_url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where things are in a sandbox's folder."""

    path: Path

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def cdk_log(self) -> Path:
        return self.path / "cdk.log"

    @property
    def authority(self) -> Path:
        return self.certificates / "ca.pem"

    @property
    def certificates(self) -> Path:
        return self.path / "tls"

    @property
    def temporary(self) -> Path:
        """TMPDIR of every process of the sandbox: nothing is left in the system's."""
        return self.path / "tmp"

    @property
    def home(self) -> Path:
        """HOME of every process of the sandbox: nobody's AWS profile is ever read."""
        return self.path / "home"

    def make(self) -> None:
        """Make the folder and those in it.

        Raises:
            SettingsError: it can't be written.
            UnavailableError: the disk is full.
        """
        try:
            for each in (self.path, self.certificates, self.temporary, self.home):
                each.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(self.path, error) from error

    def write_state(self, running: Running) -> None:
        """Publish how to reach the sandbox, whole or not at all."""
        draft = self.state.with_suffix(".new")
        draft.write_text(json.dumps(asdict(running)), encoding="utf-8")
        draft.replace(self.state)

    def read_state(self) -> Running | None:
        """Return what the state file says, be it stale; None where there is none."""
        try:
            return Running(**json.loads(self.state.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def running(self) -> Running | None:
        """Return the sandbox that runs in this folder, or None; a stale state is no sandbox."""
        return self.read_state() if self.is_locked() else None

    def is_locked(self) -> bool:
        """Return whether a process holds the folder right now."""
        if not self._lock_file.exists():
            return False
        try:
            with self.locked():
                return False
        except SettingsError:
            return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder.

        Raises:
            SettingsError: another process holds it.
        """
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise self._taken() from error
        finally:
            os.close(descriptor)

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def _taken(self) -> SettingsError:
        state = self.read_state()
        process = f" (process {state.process})" if state else ""
        return SettingsError(
            f"another sandbox runs in {self.path}{process}; stop it with `spendfuse sandbox down` "
            "if it was started with `sandbox up`, or else wait until it has ended"
        )


def disk_error(path: Path, error: OSError) -> SpendfuseError:
    """Return the one sentence for a folder that can't be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(f"no space left on the device that holds {path}; make room there")
    return SettingsError(f"the sandbox can't write to {path}: {error.strerror or error}")
