"""The command line: what it says, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner, Result
from moto import mock_aws
from packs import NOW

from spendfuse.cli import alerts
from spendfuse.cli.context import Context, account, deployment_in
from spendfuse.cli.main import main
from spendfuse.errors import SettingsError

BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": dict.fromkeys(("Project", "Environment", "Team", "CostCenter", "Owner"), "x"),
    "budgets": [{"name": "llm", "limit_usd": 200}],
    "alerts": {"emails": ["a@b.co"]},
    "stages": {"dev": {"budgets": [{"name": "llm", "limit_usd": 50}]}},
}


def run(*arguments: str, context: Context | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), obj=context)


@pytest.fixture
def cdk_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cdk.json"
    path.write_text(json.dumps({"context": {"spendfuse": BLOCK}}))
    return path


@pytest.mark.usefixtures("cdk_json")
def test_config_check_shows_each_rung_in_dollars() -> None:
    result = run("config", "check")

    assert result.exit_code == 0
    assert "deployment acme: the configuration is sound" in result.output
    assert "80 %         $160.00  slack" in result.output


def test_config_check_shows_each_alarm_with_its_figure_and_those_that_are_off(
    cdk_json: Path,
) -> None:
    raw = json.loads(cdk_json.read_text())
    raw["context"]["spendfuse"] |= {
        "alarms": {"hourly_spend": {"usd": "7.50"}, "latency_p95": False, "heartbeat": False},
        "cost_anomaly": {"impact_usd": 35},
    }
    cdk_json.write_text(json.dumps(raw))

    lines = run("config", "check").output.splitlines()

    assert "  hourly_spend        above $7.50 in 60 minutes" in lines
    assert "  budget_used         at 80 and 100 %" in lines
    assert "  spend_anomaly       beyond 3 standard deviations, from $1.00 an hour on" in lines
    assert "  off                 latency_p95, heartbeat" in lines
    assert "AWS's cost anomalies: from an impact of $35.00 on, of a new monitor" in lines


@pytest.mark.usefixtures("cdk_json")
def test_config_check_of_a_stage_shows_that_stage() -> None:
    shown = json.loads(run("config", "check", "--stage", "dev", "--json").output)

    assert shown["deployment"] == "acme-dev"
    assert shown["budgets"][0]["limit_nano_usd"] == 50 * 10**9


def test_config_check_says_whose_budget_it_is_and_what_differs_from_the_defaults(
    cdk_json: Path,
) -> None:
    per_user = {
        "name": "user-day",
        "limit_usd": 10,
        "period": "day",
        "per": "user",
        "mode": "fit",
        "match": {"team": "search"},
        "zone": "Europe/Berlin",
        "when_down": "local_share",
    }
    total = {"name": "pilot", "limit_usd": 5000, "period": "total", "match": {"project": "pilot"}}
    rates = [{"name": "burst", "usd_per_minute": 2, "per": "team"}]
    block = {**BLOCK, "budgets": [*BLOCK["budgets"], per_user, total], "rates": rates}
    cdk_json.write_text(json.dumps({"context": {"spendfuse": block}}))
    output = run("config", "check").output

    assert (
        "budget user-day: $10.00 a day for each user, team=search\n"
        "  a day begins at midnight in Europe/Berlin\n"
        "  mode fit: lowers max_tokens to what is left\n"
        "  when_down local_share: each process admits up to 10 %, $1.00\n"
        "\n"
        "budget pilot: $5,000.00 in total, project=pilot\n"
        "    50 %"
    ) in output
    assert "\nrate burst: $2.00 a minute for each team, all usage\n" in output


def test_config_check_checks_an_app_s_own_file_of_budgets(tmp_path: Path) -> None:
    file = tmp_path / "budgets.json"
    budget = {"name": "user-day", "limit_usd": 10, "period": "day", "per": "user"}
    file.write_text(json.dumps({"budgets": [budget]}))
    shown = run("config", "check", "--file", str(file))
    as_json = json.loads(run("config", "check", "--file", str(file), "--json").output)
    file.write_text(json.dumps({"budgets": [{**budget, "limit_usd": 0}]}))
    refused = run("config", "check", "--file", str(file))

    assert shown.output == (
        f"{file}: the budgets are sound\n\nbudget user-day: $10.00 a day for each user, all usage\n"
    )
    assert [each["limit_nano_usd"] for each in as_json["budgets"]] == [10 * 10**9]
    assert refused.exit_code == 1
    assert "budgets[0].limit_usd: got 0; the limit must be above 0" in refused.output


def test_a_file_of_budgets_has_no_stage_to_show(tmp_path: Path) -> None:
    file = tmp_path / "budgets.json"
    file.write_text(json.dumps({"budgets": BLOCK["budgets"]}))
    result = run("config", "check", "--file", str(file), "--stage", "dev")

    assert result.exit_code == 2
    assert "holds budgets alone and has no stages" in result.output


def test_config_check_finds_the_mistakes_of_every_stage_at_once(cdk_json: Path) -> None:
    stages = {"dev": {"fuse": {"mode": "on"}}, "prod": {"nme": "x"}}
    cdk_json.write_text(json.dumps({"context": {"spendfuse": {**BLOCK, "stages": stages}}}))
    result = run("config", "check")

    assert result.exit_code == 1
    assert "stage dev: 1 mistake in the configuration:" in result.output
    assert "stage prod: 1 mistake in the configuration:" in result.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cdk.json is not JSON"),
        ("{}", 'cdk.json has no "context" object'),
        ('{"context": []}', '"context" in cdk.json must be an object'),
        ('{"context": {}}', 'cdk.json has no "spendfuse" object in its context'),
        (None, "cdk.json can't be read: No such file or directory; name it with --file"),
    ],
)
def test_a_broken_cdk_json_is_told_in_one_sentence(
    cdk_json: Path, text: str | None, sentence: str
) -> None:
    if text is None:
        cdk_json.unlink()
    else:
        cdk_json.write_text(text)
    result = run("config", "check")

    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output


@pytest.fixture
def deployed() -> Iterator[Context]:
    """A context whose stacks have the outputs that `alerts test` reads."""
    with mock_aws():
        topic = aws("sns").create_topic(Name="alerts")["TopicArn"]
        context = Context(deployment="acme", aws=aws, now=lambda: NOW)
        context._outputs.update(
            AlertsTopicArn=topic,
            IncidentTableName=make_table("incidents"),
            AlertChannels="email,slack",
        )
        yield context


class Notify:
    """Marks what is published as sent on some channels, as the deployed function would."""

    def __init__(self, context: Context, *channels: str) -> None:
        self._context = context
        self._channels = channels

    def publish(self, **request: Any) -> None:
        message = json.loads(request["Message"])
        item = {f"sent_{channel}": {"N": "1"} for channel in self._channels}
        aws("dynamodb").put_item(
            TableName=self._context.outputs()["IncidentTableName"],
            Item={
                "pk": {"S": f"incident#{message['id']}"},
                "sk": {"S": f"alert#{message['id']}"},
                **item,
            },
        )


def test_alerts_test_says_which_channel_delivered(deployed: Context) -> None:
    deployed._clients["sns"] = Notify(deployed, "slack", "email")
    result = run("alerts", "test", context=deployed)

    assert result.exit_code == 0
    assert result.output.splitlines() == ["email  delivered", "slack  delivered"]


def test_alerts_test_asks_of_no_channel_that_is_not_set_up(deployed: Context) -> None:
    deployed._outputs["AlertChannels"] = "email"
    deployed._clients["sns"] = Notify(deployed, "email")

    assert run("alerts", "test", context=deployed).output.splitlines() == ["email  delivered"]


def test_alerts_test_exits_with_3_when_a_channel_does_not_deliver(deployed: Context) -> None:
    deployed._clients["sns"] = Notify(deployed, "email")
    result = run("alerts", "test", "--wait", "0", context=deployed)

    assert result.exit_code == alerts.EXIT_NOT_DELIVERED == 3
    assert "slack  not delivered" in result.output


def test_a_deployment_that_is_not_there_is_named_with_what_to_do() -> None:
    with mock_aws():
        result = run("alerts", "test", context=Context(deployment="nope", aws=aws))

    assert result.exit_code == 1
    assert "there is no stack nope-alerts; deploy with `cdk deploy --all`" in result.output


def test_without_a_region_it_says_which_flags_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")

    with pytest.raises(SettingsError, match=r"a region\. Set --region or AWS_REGION"):
        account(None, None)("sns")


def test_an_unknown_profile_says_to_name_another() -> None:
    with pytest.raises(SettingsError) as raised:
        account("nope", "eu-central-1")("sns")

    assert str(raised.value) == (
        "The config profile (nope) could not be found. Name an existing one with --profile; "
        "`aws configure list-profiles` has all"
    )


def test_missing_credentials_say_how_to_configure_them() -> None:
    class Stranger:
        def describe_stacks(self, **_: Any) -> None:
            raise NoCredentialsError

    with pytest.raises(SettingsError) as raised:
        Context(deployment="acme", aws=lambda _: Stranger()).outputs()

    assert str(raised.value) == (
        "AWS can't be reached: Unable to locate credentials. "
        "Configure credentials, for example with `aws configure` or AWS_PROFILE"
    )


@pytest.mark.usefixtures("cdk_json")
def test_the_deployment_s_name_comes_from_cdk_json() -> None:
    assert deployment_in(Path("cdk.json")) == "acme"
    assert deployment_in(Path("nowhere.json")) is None


@pytest.mark.usefixtures("cdk_json")
def test_a_sandbox_that_does_not_run_is_told_with_what_to_do() -> None:
    assert run("sandbox", "status").exit_code == 3
    assert "start one with `spendfuse sandbox up`" in run("sandbox", "status").output
    assert run("sandbox", "down").output == "No sandbox runs.\n"
    assert run("sandbox", "down").exit_code == 0
    assert "start one with `spendfuse sandbox up`" in run("sandbox", "env").output
    assert "no sandbox runs in" in run("--sandbox", "fuse", "status").output


@pytest.mark.usefixtures("cdk_json")
@pytest.mark.parametrize("command", [("demo",), ("sandbox", "up")])
def test_outside_the_checkout_nothing_is_started(command: tuple[str, ...]) -> None:
    result = run(*command)

    assert result.exit_code == 1
    assert "app.py, examples/rag_app/app.py, node_modules/aws-cdk not found here" in result.output


@pytest.mark.parametrize("port", ["99999", "-1", "x"])
def test_a_port_that_is_none_is_wrong_usage(port: str) -> None:
    result = run("sandbox", "up", "--port", port)

    assert result.exit_code == 2
    assert "--port" in result.output


@pytest.mark.usefixtures("cdk_json")
def test_a_trace_that_can_t_be_read_starts_nothing() -> None:
    result = run("demo", "--trace", "nowhere.csv")

    assert result.exit_code == 1
    assert "the trace nowhere.csv can't be read" in result.output
