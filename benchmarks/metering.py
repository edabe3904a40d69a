"""Metering: a price, a tracked call, the import, and memory over a million calls.

Peers price the same call in the same run, in an environment of their own (``.tools/peers``).
Each figure is the median of several processes; a process reports the least CPU time of its
rounds, because a shared machine only ever adds to it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.figures import Figure, write
from benchmarks.peers import peers_python

ROUNDS = 5
IMPORT = (
    "import time; began = time.perf_counter(); import spendfuse.metering;"
    "print((time.perf_counter() - began) * 1000)"
)


def run() -> None:
    """Measure ours and the peers' in turn, so that both see the same machine."""
    python = peers_python()
    ours, theirs, imports = [], [], []
    for _ in range(ROUNDS):
        ours.append(_probe(sys.executable, "-m", "benchmarks.probes.our_prices"))
        theirs.append(_probe(str(python), "benchmarks/probes/peer_prices.py"))
        imports.append(float(_output(sys.executable, "-c", IMPORT)))
    memory = _probe(sys.executable, "-m", "benchmarks.probes.memory")
    us, peers = _medians(ours), _medians(theirs)
    rough = {"tokencost": peers.pop("tokencost")}
    if us["dropped"] or memory["unpriced"] != 1_000_000:  # noqa: PLR2004 (the probe's calls)
        raise SystemExit(f"a probe lost records: {us}, {memory}")
    write(
        "metering",
        [
            Figure("price a warm usage", "us", round(us["price"], 2), peers),
            # Apart from the others: it knows 12 of the 37 cases of docs/metering.md.
            Figure("the same, against tokencost", "us", round(us["price"], 2), rough),
            Figure("price one with cache and tiers", "us", round(us["price_tiered"], 2)),
            Figure("track(Usage) to JSONL and queue", "us", round(us["track"], 1)),
            Figure("track_usage(dict) to JSONL and queue", "us", round(us["track_usage"], 1)),
            Figure("import spendfuse.metering", "ms", round(statistics.median(imports), 1)),
            Figure("memory after 150,000 odd calls", "MB", round(memory["warm_mb"], 1)),
            Figure("grown by 850,000 more", "MB", round(memory["grown_mb"], 1)),
        ],
    )


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _probe(*command: str) -> dict[str, float]:
    figures: dict[str, float] = json.loads(_output(*command).splitlines()[-1])
    return figures


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}
