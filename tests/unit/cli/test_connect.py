"""``spendfuse connect`` prints what an app needs of a deployed stack, and no secret."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field

import pytest
from click.testing import CliRunner, Result

from spendfuse.cli.main import main
from spendfuse.connect import VARIABLES
from spendfuse.metering.settings import VARIABLES as METER_VARIABLES

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/acme-usage"
POLICY = "arn:aws:iam::123456789012:policy/acme-app"


@dataclass
class Deployed:
    deployment: str = "acme"
    outputs_: dict[str, str] = field(
        default_factory=lambda: {
            "UsageQueueUrl": QUEUE,
            "LedgerTableName": "ledger",
            "FuseTableName": "fuses",
            "FuseName": "acme",
            "GuardTableName": "guards",
            "AppPolicyArn": POLICY,
        }
    )

    def outputs(self) -> dict[str, str]:
        return self.outputs_


def run(*args: str, deployed: Deployed | None = None) -> Result:
    return CliRunner().invoke(main, ["connect", *args], obj=deployed or Deployed())


def test_the_variables_are_those_that_connect_reads() -> None:
    variables = json.loads(run("--json").output)["variables"]

    assert set(variables) <= {*VARIABLES, *METER_VARIABLES}
    assert variables["SPENDFUSE_GUARD_STORE"] == "leased+dynamodb:guards"
    assert variables["SPENDFUSE_LEDGER_TABLE"] == "ledger"
    assert variables["SPENDFUSE_FUSE_TABLE"] == "fuses"
    assert json.loads(variables["SPENDFUSE_SINKS"]) == [{"kind": "sqs", "queue_url": QUEUE}]


def test_the_page_can_be_pasted_into_a_shell() -> None:
    page = run().output
    exports = dict(
        shlex.split(line)[1].split("=", 1)
        for line in page.splitlines()
        if line.startswith("export ")
    )

    assert exports == json.loads(run("--json").output)["variables"]
    assert f"--policy-arn {POLICY}" in page


def test_the_env_file_holds_the_variables_alone() -> None:
    lines = run("--env").output.splitlines()

    assert (
        dict(line.split("=", 1) for line in lines) == json.loads(run("--json").output)["variables"]
    )


def test_the_snippet_is_python() -> None:
    snippet = json.loads(run("--json").output)["snippet"]

    compile(snippet, "snippet", "exec")
    assert snippet in run().output


def test_a_store_of_one_s_own_needs_its_library() -> None:
    page = run("--store", "valkey://cache:6379/0").output

    assert "SPENDFUSE_GUARD_STORE=valkey://cache:6379/0" in page
    assert "spendfuse[aws,prices,valkey]" in page


def test_a_spill_folder_is_passed_on() -> None:
    variables = json.loads(run("--json", "--spill-folder", "/var/spool/acme").output)["variables"]

    assert json.loads(variables["SPENDFUSE_SINKS"])[0]["spill_folder"] == "/var/spool/acme"


def test_a_store_in_memory_needs_no_library_of_its_own() -> None:
    assert "pip install 'spendfuse[aws,prices]'" in run("--store", "memory").output


@pytest.mark.parametrize(
    "store", ["", "cache:6379", "leased+memory", "dynamodb:", "valkey://cache\nEVIL=1"]
)
def test_a_store_that_no_app_can_open_is_refused(store: str) -> None:
    result = run("--store", store)

    assert result.exit_code == 2
    assert "SPENDFUSE_GUARD_STORE: " in result.output


@pytest.mark.parametrize(
    "store", ["valkey://:hunter2@cache:6379/0", "valkey://cache:6379/0?password=hunter2"]
)
def test_a_password_is_refused_and_not_repeated(store: str) -> None:
    result = run("--store", store)

    assert result.exit_code == 2
    assert "SPENDFUSE_VALKEY_PASSWORD_FILE" in result.output
    assert "hunter2" not in result.output


def test_an_older_deployment_is_told_what_it_lacks() -> None:
    deployed = Deployed()
    del deployed.outputs_["GuardTableName"]
    result = run(deployed=deployed)

    assert result.exit_code == 1
    assert "no output GuardTableName" in result.output


@pytest.mark.parametrize("flags", [("--json", "--env")])
def test_two_shapes_at_once_are_refused(flags: tuple[str, ...]) -> None:
    assert run(*flags).exit_code == 2
