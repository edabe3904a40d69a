"""``spendfuse reach``: how late each net is."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spendfuse.cli.main import main
from spendfuse.cli.reach_report import duration
from spendfuse.metering.sinks.background import Pace

BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": dict.fromkeys(("Project", "Environment", "Team", "CostCenter", "Owner"), "x"),
    "budgets": [
        {"name": "llm", "limit_usd": 730},
        {"name": "user-day", "limit_usd": 5, "period": "day", "per": "user"},
    ],
    "aws_budgets": [{"name": "month", "actual_percents": [80, 100], "forecast_percents": [100]}],
    "alerts": {"emails": ["a@b.co"]},
    "cost_anomaly": {"impact_usd": 20},
    "stages": {"dev": {"fuse": {"mode": "dry-run"}}},
}


@pytest.fixture(autouse=True)
def cdk_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cdk.json"
    path.write_text(json.dumps({"context": {"spendfuse": BLOCK}}))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["reach", *arguments], obj=object())


def reach(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_the_table_has_every_rung_and_fits_a_terminal() -> None:
    result = run()

    assert result.exit_code == 0
    assert "budget llm: $730.00 a month; at $10.00 an hour, 10 times its even pace" in result.output
    for percent in ("50 %", "80 %", "100 % trips", "100 % limit", "100 % forecast"):
        assert percent in result.output
    assert "guard: the request is refused         before  $0.00" in result.output
    assert "AWS Cost Anomaly Detection" in result.output
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_every_line_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert max(map(len, run().output.splitlines())) <= 80


def test_the_steps_of_an_alarm_are_told_under_its_name() -> None:
    assert "\n  alarm hourly-spend\n    the SDK gathers" in run().output


def test_json_has_each_net_s_seconds_as_the_sum_of_its_steps() -> None:
    found = reach()

    nets = [
        net
        for budget in [*found["budgets"], *found["aws_budgets"]]
        for rung in budget["rungs"]
        for net in rung["nets"]
        if net["seconds"] is not None
    ]
    assert len(nets) > 10
    for net in nets:
        assert net["seconds"] == sum(step["seconds"] for step in net["steps"])
        assert all(step["source"] for step in net["steps"])


def test_the_first_step_is_the_sdk_s_own_setting() -> None:
    (step, *_) = reach()["budgets"][0]["rungs"][0]["nets"][0]["steps"]

    assert step["seconds"] == Pace().linger_seconds


def test_only_the_bill_of_aws_is_seen_by_aws() -> None:
    found = reach()

    assert {
        net["sees"] for b in found["aws_budgets"] for rung in b["rungs"] for net in rung["nets"]
    } == {"AWS's bill only: no invoice of OpenAI's, say"}
    assert {
        net["sees"] for b in found["budgets"] for rung in b["rungs"] for net in rung["nets"]
    } == {"metered calls, of any provider"}


def test_dollars_go_by_the_pace_that_is_given() -> None:
    slow, fast = reach("--usd-per-hour", "36"), reach("--usd-per-hour", "3600")

    def dollars(found: dict[str, Any]) -> Decimal:
        return Decimal(found["budgets"][0]["rungs"][0]["nets"][0]["usd"])

    assert dollars(fast) == 100 * dollars(slow)
    assert fast["pace"] == "given"


def test_a_fuse_in_a_dry_run_is_no_net() -> None:
    armed, dry = run().output, run("--stage", "dev").output

    assert "fuse: the keys are off  " in armed
    assert "fuse: the keys are off  " not in dry


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("x", "expected an amount in dollars, such as 1000 or '0.75', got 'x'"),
        ("0", "0: write more than 0 and 1,000,000,000 at most"),
        ("-5", "-5: write more than 0 and 1,000,000,000 at most"),
        ("NaN", "expected an amount in dollars"),
        ("1e30", "1e30: write more than 0"),
    ],
)
def test_a_pace_that_is_none_is_wrong_usage(value: str, sentence: str) -> None:
    result = run("--usd-per-hour", value)

    assert result.exit_code == 2
    assert sentence in result.output


def test_without_cdk_json_it_says_what_to_do(cdk_json: Path) -> None:
    cdk_json.unlink()
    result = run()

    assert result.exit_code == 1
    assert "cdk.json can't be read" in result.output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (60, "1 min"), (168, "2 min 48 s"), (86_461, "1 d 1 min"), (3_661, "1 h 1 min")],
)
def test_a_duration_has_its_two_largest_parts(seconds: int, text: str) -> None:
    assert duration(seconds) == text
