"""Whole lines to a stream that others write to as well, and one record as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from math import isfinite
from threading import RLock
from typing import Any, TextIO

from spendfuse.errors import SettingsError
from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.record import Record

_NOT_IN_LINES = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"}
"""Some readers take these for ends of lines; within JSON they can be escaped."""
_MOST_BITS = 1024


def json_line(record: Record) -> bytes:
    """Return ``record.to_line()`` as one line of UTF-8 JSON, its end included."""
    text = json_text(record.to_line())
    if not text.isascii():
        for character, escaped in _NOT_IN_LINES.items():
            text = text.replace(character, escaped)
    return text.encode("utf-8", "replace") + b"\n"


def json_text(value: dict[str, Any]) -> str:
    """Return an object as JSON; what JSON doesn't have becomes null or text.

    ``extended()`` lets nothing of the kind pass, but no field is worth a lost record.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError):
        return _encode(_plain(value))


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, int):
        # Python refuses to print the largest.
        return value if value.bit_length() <= _MOST_BITS else None
    return value if value is None or isinstance(value, str) else str(value)


def standard_output() -> TextIO:
    """Return standard output.

    Raises:
        SettingsError: this process has none.
    """
    if sys.stdout is None:
        raise SettingsError("this process has no standard output; hand a stream in by Wiring")
    return sys.stdout


class LineStream:
    """Writes each line whole and at once: to the file descriptor, where the stream has one.

    One write a line, so that lines of several threads and processes don't mix, and nothing is
    left in a buffer when a Lambda freezes. What a full disk or pipe left of a begun line goes
    out before the next one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        self._writing = RLock()
        self._rest = b""

    def write(self, line: bytes) -> None:
        """Write one line.

        Raises:
            OSError: nothing of it was written.
            ValueError: the stream is closed.
        """
        if self._descriptor is None:
            self._stream.write(line.decode())
            self._stream.flush()
            return
        if self._stream.closed:
            # Its descriptor may be another file's by now.
            raise ValueError("the stream is closed")
        with self._writing:
            if self._rest:
                self._write_rest()
            written = os.write(self._descriptor, line)
            if written < len(line):
                self._rest = line[written:]
                with suppress(OSError):
                    self._write_rest()

    def _write_rest(self) -> None:
        while self._rest and self._descriptor is not None:
            written = os.write(self._descriptor, self._rest)
            self._rest = self._rest[written:]


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
