"""One sandbox for all tests that need spendfuse deployed, under its real templates and roles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spendfuse.sandbox.demo.block import DEMO_BLOCK
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import Deployed, deployed, script

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def report() -> Report:
    return Report(say=print, clock=time.monotonic)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("stage")
    with deployed(script(PROJECT, block=DEMO_BLOCK), folder, report) as ready:
        yield ready
