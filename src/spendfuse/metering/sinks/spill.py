"""Packs on disk that the queue did not take: one file a pack, whole or not there at all.

Many processes may share a folder, and a dead one's packs are sent by the others. Who sends a
pack holds a lock on its file, which ends with the process; where locks don't work, a pack may be
sent twice, which the recorder counts once.

The folder is bounded. When it is full the newest find no room: what is in it was promised to
somebody who flushed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spendfuse.errors import UnavailableError
from spendfuse.metering.sinks.packing import Pack, UnreadablePackError, read_back

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

MAX_SPILL_BYTES = 256 * 2**20
MAX_SPILL_FILES = 10_000
_LISTING_SECONDS = 5.0
"""How long a count of the folder is believed; other processes write there too."""
_DEAD_AFTER_SECONDS = 3600.0
"""Nobody takes as long to write one file."""
_NAME = re.compile(r"(?P<written>\d{20})-(?P<id>[0-9A-Za-z-]{1,64})\.(?P<count>\d{1,6})\.json")
_TEMPORARY: Final = ".part"


class SpillFullError(UnavailableError):
    """There is no room for another pack; nothing was written."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the folder, whoever put it there."""

    packs: int = 0
    records: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A pack of the folder that is ours to send for now."""

    path: Path
    pack: Pack
    file: int


class SpillFolder:
    """Keeps packs in a folder; used by several threads."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = MAX_SPILL_BYTES,
        max_files: int = MAX_SPILL_FILES,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._clock = clock
        self._wall_clock = wall_clock
        self.begin_anew()

    def begin_anew(self) -> None:
        """Hold nothing: at the beginning, and in a forked child.

        The child closes its copies of its parent's locked files, or they would stay locked
        until it ends too. It must not unlock them: the parent is sending.
        """
        for file in getattr(self, "_files", ()):
            with contextlib.suppress(OSError):
                os.close(file)
        self._files: set[int] = set()
        self._left: set[str] = set()
        self._sent: set[str] = set()
        self.trouble: OSError | None = None
        self._contents = Contents()
        self._counted_at: float | None = None

    def put(self, pack: Pack, body: str) -> Path:
        """Write a pack down; when this returns it survives the process and the machine.

        Raises:
            SpillFullError: there is no room.
            OSError: the folder can't be written, or not be looked through.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = self.contents()
        if (trouble := self.trouble) is not None:
            # Nobody would find the pack again, nor keep the folder within its bounds.
            raise OSError(trouble.errno, trouble.strerror)
        if now.packs >= self._max_files or now.size_bytes + len(body) > self._max_bytes:
            raise SpillFullError(
                f"{now.packs} packs with {now.size_bytes} bytes wait on disk; "
                f"at most {self._max_files} with {self._max_bytes} may"
            )
        path = self.folder / f"{self._wall_clock():020d}-{pack.id}.{pack.count}.json"
        _write(path, body)
        self._count(1, pack.count, len(body))
        return path

    def claims(self, skip: Callable[[str], bool] = lambda _: False) -> Iterator[Claim]:
        """Yield packs that nobody else is sending, the oldest first, each with its lock.

        Release each, or it stays locked. Files that can't be read are left for people.
        """
        for name, _ in sorted(self._listing()):
            if not skip(name) and (claim := self._claim(name)) is not None:
                yield claim

    def release(self, claim: Claim, *, sent: bool) -> None:
        """Let a claim go; once it was sent, its file is removed."""
        if sent:
            self.remove(claim.path, claim.pack)
        self._close(claim.file)

    def remove(self, path: Path, pack: Pack) -> None:
        """Remove the file of a pack that was sent. Raises nothing."""
        try:
            path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            # Else this process would send it again and again.
            self._sent.add(path.name)
            self._leave(path.name, "removed", error)
        self._count(-1, -pack.count, -pack.size)

    def contents(self) -> Contents:
        """Return what is in the folder, as of the last seconds.

        Nothing, where it can't be looked through; ``trouble`` says why.
        """
        now = self._clock()
        if self._counted_at is None or now - self._counted_at > _LISTING_SECONDS:
            files = self._listing()
            records = sum(_count_in(name) for name, _ in files)
            self._contents = Contents(len(files), records, sum(size for _, size in files))
            self._counted_at = now
        return self._contents

    def _count(self, packs: int, records: int, size: int) -> None:
        before = self._contents
        self._contents = Contents(
            before.packs + packs, before.records + records, before.size_bytes + size
        )

    def _listing(self) -> list[tuple[str, int]]:
        try:
            found = list(self._found())
        except FileNotFoundError:  # not needed yet
            found, self.trouble = [], None
        except OSError as error:
            # A new one: the error at hand would keep all of us alive by its traceback.
            found, self.trouble = [], OSError(error.errno, error.strerror)
        else:
            self.trouble = None
        return found

    def _found(self) -> Iterator[tuple[str, int]]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # sent meanwhile
                    if _NAME.fullmatch(entry.name):
                        if entry.name not in self._sent:
                            yield entry.name, entry.stat().st_size
                    elif entry.name.endswith(_TEMPORARY):
                        self._bury(entry)

    def _bury(self, entry: os.DirEntry[str]) -> None:
        """Remove the half file of a process that died while it wrote."""
        if self._wall_clock() / 1e9 - entry.stat().st_mtime > _DEAD_AFTER_SECONDS:
            try:
                Path(entry.path).unlink(missing_ok=True)
            except OSError as error:
                self._leave(entry.name, "removed", error)

    def _claim(self, name: str) -> Claim | None:
        path = self.folder / name
        try:
            file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return None
        self._files.add(file)
        try:
            if _is_locked_now(file) and os.fstat(file).st_nlink:
                return Claim(path, read_back(_read(file), _count_in(name)), file)
        except (OSError, UnreadablePackError, UnicodeDecodeError) as error:
            self._leave(name, "read", error)
        self._close(file)
        return None

    def _leave(self, name: str, what: str, error: Exception) -> None:
        if name not in self._left:
            self._left.add(name)
            logger.error("pack %s can't be %s and is left: %s", name, what, type(error).__name__)

    def _close(self, file: int) -> None:
        self._files.discard(file)
        with contextlib.suppress(OSError):
            if fcntl is not None:
                # Closing is not enough when a forked child holds the file too.
                fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)


def _count_in(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found["count"]) if found else 0


def _write(path: Path, body: str) -> None:
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        with temporary.open("x", encoding="ascii") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive the machine, where a folder can be synced at all."""
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _is_locked_now(file: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _read(file: int) -> str:
    parts = []
    while part := os.read(file, 2**20):
        parts.append(part)
    return b"".join(parts).decode("ascii")
