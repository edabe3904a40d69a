from __future__ import annotations

import fcntl
import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.packing import Pack, pack_records
from spendfuse.metering.sinks.spill import Contents, SpillFolder, SpillFullError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_pack(id: str = "p1", records: int = 1) -> Pack:
    made = [Record(f"{id}-{number}", NOW, "openai", "gpt-4o") for number in range(records)]
    (pack,) = pack_records(made, created_at=NOW, new_id=lambda: id, refuse=pytest.fail)
    return pack


def a_folder(path: Path, **over: Any) -> SpillFolder:
    numbers = count(1)
    return SpillFolder(path / "spill", wall_clock=lambda: next(numbers) * 10**9, **over)


def put(folder: SpillFolder, pack: Pack) -> Path:
    return folder.put(pack, pack.body(NOW))


def claimed_ids(folder: SpillFolder) -> list[str]:
    claims = list(folder.claims())
    for claim in claims:
        folder.release(claim, sent=False)
    return [claim.pack.id for claim in claims]


def test_a_pack_comes_back_as_it_was_put(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    pack = a_pack(records=3)

    path = put(folder, pack)

    (claim,) = folder.claims()
    assert (claim.pack, claim.path) == (pack, path)
    assert path.read_text() == pack.body(NOW)


def test_a_pack_survives_its_process(tmp_path: Path) -> None:
    put(a_folder(tmp_path), a_pack())

    assert claimed_ids(a_folder(tmp_path)) == ["p1"]


def test_the_oldest_pack_is_sent_first(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    for name in ("z", "a", "m"):
        put(folder, a_pack(name))

    assert claimed_ids(folder) == ["z", "a", "m"]


def test_a_sent_pack_is_gone_and_one_that_was_not_stays(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    for name in "ab":
        put(folder, a_pack(name))

    a, b = folder.claims()
    folder.release(a, sent=True)
    folder.release(b, sent=False)

    assert claimed_ids(folder) == ["b"]
    assert folder.contents().packs == 1


def test_two_processes_never_hold_the_same_pack(tmp_path: Path) -> None:
    ours, theirs = a_folder(tmp_path), a_folder(tmp_path)
    for name in "ab":
        put(ours, a_pack(name))

    first = next(ours.claims())

    assert first.pack.id == "a"
    assert claimed_ids(theirs) == ["b"]


def test_a_pack_that_another_process_sent_meanwhile_is_not_sent_again(tmp_path: Path) -> None:
    ours, theirs = a_folder(tmp_path), a_folder(tmp_path)
    for name in "ab":
        put(ours, a_pack(name))
    claims = ours.claims()
    ours.release(next(claims), sent=True)
    for each in theirs.claims():
        theirs.release(each, sent=True)

    assert list(claims) == []
    assert ours.contents().packs >= 0


def test_a_file_removed_between_opening_and_locking_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path)
    path = put(folder, a_pack())
    lock = fcntl.flock

    def lock_late(file: int, how: int) -> None:
        path.unlink(missing_ok=True)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)

    assert list(folder.claims()) == []


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    put(a_folder(tmp_path), a_pack())

    def claim_and_die() -> None:
        os._exit(0 if list(a_folder(tmp_path).claims()) else 1)

    child = multiprocessing.get_context("fork").Process(target=claim_and_die)
    child.start()
    child.join()

    assert child.exitcode == 0
    assert claimed_ids(a_folder(tmp_path)) == ["p1"]


def test_a_forked_child_neither_frees_nor_keeps_what_its_parent_holds(tmp_path: Path) -> None:
    folder, other = a_folder(tmp_path), a_folder(tmp_path)
    put(folder, a_pack())
    claim = next(folder.claims())
    ready, over = multiprocessing.Pipe(), multiprocessing.Pipe()

    child = os.fork()
    if child == 0:
        folder.begin_anew()
        ready[1].send("begun")
        over[0].recv()
        os._exit(0)
    ready[0].recv()
    while_held = claimed_ids(other)
    # As a parent that dies: its file is closed, not unlocked.
    os.close(claim.file)
    after = claimed_ids(other)
    over[1].send("over")
    os.waitpid(child, 0)

    assert (while_held, after) == ([], ["p1"])


def test_a_full_folder_keeps_what_it_has_and_takes_nothing_new(tmp_path: Path) -> None:
    size = a_pack("a").size
    folder = a_folder(tmp_path, max_bytes=2 * size)
    for name in "ab":
        put(folder, a_pack(name))

    with pytest.raises(SpillFullError, match=f"2 packs with {2 * size} bytes wait on disk"):
        put(folder, a_pack("c"))

    assert claimed_ids(folder) == ["a", "b"]


def test_a_folder_holds_only_so_many_files(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, max_files=1)
    put(folder, a_pack("a"))

    with pytest.raises(SpillFullError, match="at most 1 with"):
        put(folder, a_pack("b"))


def test_a_folder_has_room_again_when_packs_were_sent(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, max_files=1)
    put(folder, a_pack("a"))
    folder.release(next(folder.claims()), sent=True)

    put(folder, a_pack("b"))

    assert claimed_ids(folder) == ["b"]


def test_what_others_wrote_counts_too(tmp_path: Path) -> None:
    now = [0.0]
    ours = a_folder(tmp_path, clock=lambda: now[0])
    put(ours, a_pack("a", records=3))
    put(a_folder(tmp_path), a_pack("b", records=4))

    before = ours.contents()
    now[0] = 6.0

    assert before == Contents(1, 3, a_pack("a", 3).size)
    assert ours.contents() == Contents(2, 7, a_pack("a", 3).size + a_pack("b", 4).size)


def test_a_pack_half_written_by_a_dead_process_is_never_sent_and_removed_in_time(
    tmp_path: Path,
) -> None:
    now = [10_000 * 10**9]
    folder = SpillFolder(tmp_path, wall_clock=lambda: now[0])
    half = tmp_path / "00000000001795311881-p1.1.json.part"
    half.write_text('{"schema":1,')
    os.utime(half, (10_000, 10_000))

    first = (claimed_ids(folder), half.exists())
    now[0] += 3601 * 10**9
    second = (claimed_ids(folder), half.exists())

    assert (first, second) == (([], True), ([], False))


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_half_file_that_cannot_be_removed_hides_no_pack_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = SpillFolder(tmp_path, wall_clock=lambda: 20_000 * 10**9)
    put(folder, a_pack())
    half = tmp_path / "00000000001795311881-p2.1.json.part"
    half.write_text('{"schema":1,')
    os.utime(half, (10_000, 10_000))
    monkeypatch.setattr(Path, "unlink", refuse)

    found = [claimed_ids(folder), claimed_ids(folder)]

    assert found == [["p1"], ["p1"]]
    assert caplog.text.count("p2.1.json.part can't be removed and is left: PermissionError") == 1


def test_a_sent_pack_that_cannot_be_removed_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = a_folder(tmp_path)
    put(folder, a_pack())
    (claim,) = folder.claims()
    monkeypatch.setattr(Path, "unlink", refuse)

    folder.release(claim, sent=True)

    assert claimed_ids(folder) == []
    assert folder.contents() == Contents()
    assert caplog.text.count("can't be removed") == 1


def test_a_folder_that_cannot_be_looked_through_is_empty_and_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path, clock=count(0, 10).__next__)
    put(folder, a_pack("a"))
    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", refuse)
        found = (claimed_ids(folder), folder.contents())
        with pytest.raises(PermissionError):
            put(folder, a_pack("b"))

    assert found == ([], Contents())
    assert claimed_ids(folder) == ["a"]
    assert folder.trouble is None


