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
    with report.kept(tmp_path / "report.json", ["a", "b"]):
        pass
    written = json.loads((tmp_path / "report.json").read_text())

    assert written["passed"]
    assert written["seconds"] == 3.0
    assert [step["seconds"] for step in written["steps"]] == [1.5, 1.5]
    assert written["figures"]["usage_to_slack_seconds"]["median"] == 0.21


def test_a_missing_step_is_an_error_and_stands_in_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(DemoError, match="these steps are missing: b"),
        a_report("a").kept(tmp_path / "report.json", ["a", "b"]),
    ):
        pass

    written = json.loads((tmp_path / "report.json").read_text())
    assert not written["passed"]
    assert written["missing"] == ["b"]


def test_a_story_that_breaks_off_leaves_no_report_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with a_report("a").kept(path, ["a"]):
        pass
    with pytest.raises(DemoError), a_report("a").kept(path, ["a"]):
        raise DemoError("the key still works")

    written = json.loads(path.read_text())
    assert not written["passed"]
    assert written["error"] == "the key still works"
