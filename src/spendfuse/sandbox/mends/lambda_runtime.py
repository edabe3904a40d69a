"""Lambdas see what AWS's Python runtime has, boto3 and its kin, and their own zip: nothing else.

The emulator runs them on the interpreter of this environment, where a library that was
forgotten in the zip would be found all the same. And it waits after every call for logs that
a silent function never writes; that was most of a call's time.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import importlib.util
import os
import sys
from functools import partialmethod
from pathlib import Path

from ministack.core import lambda_runtime

_LOG_WAIT_SECONDS = 0.005
"""A line that comes later is logged with the next call."""
_IN_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")


def mend(runtime: Path) -> None:
    """Take the place of the emulator's own; make the runtime's library folder."""
    make_library(runtime)
    # Every worker inherits this process's environment, and no other child is started here.
    os.environ.update(PYTHONPATH=str(runtime), PYTHONNOUSERSITE="1")
    detect = lambda_runtime._detect_runtime_binary

    def detect_runtime_binary(runtime_name: str) -> tuple[str, str]:
        binary, script = detect(runtime_name)
        # The interpreter that this environment was made from has none of its libraries.
        bare = getattr(sys, "_base_executable", None) or sys.executable
        return (bare if binary == sys.executable else binary), script

    lambda_runtime._detect_runtime_binary = detect_runtime_binary
    worker = lambda_runtime.Worker
    worker._drain_stderr_bounded = partialmethod(
        worker._drain_stderr_bounded, first_line_wait=_LOG_WAIT_SECONDS
    )


def make_library(folder: Path) -> None:
    """Fill the folder with links to what is in AWS's runtime."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _IN_THE_RUNTIME:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        source = origin.parent if spec.submodule_search_locations else origin
        (folder / source.name).symlink_to(source)
