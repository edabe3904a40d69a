"""The five functions: what wakes them, what they are told, and what they must not have."""

import importlib
import json

import pytest
from infra.templates import Templates

from spendfuse.ledger.fold import CLAIMED

FUNCTIONS = {
    "alerts/NotifyFunction": "notify",
    "fuse/TripFuseFunction": "trip_fuse",
    "ledger/PublishGaugesFunction": "publish_gauges",
    "ledger/RecordUsageFunction": "record_usage",
    "ledger/WatchBudgetsFunction": "watch_budgets",
}


EVERY_MINUTE = ("PublishGauges", "WatchBudgets")


def sources(templates: Templates) -> dict[tuple[str, str], dict]:
    """By what is read and who reads it."""
    return {
        (
            templates.text(name.partition("/")[0], each["Properties"]["EventSourceArn"]),
            templates.text(name.partition("/")[0], each["Properties"]["FunctionName"]),
        ): each["Properties"]
        for name, each in templates.of_type("AWS::Lambda::EventSourceMapping").items()
    }


def test_there_are_five_functions_and_each_runs_its_own_handler(templates):
    handlers = {
        name: each["Properties"]["Handler"]
        for name, each in templates.of_type("AWS::Lambda::Function").items()
    }

    assert handlers == {
        name: f"lambdas.{folder}.handler.handler" for name, folder in FUNCTIONS.items()
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_given_every_setting_it_reads(templates, function):
    settings = importlib.import_module(f"lambdas.{FUNCTIONS[function]}.settings").Settings
    properties = templates.of_type("AWS::Lambda::Function")[function]["Properties"]
    # References stand for what they will be: any text will do.
    environment = {
        key: value if isinstance(value, str) else "deployed"
        for key, value in properties["Environment"]["Variables"].items()
    }

    assert settings.from_env(environment)


@pytest.mark.parametrize(
    ("function", "variables"),
    [
        (
            "alerts/NotifyFunction",
            {
                "INCIDENT_TABLE": "alerts/IncidentTable",
                "MAIL_TOPIC_ARN": "alerts/TopicsMail",
                "NOTIFY_QUEUE_URL": "alerts/NotifyQueue",
                "SLACK_WEBHOOK_SECRET": "acme/slack-webhook",
            },
        ),
        (
            "fuse/TripFuseFunction",
            {
                "FUSE_TABLE": "fuse/FuseTable",
                "ALERTS_TOPIC_ARN": "alerts/TopicsAlerts",
                "TRIPS_TOPIC_ARN": "alerts/TopicsTrips",
                "TRIP_QUEUE_URL": "fuse/TripQueue",
            },
        ),
        (
            "ledger/RecordUsageFunction",
            {
                "LEDGER_TABLE": "ledger/LedgerTable",
                "DEAD_LETTER_QUEUE_URL": "ledger/UsageQueueDeadLetters",
            },
        ),
        (
            "ledger/PublishGaugesFunction",
            {
                "LEDGER_TABLE": "ledger/LedgerTable",
                "MAIL_TOPIC_ARN": "alerts/TopicsMail",
            },
        ),
        (
            "ledger/WatchBudgetsFunction",
            {
                "LEDGER_TABLE": "ledger/LedgerTable",
                "FUSE_TABLE": "fuse/FuseTable",
                "ALERTS_TOPIC_ARN": "alerts/TopicsAlerts",
                "TRIPS_TOPIC_ARN": "alerts/TopicsTrips",
            },
        ),
    ],
)
def test_a_setting_names_the_thing_it_is_called_after(templates, function, variables):
    properties = templates.of_type("AWS::Lambda::Function")[function]["Properties"]
    stack = function.partition("/")[0]

    assert {
        key: templates.text(stack, value)
        for key, value in properties["Environment"]["Variables"].items()
    } == variables


def test_every_change_of_a_total_wakes_the_watcher(templates):
    stream = sources(templates)["ledger/LedgerTable.StreamArn", "ledger/WatchBudgetsFunction"]
    (pattern,) = [json.loads(each["Pattern"]) for each in stream["FilterCriteria"]["Filters"]]

    keys = {"pk": {"S": [{"prefix": "budget#"}]}, "sk": {"S": ["total"]}}
    assert pattern == {"dynamodb": {"Keys": keys}}
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["MaximumRetryAttempts"] == 3
    assert stream.get("Enabled", True)


@pytest.mark.parametrize("function", EVERY_MINUTE)
def test_a_function_that_looks_at_all_wakes_every_minute_by_itself(templates, function):
    schedule = templates.of_type("AWS::Scheduler::Schedule")[
        f"ledger/{function}EveryMinuteSchedule"
    ]
    properties = schedule["Properties"]

    assert properties["ScheduleExpression"] == "rate(1 minute)"
    assert properties.get("State", "ENABLED") == "ENABLED"
    target = properties["Target"]
    assert templates.text("ledger", target["Arn"]) == f"ledger/{function}Function.Arn"
    assert templates.text("ledger", target["RoleArn"]) == f"ledger/{function}EveryMinuteRole.Arn"
    assert json.loads(target["Input"]) == {"source": "schedule"}
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0


def test_a_run_of_the_gauges_is_over_before_the_next_begins(templates):
    function = templates.of_type("AWS::Lambda::Function")["ledger/PublishGaugesFunction"]

    # Two at once would publish the same figures: the fold's claim lasts for less than a minute.
    assert function["Properties"]["Timeout"] < CLAIMED.total_seconds() < 60


@pytest.mark.parametrize(
    ("queue", "function", "batch_size", "max_concurrency"),
    [
        ("ledger/UsageQueue.Arn", "ledger/RecordUsageFunction", 10, 5),
        ("alerts/NotifyQueue.Arn", "alerts/NotifyFunction", 5, 2),
        ("fuse/TripQueue.Arn", "fuse/TripFuseFunction", 1, 2),
    ],
)
def test_a_queue_is_read_so_that_only_what_failed_comes_again(
    templates, queue, function, batch_size, max_concurrency
):
    source = sources(templates)[queue, function]

    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BatchSize"] == batch_size
    assert source["ScalingConfig"] == {"MaximumConcurrency": max_concurrency}
    assert source.get("Enabled", True)


def test_nothing_else_wakes_a_function(templates):
    assert len(sources(templates)) == 4
    assert templates.of_type("AWS::Lambda::Permission") == {}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_runs_anywhere_a_new_account_may(templates, function):
    properties = templates.of_type("AWS::Lambda::Function")[function]["Properties"]

    # New accounts have ten concurrent executions in all, and none to reserve.
    assert "ReservedConcurrentExecutions" not in properties
    assert "VpcConfig" not in properties
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.14", ["arm64"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_s_logs_go_after_a_month(templates, function):
    stack = function.partition("/")[0]
    properties = templates.of_type("AWS::Lambda::Function")[function]["Properties"]
    log_group = templates.text(stack, properties["LoggingConfig"]["LogGroup"])

    kept = templates.of_type("AWS::Logs::LogGroup")[log_group]["Properties"]["RetentionInDays"]
    assert kept == 30


def test_all_functions_run_from_one_asset(templates):
    keys = {
        each["Properties"]["Code"]["S3Key"]
        for each in templates.of_type("AWS::Lambda::Function").values()
    }

    assert len(keys) == 1


def test_what_the_next_minute_does_anyway_is_not_retried(templates):
    configs = templates.of_type("AWS::Lambda::EventInvokeConfig").values()

    assert [each["Properties"]["MaximumRetryAttempts"] for each in configs] == [0, 0]
    assert len(templates.of_type("AWS::Scheduler::Schedule")) == len(configs)
