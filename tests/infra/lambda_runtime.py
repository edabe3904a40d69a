"""A function's surroundings on AWS: its asset, boto3 and what boto3 needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")


def link_runtime(folder: Path) -> Path:
    """Fill a folder like the runtime's, with none of our other libraries."""
    for name in RUNTIME:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        installed = origin.parent if origin.name == "__init__.py" else origin
        (folder / installed.name).symlink_to(installed)
    return folder


def imports(asset: Path, runtime: Path, modules: str) -> subprocess.CompletedProcess[str]:
    return runs(asset, runtime, f"import {modules}")


def runs(asset: Path, runtime: Path, code: str) -> subprocess.CompletedProcess[str]:
    # -I and -S: neither the environment's libraries nor this folder can help.
    program = f"import sys; sys.path[:0] = {[str(asset), str(runtime)]}; {code}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
