"""``spendfuse estimate``: the bill of the stack itself."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spendfuse.aws_prices import PRICES_DATE
from spendfuse.cli.main import main

BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": dict.fromkeys(("Project", "Environment", "Team", "CostCenter", "Owner"), "x"),
    "budgets": [{"name": "llm", "limit_usd": 200}],
    "alerts": {"emails": ["a@b.co"]},
    "stages": {"dev": {"alarms": {"spend_anomaly": False, "spend_incident": False}}},
}


@pytest.fixture(autouse=True)
def cdk_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cdk.json"
    path.write_text(json.dumps({"context": {"spendfuse": BLOCK}}))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["estimate", *arguments], obj=object())


def estimate(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_it_prints_lines_and_what_they_come_to() -> None:
    result = run("--requests", "10000000", "--users", "1000", "--records-per-pack", "200")

    assert result.exit_code == 0
    assert "acme: 10,000,000 requests a month, of 1,000 users" in result.output
    assert "CloudWatch: custom metrics" in result.output
    assert "for a million" in result.output
    assert "Left out:\n  the free tier\n" in result.output
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_every_line_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("--requests", "10000000000", "--users", "1000").output.splitlines()

    assert max(map(len, lines)) <= 80


def test_json_has_the_lines_their_sum_and_all_that_was_assumed() -> None:
    found = estimate("--requests", "1000000", "--users", "100", "--records-per-pack", "200")

    dollars = [Decimal(line["usd"]) for line in found["lines"]]
    assert Decimal(found["monthly_usd"]) == sum(dollars)
    assert Decimal(found["monthly_usd"]) == Decimal(found["fixed_usd"]) + Decimal(
        found["by_requests_usd"]
    )
    assert Decimal(found["per_million_requests_usd"]) <= Decimal("0.50")
    assert found["prices"] == {"date": PRICES_DATE, "region": "us-east-1", "free_tier": False}
    assert found["assumed"]["workload"]["users_per_pack"] == 87
    assert found["assumed"]["stacks"]["memory_mb"] == 512
    assert "the free tier" in found["left_out"]
    assert found["assumed"]["measured"]["record_bytes"] > 0
    assert all(line["price_source"] for line in found["lines"])


def test_without_the_flag_a_pack_has_what_a_process_meters_in_a_second() -> None:
    one = estimate("--requests", "262800000", "--users", "100")
    ten = estimate("--requests", "262800000", "--users", "100", "--processes", "10")

    assert one["assumed"]["workload"]["records_per_pack"] == 101
    assert ten["assumed"]["workload"]["records_per_pack"] == 11


def test_more_records_than_a_pack_holds_are_several_packs_at_once() -> None:
    arguments = ("--requests", "10000000", "--users", "10000", "--records-per-pack", "1000")
    month = estimate(*arguments, "--users-per-pack", "1000")["assumed"]["workload"]

    assert (month["records_per_pack"], month["packs_per_posting"]) == (500, 2)
    assert month["users_per_pack"] == 500


def test_no_requests_cost_what_is_there_without_any() -> None:
    found = estimate("--requests", "0", "--users", "0")

    assert found["per_million_requests_usd"] is None
    assert Decimal(found["monthly_usd"]) == Decimal(found["fixed_usd"]) > 0


def test_alarms_that_a_stage_switches_off_are_not_in_its_bill() -> None:
    arguments = ("--requests", "1000", "--users", "10")
    whole, dev = estimate(*arguments), estimate(*arguments, "--stage", "dev")

    # Three metrics of the anomaly band, its floor, and the composite alarm.
    saved = Decimal(whole["fixed_usd"]) - Decimal(dev["fixed_usd"])
    assert saved == Decimal("0.40") + Decimal("0.50")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--requests", "-1", "--users", "1"], "-1 is not in the range x>=0"),
        (["--requests", "x", "--users", "1"], "'x' is not a valid integer range"),
        (["--requests", "10", "--users", "11"], "users: 11 can't be more than the requests, 10"),
        (["--requests", "10"], "Missing option '--users'"),
        (
            ["--requests", "10", "--users", "2", "--packs-per-invocation", "11"],
            "11 packs at once are more than the recorder takes, 10; lower",
        ),
        (
            ["--requests", "10", "--users", "2", "--records-per-pack", "0"],
            "0 is not in the range x>=1",
        ),
        (
            ["--requests", "9", "--users", "9", "--records-per-pack", "3", "--users-per-pack", "4"],
            "users per pack: 4 can't be more than the records per pack, 3",
        ),
        (["--requests", "10", "--users", "2", "--models", "51"], "models: 51 are more than the 50"),
    ],
)
def test_what_can_t_be_is_wrong_usage_and_says_why(arguments: list[str], sentence: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert sentence in result.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cdk.json can't be read: No such file or directory; name it with --file"),
        ("{", "cdk.json is not JSON"),
        ("{}", 'cdk.json has no "context" object'),
        ('{"context": {"spendfuse": {"budgets": 3}}}', "mistakes in the configuration"),
    ],
)
def test_a_broken_cdk_json_is_told(cdk_json: Path, text: str | None, sentence: str) -> None:
    if text is None:
        cdk_json.unlink()
    else:
        cdk_json.write_text(text)
    result = run("--requests", "10", "--users", "2")

    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output
