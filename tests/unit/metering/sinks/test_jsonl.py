from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.sinks import jsonl_writer
from unit.metering.sinks.rigs import NOW, a_record

from spendfuse.errors import SettingsError
from spendfuse.metering.sinks import Wiring, line_file, open_sinks
from spendfuse.metering.sinks.jsonl import JsonlSink, QueryTypeNames, safe_name
from spendfuse.metering.sinks.line_file import locked
from spendfuse.metering.sinks.sink import Sink

TESTS = Path(__file__).parents[3]


def ids(folder: Path) -> list[str]:
    """Return the ids in a folder; every line of every file must be a whole record."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        text = path.read_bytes()
        assert text.endswith(b"\n")
        found += [json.loads(line)["id"] for line in text.split(b"\n")[:-1]]
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "usage"


def a_sink(folder: Path, clock: Clock | None = None, **over: Any) -> Sink:
    (sink,) = open_sinks(
        [{"kind": "jsonl", "folder": str(folder), **over}], Wiring(now=clock or Clock())
    )
    return sink


def small(folder: Path, max_bytes: int, *, daily: bool = False) -> JsonlSink:
    return JsonlSink(
        folder,
        max_bytes=max_bytes,
        daily=daily,
        max_query_types=0,
        fsync=True,
        pace=None,
        now=Clock(),
    )


def run(case: str, folder: Path, argument: str = "", **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, jsonl_writer.__file__, case, str(folder), argument],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        **options,
    )


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_line_is_the_whole_record(folder: Path) -> None:
    record = a_record(fields={"rag_chunks_used": 4, "quality_score": 0.75})
    sink = a_sink(folder)
    sink.emit(record)
    sink.close(5)

    line = json.loads((folder / "usage-2026-11-21.jsonl").read_text("utf-8"))
    assert line == record.to_line()
    assert line["cost_usd"] == "0.006000000"


def test_each_day_has_a_file_of_its_own(folder: Path, clock: Clock) -> None:
    sink = a_sink(folder, clock)
    for number in range(3):
        sink.emit(a_record(f"r-{number}"))
        sink.flush(5)
        clock.at += timedelta(days=1)
    sink.close(5)

    assert names(folder) == [f"usage-2026-11-2{day}.jsonl" for day in (1, 2, 3)]


def test_the_day_is_utc_s(folder: Path, clock: Clock) -> None:
    clock.at = datetime.fromisoformat("2026-12-01T01:00:00+02:00")
    sink = a_sink(folder, clock)
    sink.emit(a_record())
    sink.close(5)

    assert names(folder) == ["usage-2026-11-30.jsonl"]


def test_a_full_file_is_followed_by_the_next(folder: Path) -> None:
    sink = small(folder, 1200)
    for number in range(7):
        sink.emit(a_record(f"r-{number}"))
        sink.flush(5)
    sink.close(5)

    assert names(folder) == ["usage.2.jsonl", "usage.3.jsonl", "usage.jsonl"]
    assert max(path.stat().st_size for path in folder.iterdir()) <= 1200
    assert sorted(ids(folder)) == [f"r-{number}" for number in range(7)]


def test_after_a_restart_the_newest_file_is_gone_on_with(folder: Path) -> None:
    padding = [600, 600, 1, 1]
    for number, characters in enumerate(padding):
        sink = small(folder, 1500)
        sink.emit(a_record(f"r-{number}", fields={"padding": "x" * characters}))
        sink.close(5)

    # The third would have had room in the first file.
    assert len((folder / "usage.jsonl").read_text("utf-8").splitlines()) == 1
    assert len((folder / "usage.2.jsonl").read_text("utf-8").splitlines()) == 2
    assert len(ids(folder)) == 4


@pytest.mark.parametrize("name", ["usage.jsonl", "usage-2026-11-01.jsonl", "usage.3.jsonl"])
def test_a_torn_last_line_is_set_apart(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_bytes(b'{"id": "whole"}\n{"id": "to')
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.close(5)

    assert sorted(ids(folder)) == ["r-1", "whole"]
    assert (folder / f"{name}.torn").read_bytes() == b'{"id": "to\n'


def test_a_torn_line_longer_than_any_buffer_is_set_apart(folder: Path) -> None:
    folder.mkdir()
    torn = b'{"id": "' + b"x" * 200_000
    (folder / "usage.jsonl").write_bytes(b'{"id": "whole"}\n' + torn)
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.close(5)

    assert ids(folder) == ["whole", "r-1"]
    assert (folder / "usage.jsonl.torn").read_bytes() == torn + b"\n"


def test_a_file_that_is_one_torn_line_is_emptied(folder: Path) -> None:
    folder.mkdir()
    (folder / "usage.jsonl").write_bytes(b'{"id"')
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.close(5)

    assert ids(folder) == ["r-1"]


def test_a_whole_record_that_only_lacks_its_end_stays(folder: Path) -> None:
    folder.mkdir()
    (folder / "usage.jsonl").write_bytes(b'{"id": "whole"}')
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.close(5)

    assert ids(folder) == ["whole", "r-1"]
    assert names(folder) == ["usage.jsonl"]


def test_several_processes_share_a_folder(
    folder: Path, processes: list[subprocess.Popen[str]]
) -> None:
    processes += [run("write_many", folder, f"p{number}") for number in range(4)]
    ends = [process.wait(60) for process in processes]

    assert ends == [0, 0, 0, 0]
    assert Counter(ids(folder)) == Counter(
        f"p{process}-{number}" for process in range(4) for number in range(2000)
    )
    assert max(path.stat().st_size for path in folder.iterdir()) <= 100_000


def test_what_was_flushed_before_a_kill_is_there_and_every_line_is_whole(
    folder: Path, processes: list[subprocess.Popen[str]]
) -> None:
    flushed = {}
    for life in range(6):
        process = run("write_until_killed", folder, f"p{life}")
        processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.random() / 5)
        process.kill()
        told = process.communicate()[0].split()
        flushed[life] = int(told[-1]) if told else 0
    sink = small(folder, 10**9)
    sink.emit(a_record("last"))
    sink.close(5)

    found = Counter(ids(folder))
    missing = [
        f"p{life}-{number}"
        for life, count in flushed.items()
        for number in range(count)
        if found[f"p{life}-{number}"] != 1
    ]
    assert missing == []
    assert set(found.values()) == {1}


def test_a_full_disk_tears_nothing_and_loses_nothing(
    folder: Path, processes: list[subprocess.Popen[str]]
) -> None:
    processes.append(run("fill_the_disk", folder, "2000"))
    told, _ = processes[0].communicate(timeout=60)

    full, mended = told.splitlines()
    assert full.startswith("True False 100 UnavailableError:")
    assert "bytes could be written" in full
    # One whole line was on the disk while it was full, and nothing of the next.
    assert full.endswith(" 1 True")
    assert mended == "True 101"
    assert ids(folder) == ["before", *(f"r-{number}" for number in range(100))]
    assert names(folder) == ["usage.jsonl"]


def test_a_forked_child_writes_its_own_and_nothing_of_its_parent_s(
    folder: Path, processes: list[subprocess.Popen[str]]
) -> None:
    processes.append(run("fork_while_writing", folder))
    told, _ = processes[0].communicate(timeout=60)

    assert told.strip() == "[0, 0, 0]"
    assert Counter(ids(folder)) == Counter(
        f"{name}-{number}"
        for name in ("parent", "child0", "child1", "child2")
        for number in range(300)
    )


def test_a_folder_that_was_removed_is_made_again(folder: Path) -> None:
    sink = a_sink(folder)
    sink.emit(a_record("r-1"))
    sink.flush(5)
    shutil.rmtree(folder)
    sink.emit(a_record("r-2"))
    sink.close(5)

    assert ids(folder) == ["r-2"]


def test_a_file_that_was_moved_away_is_not_written_to(folder: Path) -> None:
    sink = a_sink(folder)
    sink.emit(a_record("r-1"))
    sink.flush(5)
    (folder / "usage-2026-11-21.jsonl").rename(folder / "moved.jsonl")
    sink.emit(a_record("r-2"))
    sink.close(5)

    assert names(folder) == ["moved.jsonl", "usage-2026-11-21.jsonl"]
    assert len((folder / "moved.jsonl").read_text("utf-8").splitlines()) == 1


def test_a_process_that_holds_the_lock_for_ever_holds_nobody_up(folder: Path) -> None:
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.flush(5)
    with (folder / "usage.jsonl").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sink.emit(a_record("r-2"))
        is_flushed = sink.flush(1.5)
        health = sink.health()

    assert not is_flushed
    assert (health.waiting, health.delivered) == (1, 1)
    assert sink.flush(5)
    sink.close(5)
    assert ids(folder) == ["r-1", "r-2"]


def test_closing_while_the_lock_is_waited_for_never_touches_another_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_waiting, may_go_on = threading.Event(), threading.Event()
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.flush(5)
    (file,) = sink._files.values()
    number = file._descriptor

    @contextmanager
    def locked_late(descriptor: int, path: Path) -> Iterator[None]:
        is_waiting.set()
        may_go_on.wait(30)
        with locked(descriptor, path):
            yield

    monkeypatch.setattr(line_file, "locked", locked_late)
    sink.emit(a_record("r-2"))
    sink.hurry()
    is_waiting.wait(30)
    sink.close(0.01)
    # The system gives out the lowest number that is free: the sink's, if it were.
    apps = tmp_path / "app.txt"
    apps.write_text("the app's own", encoding="utf-8")
    opened = [os.open(apps, os.O_RDWR) for _ in range(3)]
    health = sink.health()
    may_go_on.set()
    sink._worker.join(30)
    for each in opened:
        os.close(each)

    assert number not in opened
    assert (health.delivered, health.waiting) == (1, 1)
    assert apps.read_text("utf-8") == "the app's own"
    assert ids(folder) == ["r-1", "r-2"]
    assert sink.health().delivered == 2
    assert file._descriptor is None


def test_what_found_the_lock_held_at_the_end_is_counted_as_dropped(folder: Path) -> None:
    sink = small(folder, 10**6)
    sink.emit(a_record("r-1"))
    sink.flush(5)
    with (folder / "usage.jsonl").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sink.emit(a_record("r-2"))
        sink.close(0.01)
        sink._worker.join(30)
        health = sink.health()

    assert (health.delivered, health.dropped, health.waiting) == (1, 1, 0)
    assert ids(folder) == ["r-1"]


def test_a_folder_that_can_t_be_made_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    with pytest.raises(SettingsError, match="can't be made: Not a directory; name one"):
        a_sink(tmp_path / "file" / "usage")


def test_a_query_type_has_a_file_of_its_own(folder: Path) -> None:
    sink = a_sink(folder, per_query_type=True)
    for query_type in ("rag_query", "summary", "rag_query", None):
        attributes = {"query_type": query_type} if query_type else {}
        sink.emit(a_record(f"{query_type}", attributes=attributes))
    sink.close(5)

    assert names(folder) == [
        "rag_query-2026-11-21.jsonl",
        "summary-2026-11-21.jsonl",
        "untyped-2026-11-21.jsonl",
    ]
    assert len((folder / "rag_query-2026-11-21.jsonl").read_text("utf-8").splitlines()) == 2


def test_a_hostile_query_type_leads_nowhere(folder: Path) -> None:
    hostile = ["../../etc/passwd", "/abs", "a/b", "a:b", ".", "..", "", "\x00", "ü" * 10_000, "-rf"]
    sink = a_sink(folder, per_query_type=True)
    for number, query_type in enumerate(hostile):
        sink.emit(a_record(f"r-{number}", attributes={"query_type": query_type}))
    sink.close(5)

    assert len(ids(folder)) == len(hostile)
    assert len(names(folder)) == len(hostile)
    assert names(folder.parent) == ["usage"]


@given(st.text(min_size=1, max_size=300))
def test_a_file_name_is_safe_short_and_its_own(text: str) -> None:
    name = safe_name(text)

    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-~")
    assert 0 < len(name) <= 70
    assert not name.startswith("-")
    assert name == text or "~" in name


def test_what_one_file_took_is_not_written_again_when_the_next_fails(folder: Path) -> None:
    in_the_way = folder / "b-2026-11-21.jsonl"
    in_the_way.mkdir(parents=True)
    sink = a_sink(folder, per_query_type=True)
    for query_type in ("a", "b", "c"):
        sink.emit(a_record(query_type, attributes={"query_type": query_type}))
    is_flushed = sink.flush(0.5)
    in_the_way.rmdir()

    assert not is_flushed
    assert sorted(path.name[0] for path in folder.iterdir()) == ["a", "c"]
    assert sink.flush(5)
    assert Counter(ids(folder)) == {"a": 1, "b": 1, "c": 1}
    sink.close(5)


def test_a_forked_child_opens_a_file_of_its_own(
    folder: Path, processes: list[subprocess.Popen[str]]
) -> None:
    processes.append(run("fork_with_an_open_file", folder))
    told, _ = processes[0].communicate(timeout=60)

    assert told == "parent True, child False\n"


def test_past_the_limit_query_types_share_a_file_also_after_a_restart(folder: Path) -> None:
    for life in range(4):
        sink = a_sink(folder, per_query_type=True, max_query_types=3)
        for number in range(4):
            sink.emit(a_record("r", attributes={"query_type": f"q{life}{number}"}))
        sink.emit(a_record("r", attributes={}))
        sink.close(5)

    assert names(folder) == [
        f"{name}-2026-11-21.jsonl" for name in ("other", "q00", "q01", "q02", "untyped")
    ]


def test_ten_thousand_query_types_grow_nothing(tmp_path: Path) -> None:
    found = QueryTypeNames(50)
    found.learn_from(tmp_path)
    given = {found.of(f"q{number}") for number in range(10_000)}

    assert len(given) == 51
    assert len(found.known) == 51


def test_nothing_is_written_before_a_record_comes(folder: Path) -> None:
    a_sink(folder).close(5)

    assert names(folder) == []


def test_a_record_without_a_zone_costs_no_other_its_place(folder: Path) -> None:
    sink = a_sink(folder)
    sink.emit(a_record("bad", at=datetime(2026, 11, 21)))  # noqa: DTZ001
    sink.emit(a_record("good", at=datetime(2026, 11, 21, tzinfo=UTC)))
    sink.flush(5)

    health = sink.health()
    assert ids(folder) == ["good"]
    assert (health.delivered, health.dropped) == (1, 1)
    assert health.last_error is not None
    assert "record bad can't be encoded" in health.last_error
