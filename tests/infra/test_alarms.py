"""Each alarm looks at what is published, rings when it should, and tells those who should hear."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from infra.templates import Templates, alarms_of

from spendfuse import metrics
from spendfuse.config import load
from spendfuse.config.schema import AlarmsBlock
from stacks.alarms import Alarms
from stacks.function import Function
from stacks.queue import QueueWithDeadLetters
from stacks.topics import Topics
from stacks.watched import Watched

LEDGER = (metrics.NAMESPACE, {"Deployment": "acme"})


def of_budget(name: str) -> tuple[str, dict[str, str]]:
    return metrics.NAMESPACE, {"Deployment": "acme", "Budget": name}


def of_queue(name: str) -> tuple[str, dict[str, str]]:
    return "AWS/SQS", {"QueueName": f"{name}.QueueName"}


def of_function(name: str) -> tuple[str, dict[str, str]]:
    return "AWS/Lambda", {"FunctionName": f"{name}Function"}


def of_topic(name: str) -> tuple[str, dict[str, str]]:
    return "AWS/SNS", {"TopicName": f"alerts/Topics{name}.TopicName"}


GREATER, AT_LEAST, LESS = (
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
)
FUNCTIONS = {
    "record-usage": "ledger/RecordUsage",
    "watch-budgets": "ledger/WatchBudgets",
    "publish-gauges": "ledger/PublishGauges",
    "notify": "alerts/Notify",
    "trip-fuse": "fuse/TripFuse",
}
QUEUES = {"usage": "ledger/UsageQueue", "notify": "alerts/NotifyQueue", "trip": "fuse/TripQueue"}

# Where it looks, how it sums a period up, when it rings (M of N), and what no data means.
EXPECTED: dict[str, tuple[Any, ...]] = {
    "high-daily-cost": (*LEDGER, "DayToDateUSD", "Maximum", 60, GREATER, 100, (1, 1), "ignore"),
    "hourly-spend": (*LEDGER, "HourlyUSD", "Maximum", 60, GREATER, 20, (1, 5), "ignore"),
    "spend-anomaly-floor": (*LEDGER, "HourlyUSD", "Maximum", 60, AT_LEAST, 1, (1, 1), "ignore"),
    "budget-used-all-warning": (
        *(*of_budget("all"), "BudgetUsedPercent", "Maximum", 60, AT_LEAST, 80, (1, 1), "ignore"),
    ),
    "budget-used-all-critical": (
        *(*of_budget("all"), "BudgetUsedPercent", "Maximum", 60, AT_LEAST, 100, (1, 1), "ignore"),
    ),
    "expensive-request": (
        *(*LEDGER, "DearestRequestUSD", "Maximum", 60, AT_LEAST, 0.05, (1, 15), "notBreaching"),
    ),
    "error-rate": (*LEDGER, "ErrorPercent", "Maximum", 60, AT_LEAST, 10, (2, 3), "ignore"),
    "latency-p95": (*LEDGER, "LatencyMs", "p95", 900, AT_LEAST, 10_000, (1, 1), "ignore"),
    "metering-silent": (
        *(*LEDGER, "MinutesSinceUsage", "Maximum", 60, AT_LEAST, 60, (1, 1), "ignore"),
    ),
    "unmetered-use": (
        *(*LEDGER, "UnmeteredTokens", "Maximum", 900, AT_LEAST, 100_000, (1, 1), "ignore"),
    ),
    "unconfirmed-emails": (
        *(*LEDGER, "UnconfirmedEmails", "Maximum", 900, AT_LEAST, 1, (4, 4), "ignore"),
    ),
    "heartbeat-gauges": (*LEDGER, "Heartbeat", "SampleCount", 60, LESS, 1, (5, 5), "breaching"),
    "heartbeat-watch-budgets": (
        *of_function("ledger/WatchBudgets"),
        *("Invocations", "Sum", 60, LESS, 1, (5, 5), "breaching"),
    ),
    "stream-lag": (
        *of_function("ledger/WatchBudgets"),
        *("IteratorAge", "Maximum", 60, AT_LEAST, 120_000, (3, 3), "notBreaching"),
    ),
    **{
        f"dead-letters-{name}": (
            *of_queue(f"{queue}DeadLetters"),
            *("ApproximateNumberOfMessagesVisible", "Maximum", 60, GREATER, 0, (1, 1), "ignore"),
        )
        for name, queue in QUEUES.items()
    },
    **{
        f"queue-age-{name}": (
            *of_queue(queue),
            *("ApproximateAgeOfOldestMessage", "Maximum", 60, AT_LEAST, 600, (3, 3)),
            "notBreaching",
        )
        for name, queue in QUEUES.items()
    },
    **{
        f"function-errors-{name}": (
            *of_function(function),
            *("Errors", "Sum", 300, GREATER, 0, (2, 3), "ignore"),
        )
        for name, function in FUNCTIONS.items()
    },
    "function-errors-trip-fuse": (
        *of_function("fuse/TripFuse"),
        *("Errors", "Sum", 60, GREATER, 0, (1, 1), "ignore"),
    ),
    **{
        f"function-throttles-{name}": (
            *of_function(function),
            *("Throttles", "Sum", 300, GREATER, 0, (2, 3), "ignore"),
        )
        for name, function in FUNCTIONS.items()
    },
    **{
        f"delivery-failures-{name.lower()}": (
            *of_topic(name),
            *("NumberOfNotificationsFailed", "Sum", 300, GREATER, 0, (1, 1), "notBreaching"),
        )
        for name in ("Alerts", "Trips", "Mail")
    },
    **{
        f"delivery-failures-{name.lower()}-lost": (
            *of_topic(name),
            *("NumberOfNotificationsFailedToRedriveToDlq", "Sum", 300, GREATER, 0, (1, 1)),
            "notBreaching",
        )
        for name in ("Alerts", "Trips")
    },
}
ON_SEVERAL_METRICS = {"spend-anomaly", *(f"queue-stuck-{name}" for name in QUEUES)}
BESIDE_A_RUNG = {"budget-used-all-warning"}
OF_THE_INCIDENT = {
    *("high-daily-cost", "hourly-spend", "spend-anomaly", "spend-anomaly-floor"),
    "budget-used-all-critical",
}
ABOUT_NOTIFY = {
    "dead-letters-notify",
    "queue-age-notify",
    "queue-stuck-notify",
    "function-errors-notify",
    "function-throttles-notify",
    "delivery-failures-alerts",
    "delivery-failures-alerts-lost",
}
CRITICAL = {
    "spend-incident",
    "high-daily-cost",
    "hourly-spend",
    "budget-used-all-critical",
    "heartbeat-gauges",
    "heartbeat-watch-budgets",
    "dead-letters-notify",
    "dead-letters-trip",
    "queue-stuck-notify",
    "queue-stuck-trip",
    "function-errors-trip-fuse",
    "delivery-failures-alerts-lost",
    "delivery-failures-trips-lost",
}


@pytest.fixture(scope="module")
def alarms(templates: Templates) -> dict[str, Mapping[str, Any]]:
    return alarms_of(templates.stacks["monitoring"])


def seen(templates: Templates, alarm: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        alarm["Namespace"],
        {each["Name"]: templates.text("monitoring", each["Value"]) for each in alarm["Dimensions"]},
        alarm["MetricName"],
        alarm.get("Statistic") or alarm["ExtendedStatistic"],
        alarm["Period"],
        alarm["ComparisonOperator"],
        alarm["Threshold"],
        (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]),
        alarm["TreatMissingData"],
    )


def test_these_alarms_are_made_and_no_others(alarms):
    assert set(alarms) == {*EXPECTED, *ON_SEVERAL_METRICS, "spend-incident"}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_alarm_looks_where_it_should_and_rings_when_it_should(templates, alarms, name):
    assert seen(templates, alarms[name]) == EXPECTED[name]


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_is_stuck_when_less_than_half_of_what_is_received_is_done(templates, alarms, queue):
    alarm = alarms[f"queue-stuck-{queue}"]
    looked_at = {each["Id"]: each for each in alarm["Metrics"]}
    stats = [looked_at[name]["MetricStat"] for name in ("received", "deleted")]

    assert looked_at["expr_1"]["Expression"] == "FILL(received, 0) - 2 * FILL(deleted, 0)"
    assert [each["Metric"]["MetricName"] for each in stats] == [
        "NumberOfMessagesReceived",
        "NumberOfMessagesDeleted",
    ]
    for each in stats:
        assert (each["Period"], each["Stat"]) == (600, "Sum")
        (dimension,) = each["Metric"]["Dimensions"]
        assert templates.text("monitoring", dimension["Value"]) == f"{QUEUES[queue]}.QueueName"
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (GREATER, 0)
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 2)


def test_an_anomaly_is_an_hour_above_the_band_of_a_model_of_its_own(templates, alarms):
    alarm = alarms["spend-anomaly"]
    (detector,) = templates.of_type("AWS::CloudWatch::AnomalyDetector").values()
    looked_at = {each["Id"]: each for each in alarm["Metrics"]}
    band = looked_at.pop(alarm["ThresholdMetricId"])
    (metric,) = looked_at.values()
    stat = metric["MetricStat"]

    assert alarm["ComparisonOperator"] == "GreaterThanUpperThreshold"
    assert band["Expression"] == f"ANOMALY_DETECTION_BAND({metric['Id']}, 3)"
    # Any of these otherwise, and the band would come of another model.
    assert detector["Properties"] == {**stat["Metric"], "Stat": stat["Stat"]}
    assert (stat["Metric"]["MetricName"], stat["Stat"]) == (metrics.HOURLY_USD, "Maximum")
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (3, 3)
    assert alarm["TreatMissingData"] == "ignore"


def test_a_percentile_of_few_requests_changes_nothing(alarms):
    few = {name for name, each in alarms.items() if each.get("EvaluateLowSampleCountPercentile")}

    assert few == {"latency-p95"}
    assert alarms["latency-p95"]["EvaluateLowSampleCountPercentile"] == "ignore"


def test_what_alarms_look_at_is_what_the_ledger_publishes(alarms):
    published = {value for name, value in vars(metrics).items() if name.isupper()}
    dimensions = {metrics.DEPLOYMENT, metrics.BUDGET}
    ours = [each for each in alarms.values() if each.get("Namespace") == metrics.NAMESPACE]

    assert len(ours) == 12
    for alarm in ours:
        assert alarm["MetricName"] in published
        assert {each["Name"] for each in alarm["Dimensions"]} <= dimensions


def test_no_alarm_rings_before_there_is_data_but_the_heartbeat(alarms):
    breaching = {
        name for name, each in alarms.items() if each.get("TreatMissingData") == "breaching"
    }

    assert breaching == {"heartbeat-gauges", "heartbeat-watch-budgets"}


def test_the_heartbeats_are_made_last_so_that_there_is_something_to_hear(templates):
    made = {
        id_: each
        for id_, each in templates.stacks["monitoring"]["Resources"].items()
        if each["Type"].endswith("Alarm")
    }
    of_functions = {id_ for id_ in made if id_.startswith("AlarmsFunctions")}
    heartbeats = {id_ for id_ in made if "Heartbeat" in id_}

    assert len(heartbeats) == 2
    for each in heartbeats:
        assert set(made[each]["DependsOn"]) >= made.keys() - of_functions


def test_one_cause_rings_once(templates, alarms):
    composite = alarms["spend-incident"]
    ids = {
        f"monitoring/{logical_id}": each["Properties"]["AlarmName"].removeprefix("acme-")
        for logical_id, each in templates.stacks["monitoring"]["Resources"].items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }
    separator, parts = composite["AlarmRule"]["Fn::Join"]
    rule = separator.join(
        part if isinstance(part, str) else ids[f"monitoring/{part['Fn::GetAtt'][0]}"]
        for part in parts
    )

    assert rule == (
        '(ALARM("high-daily-cost") OR ALARM("hourly-spend") '
        'OR (ALARM("spend-anomaly") AND ALARM("spend-anomaly-floor")) '
        'OR ALARM("budget-used-all-critical"))'
    )
    for name in OF_THE_INCIDENT:
        assert not alarms[name].get("AlarmActions")
        assert not alarms[name].get("OKActions")


def test_people_hear_of_each_alarm_and_of_its_end(templates, alarms):
    for name, alarm in alarms.items():
        if name in OF_THE_INCIDENT | BESIDE_A_RUNG:
            continue
        heard = [templates.text("monitoring", each) for each in alarm["AlarmActions"]]
        expected = ["alerts/TopicsAlerts", "alerts/TopicsMail"][: 1 + (name in ABOUT_NOTIFY)]

        assert heard == expected, name
        # CloudWatch says OK of every alarm once it has data: as JSON by mail that would be noise.
        assert alarm["OKActions"] == alarm["AlarmActions"][:1], name
        assert not alarm.get("InsufficientDataActions")
        assert alarm.get("ActionsEnabled", True)


def test_the_grave_ones_say_so_on_a_line_of_its_own(alarms):
    said = {
        name
        for name, each in alarms.items()
        if "Severity: critical" in each["AlarmDescription"].splitlines()
    }

    assert said == CRITICAL


def test_every_window_and_text_is_within_cloudwatch_s_limits(alarms):
    for name, alarm in alarms.items():
        periods = [alarm["Period"]] if "Period" in alarm else []
        periods += [
            each["MetricStat"]["Period"]
            for each in alarm.get("Metrics", ())
            if "MetricStat" in each
        ]
        for period in periods:
            assert period * alarm["EvaluationPeriods"] <= 86_400, name
            assert period % 60 == 0
        assert len(alarm["AlarmDescription"]) <= 1024
        assert len(alarm["AlarmName"]) <= 255


@dataclass(frozen=True)
class Parts:
    """What alarms look at, as cheaply as can be."""

    topics: Topics
    watched: Watched


def parts(stack: Stack, asset: Path) -> Parts:
    topics = Topics(stack, "Topics")

    def function(name: str) -> Function:
        return Function(
            stack,
            name,
            name=name,
            description=name,
            asset=asset,
            environment={},
            timeout=Duration.seconds(1),
            grants=[],
        )

    names = ("record_usage", "watch_budgets", "publish_gauges", "notify", "trip_fuse")
    return Parts(
        topics,
        Watched(
            functions={name: function(name) for name in names},
            removable={},
            queues={
                name: QueueWithDeadLetters(stack, f"{name}-queue", visibility=Duration.minutes(1))
                for name in QUEUES
            },
            topics={"alerts": topics.alerts, "trips": topics.trips, "mail": topics.mail},
            tables={},
        ),
    )


Variants = Callable[[Mapping[str, dict[str, Any]]], dict[str, dict[str, Mapping[str, Any]]]]


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory, flags: dict[str, Any]) -> Variants:
    """Synthesise the alarms of several ``spendfuse`` blocks at once, by any names."""

    def make(blocks: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
        asset, outdir = tmp_path_factory.mktemp("asset"), tmp_path_factory.mktemp("variants")
        (asset / "empty.py").touch()
        app = App(outdir=str(outdir), context=flags)
        for name, block in blocks.items():
            config = load({"spendfuse": block})
            stack = Stack(app, name)
            made = parts(stack, asset)
            Alarms(
                stack,
                "Alarms",
                deployment=config.deployment,
                topics=made.topics,
                watched=made.watched,
                budgets=config.definitions.budgets,
                figures=config.alarms,
                mails=bool(config.emails),
            )
        app.synth()
        files = {name: outdir / f"{name}.template.json" for name in blocks}
        return {name: alarms_of(json.loads(file.read_text())) for name, file in files.items()}

    return make


SWITCHES = {
    "high_daily_cost": "high-daily-cost",
    "hourly_spend": "hourly-spend",
    "budget_used": "budget-used",
    "expensive_request": "expensive-request",
    "error_rate": "error-rate",
    "latency_p95": "latency-p95",
    "spend_anomaly": "spend-anomaly",
    "metering_silent": "metering-silent",
    "unmetered_use": "unmetered-use",
    "dead_letters": "dead-letters",
    "function_errors": "function-errors",
    "function_throttles": "function-throttles",
    "stream_lag": "stream-lag",
    "queue_age": "queue-age",
    "queue_stuck": "queue-stuck",
    "delivery_failures": "delivery-failures",
    "unconfirmed_emails": "unconfirmed-emails",
    "heartbeat": "heartbeat",
    "spend_incident": "spend-incident",
}


def test_each_alarm_can_be_switched_off_and_takes_no_other_with_it(variants, block, alarms):
    off = variants(
        {name: {**block, "alarms": {key: False}} for key, name in SWITCHES.items()},
    )

    for name, left in off.items():
        gone = {each for each in alarms if each.startswith(name)}
        assert gone
        if name == "spend-incident":
            gone.add("spend-anomaly-floor")  # Without the incident it says nothing to anybody.
        assert set(left) == set(alarms) - gone


def test_the_switches_are_all_that_the_configuration_knows():
    assert SWITCHES.keys() == AlarmsBlock.model_fields.keys() - {"runbooks"}


def test_an_alarm_without_the_incident_rings_by_itself(variants, block, alarms):
    alone = variants({"alone": {**block, "alarms": {"spend_incident": False}}})["alone"]

    for name in OF_THE_INCIDENT - {"spend-anomaly-floor"}:
        assert len(alone[name]["AlarmActions"]) == len(alone[name]["OKActions"]) == 1
    for name in OF_THE_INCIDENT - {"spend-anomaly", "spend-anomaly-floor"}:
        assert alone[name]["Threshold"] == alarms[name]["Threshold"]


def test_an_incident_of_nothing_is_not_made(variants, block):
    keys = ("high_daily_cost", "hourly_spend", "spend_anomaly", "budget_used")
    none = variants({"none": {**block, "alarms": dict.fromkeys(keys, False)}})["none"]

    assert "spend-incident" not in none


# What is edited, and then the alarm's threshold and what it says.
EDITS: dict[str, tuple[dict[str, Any], float, str]] = {
    "high-daily-cost": ({"high_daily_cost": {"usd": "7.25"}}, 7.25, "More than $7.25 "),
    "hourly-spend": ({"hourly_spend": {"usd": 1500}}, 1500, "More than $1,500 "),
    "budget-used-all-warning": ({"budget_used": {"warning_percent": 66}}, 66, " 66 % "),
    "budget-used-all-critical": ({"budget_used": {"critical_percent": 120}}, 120, " 120 % "),
    "expensive-request": ({"expensive_request": {"usd": "0.000001"}}, 1e-6, "$0.000001 "),
    "error-rate": ({"error_rate": {"percent": 33}}, 33, "33 %"),
    "latency-p95": ({"latency_p95": {"ms": 2500}}, 2500, "2,500 ms"),
    "metering-silent": ({"metering_silent": {"minutes": 90}}, 90, "90 minutes"),
    "unmetered-use": ({"unmetered_use": {"tokens_an_hour": 5}}, 5, "5 tokens"),
    "stream-lag": ({"stream_lag": {"seconds": 30}}, 30_000, "30 seconds"),
    "queue-age-trip": ({"queue_age": {"seconds": 45}}, 45, "45 seconds"),
}


def test_a_figure_in_the_context_is_the_alarm_s_and_no_other_s(variants, block, alarms):
    edited = variants({name: {**block, "alarms": edit} for name, (edit, *_) in EDITS.items()})

    for name, (_, threshold, says) in EDITS.items():
        assert edited[name][name]["Threshold"] == threshold
        assert says in edited[name][name]["AlarmDescription"]
        for other in set(EDITS) - {name}:
            assert edited[name][other]["Threshold"] == alarms[other]["Threshold"]


def test_the_band_and_the_runbooks_are_the_context_s(variants, block):
    edit = {
        "spend_anomaly": {"band": 2.5, "usd": "7.5"},
        "runbooks": "https://wiki.example.com/llm/",
    }
    edited = variants({"edited": {**block, "alarms": edit}})["edited"]
    expressions = [each.get("Expression") for each in edited["spend-anomaly"]["Metrics"]]

    assert any(str(each).endswith(", 2.5)") for each in expressions)
    assert edited["spend-anomaly-floor"]["Threshold"] == 7.5
    assert edited["heartbeat-gauges"]["AlarmDescription"].endswith(
        "\nRunbook: https://wiki.example.com/llm/heartbeat.md"
    )


def test_without_addresses_nobody_can_have_failed_to_confirm(variants, block):
    alerts = {"slack": block["alerts"]["slack"]}

    assert "unconfirmed-emails" not in variants({"none": {**block, "alerts": alerts}})["none"]


def test_a_budget_for_each_user_has_no_alarm_and_any_other_has_two(variants, block):
    budgets = [
        {"name": "all", "limit_usd": 1000},
        {"name": "a.b", "limit_usd": 10, "match": {"team": "x"}},
        {"name": "a-b", "limit_usd": 10, "match": {"team": "y"}},
        {"name": "a_b", "limit_usd": 10, "period": "total", "match": {"team": "z"}},
        {"name": "user-day", "limit_usd": 1, "per": "user"},
    ]
    made = variants({"several": {**block, "budgets": budgets}})["several"]
    used = {name.removeprefix("budget-used-") for name in made if name.startswith("budget-used-")}

    assert used == {
        f"{name}-{part}"
        for name in ("all", "a.b", "a-b", "a_b")
        for part in ("warning", "critical")
    }


def test_an_alarm_beside_a_rung_of_its_percentage_leaves_it_to_the_ladder(variants, block):
    budgets = [
        {"name": "all", "limit_usd": 1000, "ladder": [50, 100]},
        {"name": "a", "limit_usd": 10, "match": {"team": "x"}, "ladder": [50, 100]},
        {"name": "b", "limit_usd": 10, "match": {"team": "y"}, "ladder": [50, 80, 110]},
    ]
    made = variants({"ladders": {**block, "budgets": budgets}})["ladders"]
    used = {name: each for name, each in made.items() if name.startswith("budget-used-")}

    # The root's critical one is spoken for by the incident, all the same.
    assert {name for name, each in used.items() if each.get("AlarmActions")} == {
        "budget-used-all-warning",
        "budget-used-a-warning",
        "budget-used-b-critical",
    }


def test_the_most_and_the_longest_names_are_within_the_limits(variants, block):
    roots = [{"name": "r" * 63, "limit_usd": 1}]
    others = [
        {"name": f"{number:0>63}", "limit_usd": 1, "match": {"team": f"{number}"}}
        for number in range(99)
    ]
    runbooks = "https://wiki.example.com/" + "x" * 375
    long = {
        **block,
        "name": "d" * 63,
        "budgets": roots + others,
        "alarms": {"runbooks": runbooks},
    }
    made = variants({"long": long})["long"]

    assert sum("budget-used" in name for name in made) == 200
    for alarm in made.values():
        assert len(alarm["AlarmName"]) <= 255
        assert len(alarm["AlarmDescription"]) <= 1024


def test_two_stages_share_no_alarm_s_name(synthesise, block):
    stages = {"dev": {"tags": {"Environment": "development"}}}
    prod, dev = (
        {
            each["Properties"]["AlarmName"]
            for _, each in synthesise({**block, **over}).resources()
            if each["Type"].startswith("AWS::CloudWatch::") and "AlarmName" in each["Properties"]
        }
        for over in ({}, {"name": "acme-dev", "tags": {**block["tags"], **stages["dev"]["tags"]}})
    )

    assert len(prod) == len(dev)
    assert not prod & dev


def test_what_may_be_taken_away_is_referred_to_by_no_other_stack(synthesise, block):
    # CloudFormation would refuse to take meter_bedrock away while another stack imports its name.
    templates = synthesise({**block, "bedrock_log": {}})
    others = {name: each for name, each in templates.stacks.items() if name != "ledger"}
    exported = json.dumps(templates.stacks["ledger"].get("Outputs", {}))
    own = alarms_of(templates.stacks["ledger"])

    assert set(own) == {"function-errors-meter-bedrock", "function-throttles-meter-bedrock"}
    assert "BedrockMeter" not in exported
    assert "BedrockMeterFunction" not in json.dumps(others)
    for alarm in own.values():
        (topic,) = alarm["AlarmActions"]
        assert templates.text("ledger", topic) == "alerts/TopicsAlerts"
    # The dashboard shows them nonetheless, by the names that they will have.
    dashboards = json.dumps(list(templates.of_type("AWS::CloudWatch::Dashboard").values()))
    assert all(f":alarm:acme-{name}" in dashboards for name in own)
