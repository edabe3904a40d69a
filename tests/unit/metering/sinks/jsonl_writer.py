"""Processes of their own that write to a folder: ``jsonl_writer.py CASE FOLDER ARGUMENT``."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from unit.metering.sinks.rigs import a_record

from spendfuse.clock import utc_now
from spendfuse.metering.sinks.background import Pace
from spendfuse.metering.sinks.jsonl import JsonlSink
from spendfuse.metering.sinks.line_file import LineFile


def a_sink(folder: str, *, max_bytes: int = 10**9, pace: Pace | None = None) -> JsonlSink:
    return JsonlSink(
        Path(folder),
        max_bytes=max_bytes,
        daily=False,
        max_query_types=0,
        fsync=False,
        pace=pace,
        now=utc_now,
    )


def write_many(folder: str, name: str) -> None:
    """Write 2,000 records in small batches and files."""
    sink = a_sink(folder, max_bytes=100_000, pace=Pace(batch=7, linger_seconds=0))
    for number in range(2000):
        sink.emit(a_record(f"{name}-{number}"))
        if number % 100 == 0:
            sink.flush(10)
    sink.close(30)


def write_until_killed(folder: str, name: str) -> None:
    """Write for ever; tell on standard output up to which record all is flushed."""
    sink = a_sink(folder, pace=Pace(batch=50, linger_seconds=0))
    number = 0
    while True:
        for _ in range(20):
            sink.emit(a_record(f"{name}-{number}", fields={"padding": "x" * 5000}))
            number += 1
        if sink.flush(10):
            print(number, flush=True)  # noqa: T201


def fill_the_disk(folder: str, limit: str) -> None:
    """Write past the largest file that this process may write; then have room again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), hard))
    sink = a_sink(folder)
    sink.emit(a_record("before"))
    first = sink.flush(5)
    for number in range(100):
        sink.emit(a_record(f"r-{number}"))
    full = sink.flush(0.3)
    health = sink.health()
    size = (Path(folder) / "usage.jsonl").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(  # noqa: T201
        first, full, health.waiting, health.last_error, size.count(b"\n"), size.endswith(b"\n")
    )
    print(sink.flush(5), sink.health().delivered)  # noqa: T201


def fork_while_writing(folder: str, _: str) -> None:
    sink = a_sink(folder, pace=Pace(batch=5, linger_seconds=0))
    for number in range(300):
        sink.emit(a_record(f"parent-{number}"))
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            for number in range(300):
                sink.emit(a_record(f"child{child}-{number}"))
            os._exit(0 if sink.flush(20) else 1)
        children.append(pid)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sink.close(20)
    print(ends)  # noqa: T201


def fork_with_an_open_file(folder: str, _: str) -> None:
    """Tell who has the file open: a shared descriptor would share its lock."""
    file = LineFile(Path(folder), max_bytes=10**6, fsync=False)
    file.append("usage", b"{}\n")
    child = os.fork()
    if child == 0:
        os._exit(int(file._descriptor is not None))
    is_open_in_child = bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(f"parent {file._descriptor is not None}, child {is_open_in_child}")  # noqa: T201


CASES: dict[str, Callable[[str, str], None]] = {
    case.__name__: case
    for case in (
        write_many,
        write_until_killed,
        fill_the_disk,
        fork_while_writing,
        fork_with_an_open_file,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]](sys.argv[2], sys.argv[3])
