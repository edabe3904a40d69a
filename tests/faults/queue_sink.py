"""Loses and doubles nothing: a queue that fails half the time, apps that fork and are killed.

``python -m tests.faults.queue_sink --records 1000000`` runs it, prints what it found and exits
with 1 when a record that was flushed is lost, any record counts twice, or a pack is torn. Records
are counted as the recorder counts: a pack id once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from spendfuse.ledger.pack import MalformedPackError, read_pack
from tests.faults.queue_app import THREADS, Plan, a_record, a_sink, write_down
from tests.faults.queue_stand_in import StandInClient

ROOT = Path(__file__).parents[2]
_DRAIN_SECONDS = 120.0
_SMALLEST_SHARE = 20_000


@dataclass
class Found:
    safe: int = 0
    """Records that a flush, or an exit with 0, promised."""
    counted: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    packs: int = 0
    packs_sent_twice: int = 0
    kills: int = 0
    forks: int = 0
    seconds: float = 0.0
    drain_seconds: float = 0.0
    peak_mb: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    """How the queue answered, and how often."""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.torn)


@dataclass(frozen=True)
class Trial:
    records: int
    """How many must be promised before it ends."""
    kills: int
    """And how many apps killed."""
    apps: int = 2
    """At a time."""
    kill_after: tuple[float, float] = (1.0, 6.0)
    """Seconds; an app that is done earlier ends by itself."""
    seed: int = 1


def run(trial: Trial) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "queue.log"
        with queue_server(log, trial.seed) as port:
            found = Found()
            started = time.monotonic()
            live(trial, Path(folder), port, found)
            found.seconds = time.monotonic() - started
            drain(Path(folder), port, found)
        count(log, promised(Path(folder) / "journal", found), found)
        found.peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return found


@contextlib.contextmanager
def queue_server(log: Path, seed: int) -> Iterator[int]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.queue_stand_in", log, "0.5", str(seed)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def live(trial: Trial, folder: Path, port: int, found: Found) -> None:
    """Start apps, and kill each after a random time, until the trial has what it wants."""
    chance = random.Random(trial.seed)
    alive: list[App] = []
    started: list[App] = []
    try:
        while wants_more(trial, folder, found) or alive:
            while len(alive) < trial.apps and wants_more(trial, folder, found):
                wanted = trial.records - safe_records(folder)
                records = max(_SMALLEST_SHARE, wanted // trial.apps // THREADS)
                name = f"app{len(started)}"
                plan = Plan(name, port, str(folder), records, chance.getrandbits(32))
                alive.append(App(plan, chance.uniform(*trial.kill_after)))
                started.append(alive[-1])
            time.sleep(0.02)
            alive = [app for app in alive if not app.has_ended(found)]
    finally:
        for app in alive:
            app.process.kill()
            app.process.wait()
    # Forked children outlive an app that was killed.
    for app in started:
        wait_for_group(app.process.pid)


def wants_more(trial: Trial, folder: Path, found: Found) -> bool:
    return safe_records(folder) < trial.records or found.kills < trial.kills


def safe_records(folder: Path) -> int:
    return sum(sum(counts.values()) for counts in promised(folder / "journal").values())


def wait_for_group(group: int) -> None:
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            assert time.monotonic() < deadline, "a forked child hangs"
            time.sleep(0.05)


class App:
    """One app, in a process group of its own."""

    def __init__(self, plan: Plan, lives_seconds: float) -> None:
        self._plan = plan
        self._dies_at = time.monotonic() + lives_seconds
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.queue_app", json.dumps(asdict(plan))],
            cwd=ROOT,
            start_new_session=True,
        )

    def has_ended(self, found: Found) -> bool:
        """Return whether it is over, by itself or because its time is: then it is killed."""
        if self.process.poll() is not None:
            assert self.process.returncode == 0, f"an app ended with {self.process.returncode}"
            write_down(self._plan, self._plan.name, [], "exited with 0")
            return True
        if time.monotonic() > self._dies_at:
            self.process.kill()
            self.process.wait()
            found.kills += 1
            return True
        return False


def drain(folder: Path, port: int, found: Found) -> None:
    """Let the queue work, and one more process send what is on disk."""
    client = StandInClient(port)
    found.requests = client.ask({"failing": 0})
    client.close()
    started = time.monotonic()
    plan = Plan("drain", port, str(folder), records=0, seed=0)
    sink = a_sink(plan)
    sink.emit(a_record("drain.0.0"))
    while sink.health().waiting:
        assert time.monotonic() < started + _DRAIN_SECONDS, sink.health()
        sink.flush(1)
        time.sleep(0.05)
    sink.close(5)
    found.drain_seconds = time.monotonic() - started
    left = [each for each in (folder / "spill").rglob("*") if each.suffix == ".json"]
    assert left == [], left


def promised(journal: Path, found: Found | None = None) -> dict[str, Counter[int]]:
    """Return how many records of each thread are promised, by process."""
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    at_exit = {}
    lines = journal.read_text().splitlines() if journal.exists() else []
    for name, emitted, how in map(json.loads, lines):
        if how == "if it exits with 0":
            at_exit[name] = emitted
            continue
        for thread, number in enumerate(at_exit[name] if how == "exited with 0" else emitted):
            counts[name][thread] = max(counts[name][thread], number)
    if found is not None:
        found.forks = sum(line.endswith('"forked"]') for line in lines)
        found.safe = sum(sum(each.values()) for each in counts.values())
    return counts


def count(log: Path, safe: dict[str, Counter[int]], found: Found) -> None:
    """Count as the recorder does, and hold it against what was promised."""
    seen: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)
    packs: dict[str, bytes] = {}
    now = datetime.now(UTC)
    with log.open() as file:
        for line in file:
            try:
                pack = read_pack(line, received_at=now)
            except MalformedPackError:
                found.torn += 1
                continue
            found.torn += len(pack.rejected)
            # All but the time of sending is the same each time.
            content = sha256(line.partition('"id"')[2].encode()).digest()
            if pack.id in packs:
                found.packs_sent_twice += 1
                found.torn += packs[pack.id] != content
                continue
            packs[pack.id] = content
            for record in pack.records:
                name, thread, number = record.id.split(".")
                see(seen[name, int(thread)], int(number))
    found.packs = len(packs)
    found.counted = sum(sum(map(bool, each)) for each in seen.values())
    found.doubled = sum(sum(times > 1 for times in each) for each in seen.values())
    for name, threads in safe.items():
        for thread, number in threads.items():
            there = sum(map(bool, seen[name, thread][:number]))
            found.lost += number - there


def see(times: bytearray, number: int) -> None:
    if number >= len(times):
        times.extend(bytes(max(1000, number + 1 - len(times))))
    times[number] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = run(Trial(asked.records, asked.kills, seed=asked.seed))
    for name, value in asdict(found).items():
        shown = f"{value:.1f}" if isinstance(value, float) else value
        sys.stdout.write(f"{name.replace('_', ' '):>18}  {shown}\n")
    sys.stdout.write(f"{'records/s':>18}  {found.counted / found.seconds:.0f}\n")
    return 0 if found.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
