"""The ASGI middleware beside Starlette's BaseHTTPMiddleware, and the decorator.

Each figure is the median of several processes, one after another.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.figures import Figure, write

PROCESSES = 5
PROBE = (sys.executable, "-m", "benchmarks.probes.middleware")
FIGURES = {
    "request": "add to a request that reports nothing",
    "usage": "add to one with X-LLM-Usage, tracking apart",
    "chunk": "add to a chunk of a stream",
    "decorator": "decorate a call that reports, tracking apart",
}


def run() -> None:
    """Measure, and report the medians."""
    found = [
        json.loads(subprocess.run(PROBE, check=True, capture_output=True, text=True).stdout)
        for _ in range(PROCESSES)
    ]
    figures = []
    for key, text in FIGURES.items():
        peers = {
            name: round(statistics.median(each[key][name] for each in found), 2)
            for name in found[0][key]
        }
        figures.append(Figure(text, "us", peers.pop("ours"), peers))
    write("middleware", figures)
