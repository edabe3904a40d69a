"""What a benchmark gives: figures with their peers, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path("build/bench")


@dataclass(frozen=True, slots=True)
class Figure:
    figure: str
    unit: str
    ours: float
    peers: dict[str, float] = field(default_factory=dict)
    """Who else, and their value in the same unit."""

    @property
    def ratio(self) -> float | None:
        """How many times smaller ours is than the best peer's; None where ours is 0."""
        if not self.peers or not self.ours:
            return None
        return round(min(self.peers.values()) / self.ours, 1)


def write(name: str, figures: Sequence[Figure]) -> None:
    """Print the figures and write build/bench/NAME.json."""
    print(f"\n{name}")
    for each in figures:
        peers = ", ".join(f"{peer} {value:g}" for peer, value in each.peers.items()) or "-"
        ratio = "-" if each.ratio is None else f"{each.ratio:g} x"
        print(f"  {each.figure:<47} {each.ours:>9g} {each.unit:<3} {ratio:>10}  {peers}")
    origin = {"commit": commit(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    rows = [
        {
            "figure": each.figure,
            "unit": each.unit,
            "ours": each.ours,
            "peers": each.peers,
            "ratio": each.ratio,
            **origin,
        }
        for each in figures
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def commit() -> str:
    """Return the commit that was measured."""
    ran = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()
