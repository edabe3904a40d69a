import json

import pytest

from spendfuse.sandbox.anomaly_checks import monitor_refusal, subscription_refusal

TOPIC = {"Type": "SNS", "Address": "arn:aws:sns:us-east-1:123456789012:alerts"}
EMAIL = {"Type": "EMAIL", "Address": "finops@example.com"}
MONITOR = {
    "MonitorName": "services",
    "MonitorType": "DIMENSIONAL",
    "MonitorDimension": "SERVICE",
}


def threshold(key="ANOMALY_TOTAL_IMPACT_ABSOLUTE", options="GREATER_THAN_OR_EQUAL", value="20"):
    return {"Dimensions": {"Key": key, "MatchOptions": [options], "Values": [value]}}


def a_subscription(**changes):
    return {
        "SubscriptionName": "acme",
        "Frequency": "IMMEDIATE",
        "MonitorArnList": ["arn:aws:ce::123456789012:anomalymonitor/1"],
        "Subscribers": [TOPIC],
        "ThresholdExpression": json.dumps(threshold()),
        **changes,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Frequency": "DAILY", "Subscribers": [EMAIL] * 10},
        {"ThresholdExpression": None, "Threshold": 20},
        {"ThresholdExpression": json.dumps({"And": [threshold(), threshold(value="1.5")]})},
    ],
)
def test_what_aws_takes_is_taken(changes):
    assert subscription_refusal(a_subscription(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Subscribers": [EMAIL]}, "one SNS topic"),
        ({"Subscribers": [TOPIC, TOPIC]}, "one SNS topic"),
        ({"Subscribers": []}, "Subscribers"),
        ({"Frequency": "DAILY"}, "e-mail"),
        ({"Frequency": "WEEKLY", "Subscribers": [EMAIL] * 11}, "e-mail"),
        ({"Frequency": "HOURLY"}, "IMMEDIATE, DAILY or WEEKLY"),
        ({"Threshold": 20}, "not both"),
        ({"ThresholdExpression": None}, "one of Threshold"),
        ({"ThresholdExpression": "{"}, "no JSON"),
        ({"ThresholdExpression": "[]"}, "no JSON object"),
        ({"ThresholdExpression": json.dumps(threshold(key="SERVICE"))}, "Key"),
        ({"ThresholdExpression": json.dumps(threshold(options="EQUALS"))}, "MatchOptions"),
        ({"ThresholdExpression": json.dumps(threshold(value=20))}, "as text"),
        ({"ThresholdExpression": json.dumps(threshold(value="much"))}, "as text"),
        ({"ThresholdExpression": json.dumps(threshold(value="10000000001"))}, "as text"),
        ({"MonitorArnList": []}, "MonitorArnList"),
        ({"SubscriptionName": ""}, "SubscriptionName"),
    ],
)
def test_what_aws_refuses_is_refused(changes, why):
    assert why in str(subscription_refusal(a_subscription(**changes)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"MonitorName": ""}, "MonitorName"),
        ({"MonitorType": "SERVICE"}, "MonitorType"),
        ({"MonitorDimension": None}, "MonitorDimension"),
        ({"MonitorDimension": "TAG"}, "MonitorSpecification"),
        ({"MonitorSpecification": "{}"}, "MonitorSpecification"),
    ],
)
def test_a_monitor_looks_at_one_dimension(changes, why):
    refused = monitor_refusal({**MONITOR, **changes})

    assert (refused is None) if why is None else why in str(refused)
