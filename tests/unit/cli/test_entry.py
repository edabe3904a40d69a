"""The command where only the SDK is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[3] / "src"


def test_without_its_libraries_the_command_says_what_to_install() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SRC)!r}); from spendfuse.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 1
    assert ran.stderr.strip() == ("the spendfuse command needs click; pip install 'spendfuse[cli]'")
