from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import boto3
import pytest
from aws_tables import REGION, make_table
from click.testing import CliRunner
from moto import mock_aws
from unit.fuse.api_gateway import PASSED_BY_MOTO, ApiGateway

from spendfuse.alerts.alert import alert_from_json
from spendfuse.budget import Budget
from spendfuse.cli.main import main
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse.keys.api_gateway import ApiGatewayKeys, Pace
from spendfuse.fuse.trip import TripFuse
from spendfuse.fuse_state import Allowance, TripOrder
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.money import NANO_PER_USD

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USD = NANO_PER_USD
ORDER = TripOrder("llm", "all", "2026-11", 100, 1000 * USD)


@dataclass
class Context:
    deployment: str = "llm"
    aws: ApiGateway = field(default_factory=ApiGateway)
    stack: dict[str, str] = field(default_factory=dict)

    def now(self):
        return NOW

    def client(self, service):
        if service == "apigateway":
            return self.aws.client
        return boto3.client(service, region_name=REGION)

    def outputs(self):
        return self.stack

    @property
    def store(self):
        return DynamoFuse(self.client("dynamodb"), "fuse", "llm")

    def alerts(self):
        messages = self.client("sqs").receive_message(QueueUrl=self.told, MaxNumberOfMessages=10)
        bodies = [json.loads(each["Body"]) for each in messages.get("Messages", ())]
        return [alert_from_json(body["Message"]) for body in bodies]


@pytest.fixture
def context(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(Pace, "wait", lambda _: None)
    with mock_aws(config=PASSED_BY_MOTO):
        context = Context()
        topic = context.client("sns").create_topic(Name="alerts")["TopicArn"]
        context.told = context.client("sqs").create_queue(QueueName="told")["QueueUrl"]
        context.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:told"
        )
        for table in ("fuse", "ledger"):
            make_table(table)
        context.stack = {
            "FuseTableName": "fuse",
            "FuseName": "llm",
            "FuseMode": "armed",
            "LedgerTableName": "ledger",
            "AlertsTopicArn": topic,
        }
        context.aws.add("k1", fuse="llm", owner="ann")
        context.aws.add("k2", fuse="llm")
        context.aws.add("kept", fuse="llm", protect="true")
        context.aws.add("foreign")
        yield context


def run(context, *arguments):
    return CliRunner().invoke(main, ["fuse", *arguments], obj=context, catch_exceptions=False)


def spend(context, nano_usd):
    item = {"pk": {"S": "budget#all#2026-11"}, "sk": {"S": "total"}}
    item["nano_usd"] = {"N": str(nano_usd)}
    context.client("dynamodb").put_item(TableName="ledger", Item=item)


def tripped_by_the_ledger(context):
    keys = ApiGatewayKeys(context.aws.client)
    trip = TripFuse(context.store, [keys], lambda _: None, context.now)
    trip(ORDER, cause="all: 100 % of $1,000.00 is spent", allowance_nano_usd=100 * USD)
    spend(context, 1040 * USD)


def test_status_of_an_armed_fuse_exits_with_0_and_shows_what_a_trip_would_touch(context):
    result = run(context, "status")

    assert result.exit_code == 0
    assert result.output == (
        "fuse llm: armed (epoch 0)\n"
        "disabled by the fuse: 0 API keys\n"
        "A trip now would disable 2 API keys:\n"
        "  api_gateway  k2  name-k2\n"
        "  api_gateway  k1  name-k1  ann\n"
        "Leaves alone name-kept (kept): tagged spendfuse:protect=true\n"
        "Leaves alone 1 API key without this fuse's tag\n"
    )


def test_status_of_a_tripped_fuse_exits_with_3_and_shows_cause_and_keys(context):
    tripped_by_the_ledger(context)

    result = run(context, "status")

    assert result.exit_code == 3
    assert "fuse llm: tripped since 2026-11-21T12:00:00.000Z (epoch 1)" in result.output
    assert "last trip: all: 100 % of $1,000.00 is spent" in result.output
    assert "disabled by the fuse: 2 API keys\n  api_gateway  k1  name-k1  ann" in result.output


