"""app.py: the same bytes wherever it runs, and sentences where something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk.aws_budgets import CfnBudget

import app as cdk_app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped() -> dict:
    """The context of the cdk.json that users begin with."""
    return json.loads((ROOT / "cdk.json").read_text())["context"]


def synthesised_as_by_the_cli(cwd: Path, home: Path, context: dict, **environment: str) -> dict:
    """Return the files that app.py writes in an environment that holds nothing else."""
    cwd.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        cwd=cwd,
        env={
            # jsii starts node by name, and keeps what it unpacks below HOME.
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(home),
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(cwd / "cdk.out"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (0, "", "")
    return {
        str(file.relative_to(cwd / "cdk.out")): file.read_bytes()
        for file in (cwd / "cdk.out").rglob("*")
        if file.is_file()
    }


def test_two_synths_give_the_same_bytes_wherever_they_run_and_say_nothing(tmp_path, shipped):
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    temporary.mkdir()

    here = synthesised_as_by_the_cli(tmp_path / "here", home, shipped, PYTHONHASHSEED="1")
    there = synthesised_as_by_the_cli(
        tmp_path / "there" / "deeper", home, shipped, PYTHONHASHSEED="2", TMPDIR=str(temporary)
    )

    assert there == here
    assert list(temporary.iterdir()) == []
    assert sorted(name for name in here if name.endswith(".template.json")) == [
        f"{shipped['spendfuse']['name']}-{stack}.template.json"
        for stack in ("alerts", "budgets", "fuse", "ledger", "monitoring")
    ]


def run(context: dict, outdir: Path) -> int:
    return cdk_app.run(App(context=context, outdir=str(outdir)))


def test_a_stage_and_a_limit_come_from_the_command_line_as_text(tmp_path, flags, block):
    stages = {"dev": {"tags": {"Environment": "development"}}}
    budget = {"name": "month", "actual_percents": [80, 100]}
    block = {**block, "stages": stages, "aws_budgets": [budget]}

    code = run({**flags, "spendfuse": block, "stage": "dev", "monthly_limit_usd": "12.5"}, tmp_path)

    assert code == 0
    template = json.loads((tmp_path / "acme-dev-budgets.template.json").read_text())
    (deployed,) = template["Resources"].values()
    assert deployed["Properties"]["Budget"]["BudgetLimit"] == {"Amount": 12.5, "Unit": "USD"}


def test_every_mistake_is_told_at_once_and_nothing_is_made(tmp_path, flags, block, capsys):
    budgets = [{"name": "all", "limit_usd": -5}]

    code = run({**flags, "spendfuse": {**block, "budgets": budgets, "colour": 1}}, tmp_path)

    assert code == 1
    said = capsys.readouterr().err
    assert "budgets[0].limit_usd" in said
    assert "colour" in said
    assert list(tmp_path.glob("*.template.json")) == []


def test_what_aws_would_refuse_stops_the_synth(tmp_path, flags, block, capsys):
    app = App(outdir=str(tmp_path), context={**flags, "spendfuse": block})
    # A stack that somebody adds: the configuration lets nothing of the kind through.
    CfnBudget(
        Stack(app, "added"),
        "Steep",
        budget=CfnBudget.BudgetDataProperty(budget_type="COST", time_unit="MONTHLY"),
        notifications_with_subscribers=[
            {
                "notification": {
                    "comparisonOperator": "GREATER_THAN",
                    "notificationType": "ACTUAL",
                    "threshold": percent,
                },
                "subscribers": [{"subscriptionType": "EMAIL", "address": "a@b.co"}],
            }
            for percent in range(10, 21)
        ],
    )

    code = cdk_app.run(app)

    assert code == 1
    said = capsys.readouterr().err
    assert "AWS would not take this deployment" in said
    assert "has 11 rungs" in said


def test_a_deployment_without_aws_budgets_has_no_stack_for_them(tmp_path, flags, block):
    without = {key: value for key, value in block.items() if key != "aws_budgets"}

    code = run({**flags, "spendfuse": without}, tmp_path)

    assert code == 0
    assert not list(tmp_path.glob("*-budgets.template.json"))
    assert list(tmp_path.glob("*-ledger.template.json"))
