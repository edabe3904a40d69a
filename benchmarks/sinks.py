"""What a sink costs the thread that makes the call, one emit through the fan-out."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.figures import Figure, write

PROCESSES = 3


def run() -> None:
    """Take the median of several processes."""
    rounds = [_probe() for _ in range(PROCESSES)]
    write(
        "sinks",
        [
            Figure(f"emit to {name}", "us", round(statistics.median(r[name] for r in rounds), 2))
            for name in rounds[0]
        ],
    )


def _probe() -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.probes.our_sinks"],
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return figures
