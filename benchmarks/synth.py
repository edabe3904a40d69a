"""`cdk synth`: how long an edit of cdk.json waits before anything is deployed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.figures import Figure, write

ROUNDS = 3
SYNTH = ("node", "node_modules/aws-cdk/bin/cdk", "synth", "--quiet", "--no-notices")


def run() -> None:
    """Synthesise the app several times, each in a process of its own."""
    seconds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as output:
            began = time.monotonic()
            subprocess.run(
                [*SYNTH, "--app", f"{sys.executable} app.py", "--output", output], check=True
            )
            seconds.append(time.monotonic() - began)
    write("synth", [Figure("cdk synth, median", "s", round(statistics.median(seconds), 1))])
