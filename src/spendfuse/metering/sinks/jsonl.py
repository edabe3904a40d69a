"""Records as lines of JSON in a folder, written from a thread of their own.

A line is ``Record.to_line()``. Files change with the day (UTC, of writing) and when they are full;
nothing is ever deleted. Needs a POSIX system.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import Background, Pace, gently, shown
from spendfuse.metering.sinks.labels import OTHER
from spendfuse.metering.sinks.line_file import LineFile, mend_folder
from spendfuse.metering.sinks.lines import json_line
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.wiring import Wiring
from spendfuse.metering.sinks.worker import STOP

ALL = "usage"
UNTYPED = "untyped"
_MEGABYTE = 10**6
_NAME_CHARACTERS = 60
_DIGEST_CHARACTERS = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_DAY_AND_NUMBER = re.compile(r"(?:-\d{4}-\d\d-\d\d)?(?:\.\d+)?\.jsonl$")

Pieces = dict[str, bytes]
"""The lines of each file, by its name."""


def open_sink(
    wiring: Wiring,
    *,
    folder: str,
    max_mb: int = 100,
    daily: bool = True,
    per_query_type: bool = False,
    max_query_types: int = 50,
    fsync: bool = False,
    pace: Pace | None = None,
) -> Sink:
    return JsonlSink(
        Path(folder).expanduser(),
        max_bytes=max_mb * _MEGABYTE,
        daily=daily,
        max_query_types=max_query_types if per_query_type else 0,
        fsync=fsync,
        pace=pace,
        now=wiring.now,
    )


class JsonlSink(Background[Pieces]):
    """Appends records to files in ``folder``.

    Args:
        folder: made when it isn't there.
        max_bytes: of one file.
        daily: whether each day has files of its own.
        max_query_types: how many query types have files of their own; further ones share
            ``other``. With 0 all are in ``usage``.
        fsync: whether a batch counts as delivered only when the disk has it.
        pace: how many records may wait, and for how long.
        now: the clock that tells the day.

    Raises:
        SettingsError: the folder can't be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        daily: bool,
        max_query_types: int,
        fsync: bool,
        pace: Pace | None,
        now: Callable[[], datetime],
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"sink jsonl: the folder {str(folder)!r} can't be made: {error.strerror}; "
                "name one that this process may write to"
            ) from error
        self._folder = folder
        self._max_bytes = max_bytes
        self._daily = daily
        self._fsync = fsync
        self._now = now
        self._names = QueryTypeNames(max_query_types) if max_query_types else None
        self._files: dict[str, LineFile] = {}
        self._is_mended = False
        super().__init__("jsonl", self._encode, self._write, pace=pace)

    def turn(self) -> float:
        pause = super().turn()
        if pause == STOP:
            # Here, and not in close(), which may give up waiting while the thread still writes:
            # the number of a file closed under it can be another file's by then.
            for file in self._files.values():
                file.close()
        return pause

    def _encode(self, records: list[Record]) -> Pieces:
        lines: dict[str, list[bytes]] = {}
        for record in gently(records):
            try:
                line = json_line(record)
            except Exception as error:  # noqa: BLE001 (one record never costs the others their place)
                self.refuse(1, f"record {record.id} can't be encoded: {shown(error)}")
            else:
                lines.setdefault(self._name(record), []).append(line)
        return {name: b"".join(each) for name, each in lines.items()}

    def _name(self, record: Record) -> str:
        if self._names is None:
            return ALL
        if not self._names.known:
            self._names.learn_from(self._folder)
        return self._names.of(record.attributes.get("query_type"))

    def _write(self, pieces: Pieces) -> None:
        if not self._is_mended:
            mend_folder(self._folder)
            self._is_mended = True
        day = f"-{self._now().astimezone(UTC):%Y-%m-%d}" if self._daily else ""
        failed: UnavailableError | None = None
        for name in list(pieces):
            try:
                self._file(name).append(f"{name}{day}", pieces[name])
            except UnavailableError as error:
                failed = error
            else:
                # What is written must not be written again when another file fails.
                del pieces[name]
        if failed is not None:
            raise failed

    def _file(self, name: str) -> LineFile:
        if name not in self._files:
            self._files[name] = LineFile(self._folder, max_bytes=self._max_bytes, fsync=self._fsync)
        return self._files[name]


class QueryTypeNames:
    """File names for query types, which come from requests: safe, and bounded in number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.known: set[str] = set()

    def learn_from(self, folder: Path) -> None:
        """Count the types that have files already, so that restarts don't add up."""
        found = {_DAY_AND_NUMBER.sub("", path.name) for path in folder.glob("*.jsonl")}
        self.known = {UNTYPED, *sorted(found - {OTHER, UNTYPED, ALL})[: self._most]}

    def of(self, query_type: str | None) -> str:
        name = safe_name(query_type) if query_type else UNTYPED
        if name in self.known:
            return name
        if len(self.known) > self._most:
            return OTHER
        self.known.add(name)
        return name


def safe_name(text: str) -> str:
    """Return a file name for ``text``: itself where it is one, else what can stand and a hash.

    The hash keeps ``a/b`` and ``a:b`` apart.
    """
    safe = _UNSAFE.sub("_", text)[:_NAME_CHARACTERS]
    if safe == text and not text.startswith("-"):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{safe.lstrip('-')}~{digest}"
