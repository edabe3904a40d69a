"""Cost Anomaly Detection: who is told, from where on, and the one monitor an account may have."""

import json

import pytest

from spendfuse.sandbox.anomaly_checks import monitor_refusal, subscription_refusal
from stacks.topics import COST_ANOMALY

MONITOR, SUBSCRIPTION = "AWS::CE::AnomalyMonitor", "AWS::CE::AnomalySubscription"
ARN = "arn:aws:ce::123456789012:anomalymonitor/5c6f1e2a-0000-4000-8000-000000000000"


def only(templates, type_):
    (found,) = templates.of_type(type_).values()
    return found["Properties"]


@pytest.fixture(scope="module")
def with_anomalies(synthesise, block):
    return synthesise({**block, "cost_anomaly": {"impact_usd": "12.50"}})


@pytest.fixture(scope="module")
def with_a_monitor_of_theirs(synthesise, block):
    return synthesise({**block, "cost_anomaly": {"monitor_arn": ARN}})


def test_nobody_gets_it_unasked(templates):
    assert not templates.of_type(MONITOR)
    assert not templates.of_type(SUBSCRIPTION)


def test_anomalies_go_to_people_and_never_to_the_fuse(with_anomalies):
    subscription = only(with_anomalies, SUBSCRIPTION)
    told = [
        (each["Type"], with_anomalies.text("budgets", each["Address"]))
        for each in subscription["Subscribers"]
    ]

    assert told == [("SNS", "alerts/TopicsAlerts")]
    assert subscription["Frequency"] == "IMMEDIATE"


def test_they_are_told_from_the_configured_impact_on(with_anomalies):
    expression = json.loads(only(with_anomalies, SUBSCRIPTION)["ThresholdExpression"])

    assert expression["Dimensions"] == {
        "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
        "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
        "Values": ["12.50"],
    }


def test_the_monitor_looks_at_each_service(with_anomalies):
    monitor = only(with_anomalies, MONITOR)
    (watched,) = only(with_anomalies, SUBSCRIPTION)["MonitorArnList"]

    assert (monitor["MonitorType"], monitor["MonitorDimension"]) == ("DIMENSIONAL", "SERVICE")
    assert with_anomalies.text("budgets", watched) == "budgets/CostAnomalyMonitor.MonitorArn"


def test_a_changed_tag_does_not_replace_the_monitor(with_anomalies):
    # AWS makes the new one first, and refuses it: an account has one monitor of its services.
    assert "ResourceTags" not in only(with_anomalies, MONITOR)


def test_a_monitor_that_is_there_already_is_used(with_a_monitor_of_theirs):
    assert not with_a_monitor_of_theirs.of_type(MONITOR)
    assert only(with_a_monitor_of_theirs, SUBSCRIPTION)["MonitorArnList"] == [ARN]


@pytest.mark.parametrize("variant", ["with_anomalies", "with_a_monitor_of_theirs"])
def test_aws_takes_what_is_made(request, variant):
    templates = request.getfixturevalue(variant)
    subscription = only(templates, SUBSCRIPTION)

    assert subscription_refusal(subscription) is None
    for each in templates.of_type(MONITOR).values():
        assert monitor_refusal(each["Properties"]) is None


def test_the_budgets_stack_is_there_for_anomalies_alone(synthesise, block):
    templates = synthesise({**block, "aws_budgets": [], "cost_anomaly": {}})
    types = {each["Type"] for each in templates.stacks["budgets"]["Resources"].values()}

    assert types == {MONITOR, SUBSCRIPTION}


def test_it_is_gone_when_neither_is_asked_for(synthesise, block):
    assert "budgets" not in synthesise({**block, "aws_budgets": []}).stacks


def test_anomaly_detection_may_publish_and_use_the_key(with_anomalies):
    policies = [
        each["Properties"]["PolicyDocument"]
        for each in with_anomalies.of_type("AWS::SNS::TopicPolicy").values()
        if "TopicsAlerts" in json.dumps(each["Properties"]["Topics"])
    ]
    keys = [
        each["Properties"]["KeyPolicy"] for each in with_anomalies.of_type("AWS::KMS::Key").values()
    ]

    for policy in (*policies, *keys):
        assert any(
            COST_ANOMALY in str(statement["Principal"])
            for statement in policy["Statement"]
            if statement["Effect"] == "Allow"
        )
    assert len(policies) == len(keys) == 1
