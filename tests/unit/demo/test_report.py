"""The demo's report: a missing step is a failure, and the file says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spendfuse.sandbox.demo.report import DemoError, Report


def a_report(*steps: str) -> Report:
    seconds = iter([0.0, *[1.5 * (number + 1) for number in range(len(steps))]])
    report = Report(say=lambda _: None, clock=lambda: next(seconds))
    for step in steps:
        report.done(step, f"{step} is done")
    return report


def test_each_step_has_its_seconds(tmp_path: Path) -> None:
    report = a_report("a", "b")
    report.measured("usage_to_slack_seconds", 0.31)
    report.measured("usage_to_slack_seconds", 0.11)
    report.write(tmp_path / "report.json", ["a", "b"])
    written = json.loads((tmp_path / "report.json").read_text())

    assert written["passed"]
    assert written["seconds"] == 3.0
    assert [step["seconds"] for step in written["steps"]] == [1.5, 1.5]
    assert written["figures"]["usage_to_slack_seconds"]["median"] == 0.21


def test_a_missing_step_is_an_error_and_stands_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="these steps are missing: b"):
        a_report("a").write(tmp_path / "report.json", ["a", "b"])

    written = json.loads((tmp_path / "report.json").read_text())
    assert not written["passed"]
    assert written["missing"] == ["b"]