def test_status_as_json_holds_all_of_it(context):
    tripped_by_the_ledger(context)

    result = run(context, "status", "--json")

    shown = json.loads(result.output)
    assert result.exit_code == 3
    assert (shown["state"], shown["epoch"]) == ("tripped", 1)
    assert shown["trip"]["budget"] == "all"
    assert [key["id"] for key in shown["keys_disabled"]] == ["k1", "k2"]
    assert shown["would_disable"] == []
    assert {key["id"]: key["reason"] for key in shown["left_alone"]} == {
        "k1": "already disabled by this fuse",
        "k2": "already disabled by this fuse",
        "kept": "tagged spendfuse:protect=true",
    }


@pytest.mark.parametrize("command", [["trip", "--reason", "leak"], ["restore"]])
def test_nothing_is_done_without_yes(context, command):
    if command == ["restore"]:
        tripped_by_the_ledger(context)
    before = (context.aws.enabled(), context.store.state())

    result = run(context, *command)

    assert result.exit_code == 0
    assert "Nothing was changed. Add --yes to do it." in result.output
    assert (context.aws.enabled(), context.store.state()) == before


def test_a_trip_by_hand_disables_the_keys_and_tells_people_why(context):
    result = run(context, "trip", "--reason", "leaked key", "--yes")

    assert result.exit_code == 0
    assert "Disabled 2 API keys. To undo it: spendfuse fuse restore --yes" in result.output
    assert context.aws.enabled() == ["foreign", "kept"]
    assert context.store.state().state == "tripped"
    (alert,) = context.alerts()
    assert "Cause: by hand: leaked key" in alert.details
    assert alert.budget is None


def test_a_trip_needs_a_reason(context):
    result = run(context, "trip", "--yes")

    assert result.exit_code == 2
    assert "--reason" in result.output


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("", 'it is blank; say why, such as "leaked key"'),
        (" \t", "it is blank"),
        ("x" * 201, "it has 201 characters; write 200 at most"),
    ],
)
def test_a_reason_is_a_few_words(context, reason, sentence):
    result = run(context, "trip", "--reason", reason, "--yes")

    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert context.store.state().state == "armed"


def test_a_reason_of_200_characters_is_taken(context):
    assert run(context, "trip", "--reason", "x" * 200, "--yes").exit_code == 0


def test_a_second_trip_has_nothing_to_do_and_says_so(context):
    run(context, "trip", "--reason", "leak", "--yes")
    before = (context.store.state(), context.aws.enabled())

    result = run(context, "trip", "--reason", "leak", "--yes")

    assert result.exit_code == 0
    assert "The fuse is tripped already, and every key tagged spendfuse:fuse=llm" in result.output
    assert "nothing to do" in result.output
    assert (context.store.state(), context.aws.enabled()) == before


def test_a_trip_of_a_tripped_fuse_without_keys_is_still_an_error(context):
    tripped_by_the_ledger(context)
    context.aws.keys.clear()

    result = run(context, "trip", "--reason", "leak", "--yes")

    assert result.exit_code == 1
    assert "no key is tagged spendfuse:fuse=llm" in result.output


def test_a_trip_without_keys_is_an_error_that_says_what_to_do(context):
    context.aws.keys.clear()

    result = run(context, "trip", "--reason", "leak", "--yes")

    assert result.exit_code == 1
    assert "no key is tagged spendfuse:fuse=llm: tag the keys" in result.output
    assert context.store.state().state == "armed"


def test_a_key_that_can_not_be_disabled_is_named_and_exits_with_1(context):
    context.aws.failing = {"k1"}

    result = run(context, "trip", "--reason", "leak", "--yes")

    assert result.exit_code == 1
    assert "Disabled 1 API key." in result.output
    assert "NOT disabled: name-k1 (k1): API Gateway did not answer" in result.output


