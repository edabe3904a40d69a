"""What `spendfuse estimate` and `spendfuse reach` take for deployed is what the stacks deploy."""

from __future__ import annotations

from typing import Any

import pytest
from infra.templates import Templates

from spendfuse import aws_prices, metrics
from spendfuse.cli.deployed import standing
from spendfuse.config import Config
from spendfuse.ledger import fold, share_books, tallies
from spendfuse.upkeep.bill import metric_count
from spendfuse.upkeep.cost_table import USUAL
from spendfuse.upkeep.deployment import ALARM_PACES, Deployment

STACKS = Deployment()


def function(templates: Templates, name: str) -> dict[str, Any]:
    (found,) = (
        each["Properties"]
        for each in templates.of_type("AWS::Lambda::Function").values()
        if each["Properties"]["Handler"] == f"lambdas.{name}.handler.handler"
    )
    return dict(found)


def source(templates: Templates, word: str) -> dict[str, Any]:
    """Return the event source of a function, by a part of its readable name."""
    (found,) = (
        each["Properties"]
        for name, each in templates.of_type("AWS::Lambda::EventSourceMapping").items()
        if word in name
    )
    return dict(found)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("record_usage", STACKS.record_timeout_seconds),
        ("watch_budgets", STACKS.watch_timeout_seconds),
        ("publish_gauges", STACKS.gauges_timeout_seconds),
        ("notify", STACKS.notify_timeout_seconds),
        ("trip_fuse", STACKS.trip_timeout_seconds),
    ],
)
def test_functions_have_the_memory_and_the_timeouts_that_reach_counts_with(
    templates: Templates, name: str, seconds: int
) -> None:
    deployed = function(templates, name)

    assert deployed["Timeout"] == seconds
    assert deployed["MemorySize"] == STACKS.memory_mb


def test_sources_and_queues_are_as_reach_and_estimate_count_with(templates: Templates) -> None:
    usage = source(templates, "RecordUsageQueueSource")
    stream = source(templates, "WatchBudgetsStreamSource")
    queues = templates.of_type("AWS::SQS::Queue")
    (usage_queue,) = (each for name, each in queues.items() if name == "ledger/UsageQueue")
    of_queues = [
        each
        for each in templates.of_type("AWS::Lambda::EventSourceMapping").values()
        if "sqs" in str(each).lower() or "Queue" in str(each["Properties"]["EventSourceArn"])
    ]

    assert usage["BatchSize"] == STACKS.usage_batch_packs
    assert usage["ScalingConfig"]["MaximumConcurrency"] == STACKS.record_concurrency
    # A window would be a step more of each net.
    assert "MaximumBatchingWindowInSeconds" not in usage
    assert "MaximumBatchingWindowInSeconds" not in stream
    assert stream["BatchSize"] == STACKS.watch_stream_batch
    assert usage_queue["Properties"]["VisibilityTimeout"] == STACKS.usage_visibility_seconds
    assert len(of_queues) == STACKS.polled_queues


def test_both_schedules_run_each_minute(templates: Templates) -> None:
    schedules = templates.of_type("AWS::Scheduler::Schedule").values()

    assert [each["Properties"]["ScheduleExpression"] for each in schedules] == [
        "rate(1 minute)",
        "rate(1 minute)",
    ]
    assert STACKS.schedule_seconds == 60


def test_folds_are_as_large_and_as_seldom_as_estimate_counts_with() -> None:
    assert STACKS.fold_rows == fold.MOST_ROWS
    assert tallies.SHARES_WAIT.total_seconds() == STACKS.shares_wait_seconds
    assert tallies.SHARES_LOOK.total_seconds() == STACKS.shares_look_seconds
    assert STACKS.user_books == share_books.USER_BUCKETS


def test_logs_are_kept_a_month(templates: Templates) -> None:
    groups = templates.of_type("AWS::Logs::LogGroup").values()

    assert {each["Properties"]["RetentionInDays"] for each in groups} == {STACKS.log_kept_days}


@pytest.mark.parametrize("name", ALARM_PACES)
def test_alarms_on_spend_ring_as_soon_as_reach_says(templates: Templates, name: str) -> None:
    pace = ALARM_PACES[name]
    alarms = [
        each["Properties"]
        for each in templates.of_type("AWS::CloudWatch::Alarm").values()
        if each["Properties"]["AlarmName"].startswith(f"{templates.deployment}-{name}")
        # That an anomaly is worth an incident is known before it is one.
        and not each["Properties"]["AlarmName"].endswith("-floor")
    ]

    assert alarms
    for alarm in alarms:
        assert alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) == pace.enough
        assert alarm["EvaluationPeriods"] == pace.of_last
        assert _period(alarm) == pace.period_seconds


def _period(alarm: dict[str, Any]) -> int:
    if "Period" in alarm:
        return int(alarm["Period"])
    (stat,) = (each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each)
    return int(stat["Period"])


def test_estimate_counts_the_alarms_that_are_deployed(templates: Templates, config: Config) -> None:
    alarms = [each["Properties"] for each in templates.of_type("AWS::CloudWatch::Alarm").values()]
    metrics = sum(_charged_metrics(alarm) for alarm in alarms)
    composites = templates.of_type("AWS::CloudWatch::CompositeAlarm")
    there = standing(config)

    assert there.alarm_metrics == metrics
    assert there.composite_alarms == len(composites)


def _charged_metrics(alarm: dict[str, Any]) -> int:
    if any("ANOMALY_DETECTION" in each.get("Expression", "") for each in alarm.get("Metrics", ())):
        return aws_prices.ANOMALY_ALARM_METRICS
    return max(1, sum("MetricStat" in each for each in alarm.get("Metrics", ())))


def test_estimate_and_the_dashboard_count_the_same_metrics() -> None:
    for models, features in ((0, 0), (3, 5)):
        flows = len(metrics.FLOWS) * (1 + models + features) + len(metrics.FLOWS_IN_ALL_ONLY)

        assert metric_count(2, models, features) == 2 + len(metrics.GAUGES) + flows


def test_the_table_of_the_docs_is_about_a_deployment_with_all_its_alarms(config: Config) -> None:
    there = standing(config)

    assert USUAL.alarm_metrics == there.alarm_metrics
