"""The environment in which others are measured: their libraries would not go with ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

_FOLDER = Path(".tools/peers")
_UV = Path(".tools/uv/bin/uv")
_REQUIREMENTS = Path("benchmarks/probes/peers.txt")


def peers_python() -> Path:
    """Return the peers' Python; their environment is made at the first run."""
    python = _FOLDER / "bin/python"
    ready = _FOLDER / "ready"
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        subprocess.run([str(_UV), "venv", "--quiet", "--clear", str(_FOLDER)], check=True)
        install = ["pip", "install", "--quiet", "--python", str(python), "-r", str(_REQUIREMENTS)]
        subprocess.run([str(_UV), *install], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return python
