"""Each rule of the preflight, on the smallest template that breaks it and one that does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from spendfuse.errors import SettingsError
from stacks.preflight import asset_problems, check, problems

DAYS = 24 * 3600


def resource(type_: str, **properties: Any) -> dict:
    return {"Resources": {"Thing": {"Type": type_, "Properties": properties}}}


def rung(percent: float = 50, *, kind: str = "ACTUAL", topics: int = 1, emails: int = 0) -> dict:
    return {
        "Notification": {
            "NotificationType": kind,
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": percent,
            "ThresholdType": "PERCENTAGE",
        },
        "Subscribers": [
            *({"SubscriptionType": "SNS", "Address": f"topic-{n}"} for n in range(topics)),
            *({"SubscriptionType": "EMAIL", "Address": f"{n}@example.com"} for n in range(emails)),
        ],
    }


def budget(*rungs: dict, name: str = "month-0123abcd") -> dict:
    return resource(
        "AWS::Budgets::Budget",
        Budget={"BudgetName": name},
        NotificationsWithSubscribers=list(rungs),
    )


def function(**variables: Any) -> dict:
    return resource("AWS::Lambda::Function", Environment={"Variables": variables})


def queue(receives: int, visibility: int, retention: int) -> dict:
    return resource(
        "AWS::SQS::Queue",
        RedrivePolicy={"maxReceiveCount": receives},
        VisibilityTimeout=visibility,
        MessageRetentionPeriod=retention,
    )


def queue_and_function(visibility: int, timeout: int) -> dict:
    source = {"EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}, "FunctionName": {"Ref": "Reader"}}
    return {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": visibility}},
            "Reader": {"Type": "AWS::Lambda::Function", "Properties": {"Timeout": timeout}},
            "Source": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": source},
        }
    }


@pytest.mark.parametrize(
    "template",
    [
        budget(rung(topics=1, emails=10)),
        budget(*(rung(percent) for percent in range(10, 101, 10))),
        budget(rung(80), rung(80, kind="FORECASTED")),
        budget(name="n" * 100),
        function(TABLE={"Ref": "Table"}, FILE="x" * 3800),
        queue(100, 180, 14 * DAYS),
        queue_and_function(60, 60),
        {"Description": "d" * 1024},
        resource("AWS::Lambda::Function", Description="d" * 256),
    ],
)
def test_the_most_that_aws_takes_passes(template):
    assert list(problems(template)) == []


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (budget(rung(topics=2)), "ACTUAL > 50 % has 2 SNS topics and 0 e-mail addresses"),
        (budget(rung(emails=11)), "1 SNS topics and 11 e-mail addresses"),
        (budget(*(rung(percent) for percent in range(10, 111, 10))), "has 11 rungs"),
        (budget(rung(80), rung(50), rung(80.0)), "the rung ACTUAL > 80 % 2 times"),
        (budget(name="n" * 101), "(101 characters)"),
        (budget(name=""), "(0 characters)"),
        (budget(name="team:search"), "'team:search'"),
        (budget(name="team\\search"), "'team\\\\search'"),
        (budget(name="team/action/search"), "'team/action/search'"),
        (function(FILE="x" * 4096), "Lambda takes 4096"),
        (function(TABLE={"Ref": "Table"}, FILE="x" * 3900), "Lambda takes 4096"),
        (queue(1000, 3600, 14 * DAYS), "1000 receives of 3600 s take 3600000 s"),
        (queue(10, 60, 600), "SQS drops what is too old"),
        (queue_and_function(59, 60), "hides a message for 59 s and the function may run for 60 s"),
        ({"Description": "ü" * 513}, "has 1026 bytes"),
        (resource("AWS::Lambda::Function", Description="d" * 257), "has 257 characters"),
        (resource("AWS::IAM::Role", Description="d" * 1001), "has 1001 characters"),
    ],
)
def test_what_aws_would_refuse_or_lose_is_named(template, says):
    (problem,) = problems(template)

    assert says in problem


def test_a_compiled_library_can_t_go_to_lambda(tmp_path):
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "core.cpython-311-x86_64-linux-gnu.so").touch()
    (tmp_path / "fast" / "slow.py").touch()

    (problem,) = asset_problems(tmp_path)
    assert problem.startswith("fast/core.cpython-311-x86_64-linux-gnu.so: is compiled")


def written(assembly: Path, stack: str, template: dict) -> None:
    (assembly / f"{stack}.template.json").write_text(json.dumps(template))


def test_all_problems_of_all_stacks_are_reported_at_once(tmp_path):
    written(tmp_path, "acme-budgets", budget(rung(topics=2), name="a:b"))
    written(tmp_path, "acme-ledger", queue(10, 60, 600))
    (tmp_path / "asset.0123").mkdir()
    (tmp_path / "asset.0123" / "core.so").touch()

    with pytest.raises(SettingsError) as raised:
        check(tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0] == "AWS would not take this deployment:"
    assert [line.partition(":")[0].strip() for line in lines[1:]] == [
        "acme-budgets/Thing",
        "acme-budgets/Thing",
        "acme-ledger/Thing",
        "core.so",
    ]


def test_what_we_deploy_passes(templates):
    check(templates.assembly)
