"""The real CDK CLI deploys into the sandbox, and what is deployed does what it does on AWS."""

import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from e2e.sandbox_probes import eventually

from spendfuse.errors import InputError
from spendfuse.sandbox import cdk
from spendfuse.sandbox.machine import Sandbox

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[2]
APP = f"{sys.executable} {Path(__file__).parent / 'sandbox_app.py'}"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox.start(tmp_path_factory.mktemp("sandbox")) as sandbox:
        cdk.bootstrap(sandbox, project=PROJECT)
        yield sandbox


def deploy(sandbox, **context):
    output = sandbox.folder.path / "cdk.out"
    return cdk.deploy(sandbox, APP, project=PROJECT, context=context, output=output)["try"]


@pytest.fixture(scope="module")
def deployed(sandbox):
    return deploy(sandbox)


@pytest.fixture(scope="module")
def overspent(sandbox, deployed):
    return sandbox.player.spend(deployed["BudgetName"], actual_usd="960")


def budget_names(sandbox):
    budgets = sandbox.client("budgets").describe_budgets(AccountId=sandbox.running.account)
    return [each["BudgetName"] for each in budgets["Budgets"]]


# What is deployed works as on AWS


def test_a_published_message_arrives_as_mail(sandbox, overspent):
    mail = sandbox.inbox.wait_for(lambda m: "team@example.com" in m.body.get("to", ()))

    assert mail.body["subject"].startswith("AWS Budgets: try-")
    assert "ACTUAL Amount: $960.00" in mail.body["text"]


def test_the_budgets_own_mail_subscribers_get_every_rung(sandbox, overspent):
    to_the_boss = [each for each in overspent["fired"] if each["to"] == "boss@example.com"]

    assert len(to_the_boss) == 3
    assert eventually(
        lambda: (
            sum("boss@example.com" in m.body["to"] for m in sandbox.inbox.messages("email")) == 3
        )
    )


def test_a_topic_that_lets_budgets_publish_is_published_to(overspent):
    topics = [each["to"] for each in overspent["fired"] if each["to"].startswith("arn:")]

    assert [topic.split(":try-")[1][:8] for topic in topics] == ["Allowing"]


def test_what_a_policy_refuses_is_dropped_and_says_why(overspent):
    dropped = {each["to"].split(":try-")[1][:6]: each["why"] for each in overspent["dropped"]}

    assert "does not let budgets.amazonaws.com publish" in dropped["Denyin"]
    assert "denies budgets.amazonaws.com kms:Decrypt" in dropped["Locked"]


def test_a_notification_fires_once_in_a_period(sandbox, deployed, overspent):
    again = sandbox.player.spend(deployed["BudgetName"], actual_usd="970")

    assert again == {"fired": [], "dropped": []}


def test_lambdas_run_from_their_zip_with_nothing_of_ours_beside_it(sandbox, deployed, overspent):
    table = {"TableName": deployed["TableName"]}
    (item,) = eventually(lambda: sandbox.client("dynamodb").scan(**table)["Items"])

    assert "ACTUAL Amount: $960.00" in item["text"]["S"]
    assert item["sees_spendfuse"] == {"BOOL": False}
    assert item["sees_slack_sdk"] == {"BOOL": False}


def test_an_unknown_budget_is_named_with_those_there_are(sandbox, deployed):
    with pytest.raises(
        InputError, match=f"no AWS budget 'none'; there are: .*{budget_names(sandbox)[0]}"
    ):
        sandbox.player.spend("none", actual_usd="1")


# Budgets follow CloudFormation's rules


def test_a_changed_rung_under_a_hashed_name_makes_a_new_budget(sandbox, deployed, overspent):
    changed = deploy(sandbox, percent=70)

    assert changed["BudgetName"] != deployed["BudgetName"]
    assert budget_names(sandbox) == [changed["BudgetName"]]


def test_a_changed_rung_under_a_fixed_name_fails_with_cloudformations_reason(sandbox, deployed):
    deploy(sandbox, fixed_name="true")

    with pytest.raises(cdk.DeployError, match="fixed - the budget already exists"):
        deploy(sandbox, fixed_name="true", percent=60)
    assert budget_names(sandbox) == ["fixed"]


def test_a_second_topic_on_a_rung_is_refused(sandbox):
    topic = {"SubscriptionType": "SNS", "Address": "arn:aws:sns:us-east-1:111122223333:a"}
    rung = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 80,
    }
    limit = {"Amount": "1", "Unit": "USD"}
    budget = {"BudgetName": "b", "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit}

    with pytest.raises(ClientError, match="CreationLimitExceededException"):
        sandbox.client("budgets").create_budget(
            AccountId=sandbox.running.account,
            Budget=budget,
            NotificationsWithSubscribers=[
                {"Notification": rung, "Subscribers": [topic, {**topic, "Address": "b"}]}
            ],
        )
