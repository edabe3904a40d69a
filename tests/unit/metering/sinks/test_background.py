from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spendfuse.errors import InputError, SettingsError, UnavailableError
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import Background, Pace, gently, pause_after
from spendfuse.metering.sinks.sink import SinkHealth

QUICK = Pace(linger_seconds=0.005, first_retry_seconds=0.005, longest_retry_seconds=0.02)
HOUR = Pace(linger_seconds=3600, first_retry_seconds=3600, longest_retry_seconds=3600)


def a_record(id: str = "r") -> Record:
    return Record(id, datetime(2026, 11, 21, 12, tzinfo=UTC), "openai", "gpt-4o")


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Place:
    """Takes batches, or fails as often as it is told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.attempts: list[list[str]] = []
        self.batches: list[list[str]] = []

    @property
    def ids(self) -> list[str]:
        return [each for batch in self.batches for each in batch]

    def prepare(self, records: list[Record]) -> list[str]:
        return [each.id for each in records]

    def deliver(self, ids: list[str]) -> None:
        self.attempts.append(ids)
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(ids)

    def sink(self, pace: Pace = QUICK) -> Background[list[str]]:
        return Background("place", self.prepare, self.deliver, pace=pace)


def test_every_record_arrives_once_and_in_order() -> None:
    place = Place()
    sink = place.sink()

    for number in range(2345):
        sink.emit(a_record(str(number)))

    assert sink.flush(10)
    assert place.ids == [str(number) for number in range(2345)]
    assert sink.health() == SinkHealth(accepted=2345, delivered=2345)


def test_no_batch_is_larger_than_it_may_be() -> None:
    place = Place()
    sink = place.sink(Pace(batch=10, linger_seconds=0.001))

    for number in range(95):
        sink.emit(a_record(str(number)))

    assert sink.flush(10)
    assert max(map(len, place.batches)) <= 10


def test_a_lonely_record_is_delivered_without_being_asked_for() -> None:
    place = Place()
    sink = place.sink()

    for number in range(3):
        sink.emit(a_record(str(number)))
        until(lambda: len(place.ids) == number + 1)  # noqa: B023

    assert sink.health().waiting == 0


def test_a_full_batch_does_not_linger() -> None:
    place = Place()
    sink = place.sink(Pace(batch=10, linger_seconds=3600))

    for number in range(10):
        sink.emit(a_record(str(number)))

    until(lambda: len(place.ids) == 10)


def test_records_of_many_threads_all_arrive() -> None:
    place = Place()
    sink = place.sink()

    def emit(name: str) -> None:
        for number in range(2000):
            sink.emit(a_record(f"{name}-{number}"))

    threads = [threading.Thread(target=emit, args=(str(each),)) for each in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sink.flush(10)
    assert len(place.ids) == len(set(place.ids)) == 16_000


def test_a_failed_batch_is_kept_as_it_was_prepared_and_tried_again() -> None:
    place = Place(UnavailableError("not now"), OSError("no"), UnavailableError("not now"))
    sink = place.sink()

    sink.emit(a_record("a"))

    until(lambda: place.ids)
    assert place.batches == [["a"]]
    assert len({id(attempt) for attempt in place.attempts}) == 1
    assert sink.health() == SinkHealth(
        accepted=1, delivered=1, failures=3, last_error="UnavailableError: not now"
    )


def test_what_arrived_of_a_batch_is_not_delivered_again() -> None:
    arrived: list[str] = []

    def deliver(ids: list[str]) -> None:
        arrived.append(ids.pop(0))
        if ids:
            raise UnavailableError("half of it")

    sink = Background("half", Place().prepare, deliver, pace=QUICK)
    for each in "abc":
        sink.emit(a_record(each))

    assert sink.flush(10)
    assert arrived == ["a", "b", "c"]


def test_what_will_never_be_taken_is_dropped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(InputError("the table has no such column"))
    sink = place.sink()

    sink.emit(a_record("a"))
    first = sink.flush(10)
    sink.emit(a_record("b"))

    assert (first, sink.flush(10)) == (True, True)
    assert place.ids == ["b"]
    assert sink.health() == SinkHealth(
        accepted=2,
        delivered=1,
        dropped=1,
        failures=1,
        last_error="InputError: the table has no such column",
    )
    assert "1 records are dropped" in caplog.text


def test_a_batch_that_cannot_be_prepared_does_not_hold_up_the_next() -> None:
    place = Place()

    def prepare(records: list[Record]) -> list[str]:
        if records[0].id == "bad":
            raise ValueError("a bug")
        return place.prepare(records)

    sink = Background("bad", prepare, place.deliver, pace=QUICK)
    sink.emit(a_record("bad"))
    sink.flush(10)
    sink.emit(a_record("good"))

    assert sink.flush(10)
    assert place.ids == ["good"]
    assert sink.health().dropped == 1


def test_records_that_prepare_refuses_are_counted_and_the_rest_arrives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()

    def prepare(records: list[Record]) -> list[str]:
        for each in records:
            if each.id == "bad":
                sink.refuse(1, "a record has no model")
        return [each.id for each in records if each.id != "bad"]

    sink = Background("some", prepare, place.deliver, pace=QUICK)
    for each in ("good", "bad", "bad"):
        sink.emit(a_record(each))

    assert sink.flush(10)
    assert place.ids == ["good"]
    assert (sink.health().delivered, sink.health().dropped) == (1, 2)
    assert caplog.text.count("a record has no model") == 1


def test_a_failure_is_logged_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place = Place(*[UnavailableError("not now")] * 5)
    sink = place.sink()

    sink.emit(a_record())

    until(lambda: place.ids)
    until(lambda: "delivers again" in caplog.text)
    assert caplog.text.count("not now") == 1


def test_the_text_of_a_foreign_error_is_kept_out_of_logs_and_health(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(RuntimeError("password=hunter2"))
    sink = place.sink()

    sink.emit(a_record())

    until(lambda: place.ids)
    assert sink.health().last_error == "RuntimeError"
    assert "hunter2" not in caplog.text


def test_without_room_the_newest_are_dropped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    sink = place.sink(Pace(max_waiting=3, linger_seconds=3600))

    for each in "abcde":
        sink.emit(a_record(each))

    assert sink.health() == SinkHealth(accepted=5, waiting=3, dropped=2)
    assert sink.flush(10)
    assert place.ids == ["a", "b", "c"]
    assert caplog.text.count("3 records wait already") == 1


def test_a_flush_does_not_linger_nor_wait_for_the_next_try() -> None:
    place = Place(UnavailableError("not now"))
    sink = place.sink(HOUR)

    sink.emit(a_record("a"))
    in_time = sink.flush(0.05)
    again = sink.flush(10)

    assert (in_time, again) == (False, True)
    assert place.ids == ["a"]


def test_a_flush_of_nothing_needs_no_thread() -> None:
    sink = Place().sink()

    assert sink.flush(0)
    assert not sink._worker.is_running()


def test_a_flush_that_is_too_late_keeps_the_records() -> None:
    gate = threading.Event()
    sink: Background[list[Record]] = Background("slow", list, lambda _: gate.wait(), pace=QUICK)

    sink.emit(a_record())
    late = sink.flush(0.02)
    waiting = sink.health().waiting
    gate.set()

    assert (late, waiting) == (False, 1)
    assert sink.flush(10)


def test_closing_delivers_what_waits_and_ends_the_thread() -> None:
    place = Place()
    sink = place.sink(HOUR)
    sink.emit(a_record("a"))

    sink.close(10)
    sink.close(10)

    assert place.ids == ["a"]
    assert not sink._worker.is_running()


def test_what_could_not_be_delivered_before_closing_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place(*[UnavailableError("not now")] * 1000)
    sink = place.sink(HOUR)
    sink.emit(a_record("a"))
    sink.flush(0.05)
    sink.emit(a_record("b"))

    sink.close(0.05)

    assert sink.health().dropped == 2
    assert sink.health().waiting == 0
    assert "2 records could not be delivered in time" in caplog.text


def test_a_closed_sink_drops_and_counts() -> None:
    place = Place()
    sink = place.sink()
    sink.close(1)

    sink.emit(a_record())

    assert sink.flush(1)
    assert sink.health() == SinkHealth(accepted=1, dropped=1)
    assert place.ids == []


def test_a_sink_that_is_closing_takes_nothing_more() -> None:
    def deliver(ids: list[str]) -> None:
        place.deliver(ids)
        sink.emit(a_record("late"))

    place = Place()
    sink = Background("closing", place.prepare, deliver, pace=HOUR)
    sink.emit(a_record("a"))

    sink.close(10)

    assert place.ids == ["a"]
    assert sink.health() == SinkHealth(accepted=2, delivered=1, dropped=1)


def test_a_discarded_sink_delivers_what_it_has_and_is_gone() -> None:
    place = Place()
    sink = place.sink()
    sink.emit(a_record("a"))
    alive, thread = weakref.ref(sink), sink._worker._thread
    assert thread is not None

    del sink
    until(lambda: place.ids)
    thread.join(5)
    gc.collect()

    assert place.ids == ["a"]
    assert not thread.is_alive()
    assert alive() is None


def test_a_sink_that_cannot_start_a_thread_delivers_when_it_is_flushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    place = Place(UnavailableError("not now"))
    sink = place.sink()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for each in "ab":
        sink.emit(a_record(each))

    assert sink.flush(10)
    assert place.ids == ["a", "b"]


def test_a_bug_in_the_thread_does_not_end_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spendfuse.metering.sinks.worker._PAUSE_AFTER_A_BUG_SECONDS", 0.001)
    calls = []

    def clock() -> float:
        calls.append(0)
        if len(calls) == 1:
            raise ZeroDivisionError
        return time.monotonic()

    place = Place()
    sink = Background("buggy", place.prepare, place.deliver, pace=QUICK, clock=clock)
    sink.emit(a_record("a"))

    until(lambda: place.ids)
    assert "a sink's turn failed" in caplog.text


def test_pauses_double_up_to_the_longest_and_never_fall_in_step() -> None:
    pace = Pace(first_retry_seconds=1, longest_retry_seconds=10)
    error = UnavailableError("not now")

    latest = [pause_after(error, streak, pace, lambda: 1.0) for streak in (1, 2, 3, 4, 5, 10_000)]

    assert latest == [1, 2, 4, 8, 10, 10]
    assert pause_after(error, 3, pace, lambda: 0.0) == 2


def test_what_a_person_must_mend_is_tried_slowly() -> None:
    pace = Pace(settings_retry_seconds=77)

    assert pause_after(SettingsError("no queue"), 1, pace, lambda: 0.0) == 77


def test_a_gentle_reader_leaves_nothing_out() -> None:
    records = [a_record(str(number)) for number in range(100)]

    assert list(gently(records)) == records


def end_a_process(case: str, file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(__file__).with_name("process_ends.py")
    return subprocess.run(
        [sys.executable, program, case, file],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("case", "delivered"),
    [
        ("end_without_a_word", ["a"]),
        ("emit_in_an_exit_handler", ["a"]),
        ("end_of_a_multiprocessing_child", ["child", "parent"]),
        ("fork_and_emit", ["child", "parent"]),
        ("fork_while_another_thread_holds_the_locks", ["child"]),
    ],
)
def test_however_a_process_ends_its_own_records_are_delivered_once(
    case: str, delivered: list[str], tmp_path: Path
) -> None:
    ended = end_a_process(case, tmp_path / "ids")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted((tmp_path / "ids").read_text().split()) == delivered


def test_an_exit_code_survives_the_drain(tmp_path: Path) -> None:
    ended = end_a_process("end_with_an_error", tmp_path / "ids")

    assert (ended.returncode, ended.stderr) == (3, "")
    assert (tmp_path / "ids").read_text() == "a\n"


def test_a_delivery_that_hangs_holds_up_neither_the_exit_nor_other_sinks(tmp_path: Path) -> None:
    ended = end_a_process("end_while_a_delivery_hangs", tmp_path / "ids")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "ids").read_text() == "b\n"


def test_forks_among_emitting_threads_neither_lose_nor_double(tmp_path: Path) -> None:
    ended = end_a_process("fork_while_threads_emit", tmp_path / "ids")

    assert (ended.returncode, ended.stderr) == (0, "")
    ids = (tmp_path / "ids").read_text().split()
    assert max(Counter(ids).values()) == 1
    assert {f"child-{each}" for each in range(20)} <= set(ids)
    for name in ("t0", "t1", "t2", "t3"):
        numbers = sorted(int(each.partition("-")[2]) for each in ids if each.startswith(name))
        assert numbers == list(range(len(numbers)))
