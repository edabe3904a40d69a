"""Does memory stay flat over a million calls of 100,000 unknown models and users?"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path

from prometheus_client import CollectorRegistry

from spendfuse.metering import CostTracker
from spendfuse.metering.privacy import Pseudonyms
from spendfuse.metering.sinks import Wiring, open_sinks

CALLS = 1_000_000
NAMES = 100_000
WARM_CALLS = 150_000
REST_CALLS = 5_000
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3}


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        specs = [{"kind": "jsonl", "folder": folder, "max_mb": 50}, {"kind": "prometheus"}]
        tracker = CostTracker(
            sinks=open_sinks(specs, Wiring(registry=CollectorRegistry())),
            unknown_models="unpriced",
            pseudonyms=Pseudonyms(b"k" * 16),
        )
        warm = 0.0
        for number in range(CALLS):
            name = number % NAMES
            tracker.track_usage(f"user-{name}", "/chat", f"made-up-{name}", COUNTS)
            if number % REST_CALLS == 0:
                # As an app rests now and then: what waits to be written is bounded, but not flat.
                tracker.flush(60)
            if number == WARM_CALLS:
                warm = resident_mb()
        tracker.flush(60)
        grown = resident_mb() - warm
        tracker.close(60)
    health = tracker.health()
    figures = {"warm_mb": warm, "grown_mb": grown, "unpriced": health.unpriced}
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