def test_a_restore_prints_the_allowance_in_dollars_and_does_what_it_printed(context):
    tripped_by_the_ledger(context)

    result = run(context, "restore", "--yes")

    assert result.exit_code == 0
    assert "Enables 2 API keys:\n  api_gateway  k1  name-k1  ann" in result.output
    assert "Allowance 1: all 2026-11: trips again at $1,140.00" in result.output
    assert "Enabled 2 API keys. The fuse is armed." in result.output
    assert context.aws.enabled() == ["foreign", "k1", "k2", "kept"]
    allowance = context.store.state().allowance("all", "2026-11")
    assert allowance == Allowance("all", "2026-11", 1, 1140 * USD)
    (alert,) = context.alerts()
    assert (alert.headline, alert.budget) == ("Fuse restored: 2 API keys enabled", "all")
    assert "allowance 1: all 2026-11" in run(context, "status").output


def a_budget_in(context, zone, text=None):
    budget = Budget("all", 1000 * USD, "day", zone=zone)
    fuse = FuseDefinition("llm", "armed", ("api_gateway",), 10, 10)
    stored = DynamoOverrides(context.client("dynamodb"), "ledger")
    stored.put_definitions(Definitions("llm", (budget,), (), fuse), context.now())
    if text is not None:
        row = {"pk": {"S": "budgets"}, "sk": {"S": "definitions"}}
        row |= {"version": {"S": "v"}, "json": {"S": text}}
        context.client("dynamodb").put_item(TableName="ledger", Item=row)


def test_a_restore_goes_by_the_deployed_budget_s_zone(context):
    # It is noon in UTC, and November 22 in Kiritimati.
    a_budget_in(context, "Pacific/Kiritimati")
    days = ("2026-11-21", "2026-11-22")
    trip = TripFuse(
        context.store,
        [ApiGatewayKeys(context.aws.client)],
        lambda _: None,
        context.now,
        find_budget=lambda _: Budget("all", 1, "day", zone="Pacific/Kiritimati"),
    )
    for day in days:
        trip(replace(ORDER, period=day), cause="spent", allowance_nano_usd=100 * USD)
    result = run(context, "restore", "--yes")

    assert result.exit_code == 0
    assert context.store.state().allowances.keys() == {"all#2026-11-22"}


def test_a_restore_goes_on_without_budgets_that_it_can_t_read(context):
    a_budget_in(context, "UTC", text="{")
    tripped_by_the_ledger(context)
    result = run(context, "restore", "--yes")

    assert result.exit_code == 0
    assert "the deployed budgets can't be read, periods are UTC's" in result.output
    assert context.store.state().allowances.keys() == {"all#2026-11"}


def test_a_restore_with_nothing_to_do_says_so(context):
    result = run(context, "restore", "--yes")

    assert result.exit_code == 0
    assert result.output == "The fuse is armed, and it keeps no key disabled.\n"


def test_a_key_that_can_not_be_enabled_is_named_and_the_next_restore_gets_it(context):
    tripped_by_the_ledger(context)
    context.aws.failing = {"k1"}
    result = run(context, "restore", "--yes")
    context.aws.failing = set()

    assert result.exit_code == 1
    assert "STILL DISABLED: name-k1 (k1)" in result.output
    assert "a restore broke off" in run(context, "status").output
    assert run(context, "restore", "--yes").exit_code == 0
    assert "k1" in context.aws.enabled()


def test_news_that_can_not_be_told_is_an_error_and_the_deed_stands(context):
    tripped_by_the_ledger(context)
    context.client("sns").delete_topic(TopicArn=context.stack["AlertsTopicArn"])

    result = run(context, "restore", "--yes")

    assert result.exit_code == 1
    assert "it is done, but nobody could be told of it" in result.output
    assert context.store.state().state == "armed"


def test_a_missing_output_is_named(context):
    del context.stack["FuseName"]

    result = run(context, "status")

    assert result.exit_code == 1
    assert "no output FuseName" in result.output


@pytest.mark.parametrize("command", ["status", "trip", "restore"])
def test_help_has_an_example(context, command):
    result = run(context, command, "--help")

    assert f"spendfuse fuse {command}" in result.output


def test_a_fuse_that_is_off_is_disarmed_and_a_dry_run_says_so(context):
    context.stack["FuseMode"] = "off"

    off = run(context, "status")
    context.stack["FuseMode"] = "dry-run"
    dry = run(context, "status")

    assert off.output.startswith("fuse llm: disarmed")
    assert dry.output.startswith("fuse llm: armed")
    for shown in (off, dry):
        assert "an order is reported and disables nothing" in shown.output
