"""What a process does before it ends, in processes of their own: ``process_ends.py CASE FILE``.

Each case emits records and ends in its way; what was delivered stands in FILE, an id a line.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from spendfuse.metering.record import Record
from spendfuse.metering.sinks import worker
from spendfuse.metering.sinks.background import Background, Pace

HOUR = Pace(linger_seconds=3600, batch=1_000_000)


def a_record(id: str) -> Record:
    return Record(id, datetime(2026, 11, 21, 12, tzinfo=UTC), "openai", "gpt-4o")


def a_sink(file: Path, pace: Pace = HOUR) -> Background[list[str]]:
    def deliver(ids: list[str]) -> None:
        with file.open("a", encoding="utf-8") as out:
            out.write("".join(f"{each}\n" for each in ids))

    return Background("file", lambda records: [each.id for each in records], deliver, pace=pace)


def end_without_a_word(file: Path) -> None:
    sink = a_sink(file)
    sink.emit(a_record("a"))


def end_with_an_error(file: Path) -> None:
    sink = a_sink(file)
    sink.emit(a_record("a"))
    sys.exit(3)


def emit_in_an_exit_handler(file: Path) -> None:
    sink = a_sink(file)
    # Exit handlers run backwards: this one before the sinks' own.
    atexit.register(lambda: sink.emit(a_record("a")))


def end_while_a_delivery_hangs(file: Path) -> None:
    worker.EXIT_SECONDS = 0.3
    sink: Background[list[Record]] = Background("stuck", list, lambda _: time.sleep(3600))
    sink.emit(a_record("a"))
    other = a_sink(file)
    other.emit(a_record("b"))


def end_of_a_multiprocessing_child(file: Path) -> None:
    sink = a_sink(file)
    sink.emit(a_record("parent"))
    child = multiprocessing.get_context("fork").Process(target=lambda: sink.emit(a_record("child")))
    child.start()
    child.join()


def fork_and_emit(file: Path) -> None:
    sink = a_sink(file)
    sink.emit(a_record("parent"))
    child = os.fork()
    if child == 0:
        sink.emit(a_record("child"))
        done = sink.flush(5)
        health = sink.health()
        os._exit(0 if done and health.accepted == health.delivered == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


def fork_while_another_thread_holds_the_locks(file: Path) -> None:
    sink = a_sink(file)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with sink._changed, sink._worker._starting:
            held.set()
            over.wait()

    threading.Thread(target=hold).start()
    held.wait()
    child = os.fork()
    if child == 0:
        sink.emit(a_record("child"))
        os._exit(0 if sink.flush(5) and sink.health().delivered == 1 else 1)
    status = os.waitpid(child, 0)[1]
    over.set()
    assert status == 0


def fork_while_threads_emit(file: Path) -> None:
    sink = a_sink(file, Pace(linger_seconds=0.001, batch=50))
    over = threading.Event()

    def emit(name: str) -> None:
        number = 0
        while not over.is_set():
            sink.emit(a_record(f"{name}-{number}"))
            number += 1
            time.sleep(0.0005)

    threads = [threading.Thread(target=emit, args=(f"t{each}",)) for each in range(4)]
    for each in threads:
        each.start()
    for each in range(20):
        child = os.fork()
        if child == 0:
            sink.emit(a_record(f"child-{each}"))
            os._exit(0 if sink.flush(5) else 1)
        assert os.waitpid(child, 0)[1] == 0
    over.set()
    for each in threads:
        each.join()


CASES: dict[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (
        end_without_a_word,
        end_with_an_error,
        emit_in_an_exit_handler,
        end_while_a_delivery_hangs,
        end_of_a_multiprocessing_child,
        fork_and_emit,
        fork_while_another_thread_holds_the_locks,
        fork_while_threads_emit,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]](Path(sys.argv[2]))
