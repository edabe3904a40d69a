"""Appends whole lines to a series of files that several processes may share.

Every append happens under the file's lock (``flock``), in one write at its end. So a line that a
full disk or a crash tore can be told from one that is being written: whoever appends next moves
it to ``NAME.torn`` first, and every line of NAME can be read. The lock ends with its process.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spendfuse.errors import UnavailableError
from spendfuse.metering.forks import renew_after_fork

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
TORN_SUFFIX = ".torn"
_NUMBER = re.compile(r"(?:\.(\d{1,6}))?\.jsonl$")
_MODE = 0o640
"""Records name users."""
_LOCK_SECONDS = 1.0
_LOCK_PAUSE_SECONDS = 0.005
_CHUNK = 65_536


class LineFile:
    """The files of one name: ``usage-2026-11-21.jsonl``, then ``….2.jsonl``, ``….3.jsonl``."""

    def __init__(self, folder: Path, *, max_bytes: int, fsync: bool) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._fsync = fsync
        self._name = ""
        self._path = folder
        self._descriptor: int | None = None
        # A child that shared the descriptor would share, and hold, its parent's lock. And the
        # thread that it doesn't have may have been half through with the rest.
        renew_after_fork(self._forget)

    def append(self, name: str, lines: bytes) -> None:
        """Append to the newest file of ``name``, all or nothing.

        Raises:
            UnavailableError: nothing was written; the same call may work later.
        """
        try:
            self._append(name, lines)
        except OSError as error:
            self._forget()
            raise UnavailableError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def _forget(self) -> None:
        self._name = ""
        self.close()

    def _append(self, name: str, lines: bytes) -> None:
        if name != self._name:
            self.close()
            self._name = name
            self._path = self._folder / _file_name(name, _newest(self._folder, name))
        while not self._append_here(lines):
            self.close()
            self._path = self._folder / _file_name(name, _number(self._path.name) + 1)

    def _append_here(self, lines: bytes) -> bool:
        """Return False when this file is full."""
        descriptor = self._opened()
        with locked(descriptor, self._path):
            size = mend(descriptor, self._path)
            if size and size + len(lines) > self._max_bytes:
                return False
            _write(descriptor, lines, size)
        if self._fsync:
            os.fsync(descriptor)
        return True

    def _opened(self) -> int:
        # Somebody may have moved or removed the file, or its whole folder.
        if self._descriptor is not None and not _is_at(self._descriptor, self._path):
            self.close()
        if self._descriptor is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, _FLAGS, _MODE)
            if self._fsync:
                _sync_folder(self._folder)
        return self._descriptor


_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def mend_folder(folder: Path) -> None:
    """Move torn last lines aside in all files of ``folder``.

    Those of past days are not opened again for appending, which would do it. A file that is
    another's, or being written to just now, is left as it is.
    """
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            try:
                with locked(descriptor, path):
                    mend(descriptor, path)
            finally:
                os.close(descriptor)
        except (OSError, UnavailableError) as error:
            logger.info("%s was not looked through for a torn line: %s", path.name, error)


@contextmanager
def locked(descriptor: int, path: Path) -> Iterator[None]:
    """Hold the file's lock; wait a second for it at most, because its holder may be stopped."""
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise UnavailableError(f"{path}: another process holds its lock") from None
            time.sleep(_LOCK_PAUSE_SECONDS)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def mend(descriptor: int, path: Path) -> int:
    """Return the size of a locked file, after a last line without end was dealt with.

    A whole record gets its end; half a one goes to ``NAME.torn``.
    """
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    begins_at = _last_line_begins_at(descriptor, size)
    torn = os.pread(descriptor, size - begins_at, begins_at)
    if _is_whole(torn):
        _write(descriptor, b"\n", size)
        return size + 1
    with path.with_name(path.name + TORN_SUFFIX).open("ab") as apart:
        apart.write(torn + b"\n")
    os.ftruncate(descriptor, begins_at)
    return begins_at


def _write(descriptor: int, lines: bytes, size: int) -> None:
    written = os.write(descriptor, lines)
    if written < len(lines):
        # Nobody else writes while we hold the lock, so what is there since is ours alone.
        os.ftruncate(descriptor, size)
        raise OSError(0, f"only {written} of {len(lines)} bytes could be written")


def _last_line_begins_at(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        begin = max(0, end - _CHUNK)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _newest(folder: Path, name: str) -> int:
    """Return the highest number among the files of ``name``: 1 when there are none."""
    numbers = [
        _number(path.name)
        for path in folder.glob(f"{name}*{SUFFIX}")
        if _NUMBER.sub("", path.name) == name
    ]
    return max(numbers, default=1)


def _number(file_name: str) -> int:
    found = _NUMBER.search(file_name)
    return int(found[1]) if found and found[1] else 1


def _file_name(name: str, number: int) -> str:
    return f"{name}{SUFFIX}" if number == 1 else f"{name}.{number}{SUFFIX}"
