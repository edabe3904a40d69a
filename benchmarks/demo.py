"""The demo's figures: how soon people hear, how soon a key is refused, how long it all takes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, write

ROUNDS = 3
AWS_BUDGETS_SECONDS = 8 * 3600.0
"""The least that AWS says: its figures are updated 8 to 12 hours apart.

https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-managing-costs.html
"""


def run() -> None:
    """Play the demo several times and report the medians."""
    seconds, slack, refused = [], [], []
    for _ in range(ROUNDS):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "spendfuse", "demo"], check=True)
        seconds.append(time.monotonic() - began)
        figures = json.loads(Path("build/demo/report.json").read_text())["figures"]
        slack += figures["usage_to_slack_seconds"]["samples"]
        refused += figures["usage_to_refused_seconds"]["samples"]
    peers = {"AWS Budgets": AWS_BUDGETS_SECONDS}
    write(
        "demo",
        [
            Figure(
                "usage sent to Slack received, median",
                "s",
                round(statistics.median(slack), 2),
                peers,
            ),
            Figure("usage sent to Slack received, worst", "s", max(slack), peers),
            Figure("usage sent to key refused, median", "s", round(statistics.median(refused), 2)),
            Figure("usage sent to key refused, worst", "s", max(refused)),
            Figure("spendfuse demo, median", "s", round(statistics.median(seconds), 1)),
        ],
    )