@pytest.mark.parametrize("fault", ["fsync", "rename"])
def test_a_pack_that_could_not_be_written_leaves_nothing_behind(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = a_folder(tmp_path)
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "rename": (Path, "rename")}[fault], fail)

    with pytest.raises(OSError, match="No space"):
        put(folder, a_pack())

    assert list((tmp_path / "spill").iterdir()) == []


def test_a_pack_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    sync: Callable[[int], None] = os.fsync
    rename = Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), sync(file)))
    monkeypatch.setattr(
        Path, "rename", lambda path, to: (done.append("rename"), rename(path, to))[1]
    )

    put(a_folder(tmp_path), a_pack())

    assert done == ["sync", "rename", "sync"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"schema":1,"sent_at":"'])
def test_a_file_that_is_no_pack_is_left_for_people_and_said_once(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = a_folder(tmp_path)
    spoilt, _ = put(folder, a_pack("a")), put(folder, a_pack("b"))
    spoilt.write_bytes(content)

    found = [claimed_ids(folder), claimed_ids(folder)]

    assert found == [["b"], ["b"]]
    assert spoilt.exists()
    assert caplog.text.count("can't be read") == 1


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    put(folder, a_pack())
    (tmp_path / "spill" / "notes.json").write_text("{}")

    assert claimed_ids(folder) == ["p1"]
    assert folder.contents().packs == 1


def test_a_folder_that_was_never_needed_is_never_made(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)

    assert list(folder.claims()) == []
    assert folder.contents() == Contents()
    assert not (tmp_path / "spill").exists()


def test_others_on_the_machine_cannot_read_the_folder(tmp_path: Path) -> None:
    put(a_folder(tmp_path), a_pack())

    assert (tmp_path / "spill").stat().st_mode & 0o077 == 0
