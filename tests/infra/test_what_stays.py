"""What is stateful: its logical ids, which must never change, and that it is retained."""

import json

import pytest
from aws_tables import aws
from guard_table import TABLE, make_guard_table
from infra.templates import Templates
from moto import mock_aws

from spendfuse.guard.stores.dynamodb_items import HELD_INDEX

STATEFUL = ("AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SNS::Topic", "AWS::SQS::Queue")
FOURTEEN_DAYS = 14 * 24 * 3600


def stateful(templates: Templates) -> dict[str, dict]:
    return {
        f"{stack}/{logical_id}": resource
        for stack, template in templates.stacks.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] in STATEFUL
    }


def test_logical_ids_are_final(templates):
    # A new id makes CloudFormation make a new thing, and leave or lose the old one's contents.
    assert set(stateful(templates)) == {
        "alerts/IncidentTable8CE1664B",
        "alerts/NotifyQueue6D540435",
        "alerts/NotifyQueueDeadLetters6B046C24",
        "alerts/TopicsAlerts790CC8DD",
        "alerts/TopicsKey64CE8550",
        "alerts/TopicsMail83A38BF0",
        "alerts/TopicsTrips2611A00C",
        "fuse/FuseTableB54B7C78",
        "fuse/TripQueueC7AC9896",
        "fuse/TripQueueDeadLetters07D58691",
        "ledger/GuardTable038B5480",
        "ledger/LedgerTable38A58B60",
        "ledger/UsageQueue61A750B2",
        "ledger/UsageQueueDeadLetters4CD10A24",
    }


@pytest.mark.parametrize("type_", ["AWS::DynamoDB::Table", "AWS::KMS::Key"])
def test_money_records_and_key_survive_a_destroy(templates, type_):
    resources = templates.of_type(type_)

    assert resources
    for resource in resources.values():
        assert resource["DeletionPolicy"] == "Retain"
        assert resource["UpdateReplacePolicy"] == "Retain"


def test_every_table_is_recoverable_and_paid_by_use(templates):
    tables = templates.of_type("AWS::DynamoDB::Table")

    assert set(tables) == {
        "alerts/IncidentTable",
        "fuse/FuseTable",
        "ledger/GuardTable",
        "ledger/LedgerTable",
    }
    for table in tables.values():
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["PointInTimeRecoverySpecification"] == {
            "PointInTimeRecoveryEnabled": True
        }
        assert [each["AttributeName"] for each in properties["KeySchema"]] == ["pk", "sk"]
        assert properties["TimeToLiveSpecification"] == {
            "AttributeName": "expires_at",
            "Enabled": True,
        }


def test_the_guards_table_is_indexed_as_the_store_asks_for_it(templates):
    properties = templates.of_type("AWS::DynamoDB::Table")["ledger/GuardTable"]["Properties"]

    with mock_aws():
        make_guard_table()
        made = aws("dynamodb").describe_table(TableName=TABLE)["Table"]
    (index,) = properties["GlobalSecondaryIndexes"]
    (expected,) = made["GlobalSecondaryIndexes"]
    assert index["IndexName"] == expected["IndexName"] == HELD_INDEX
    assert index["KeySchema"] == expected["KeySchema"]
    assert index["Projection"] == expected["Projection"]
    assert properties["KeySchema"] == made["KeySchema"]
    types = {each["AttributeName"]: each for each in made["AttributeDefinitions"]}
    assert {each["AttributeName"]: each for each in properties["AttributeDefinitions"]} == types


def test_the_ledger_streams_keys_and_the_other_tables_nothing(templates):
    streams = {
        name: each["Properties"].get("StreamSpecification", {}).get("StreamViewType")
        for name, each in templates.of_type("AWS::DynamoDB::Table").items()
    }

    assert streams == {
        "alerts/IncidentTable": None,
        "fuse/FuseTable": None,
        "ledger/GuardTable": None,
        "ledger/LedgerTable": "KEYS_ONLY",
    }


def test_nothing_has_a_name_of_our_own(templates):
    # A named thing can't be replaced, and two deployments would fight over it.
    for name, resource in templates.resources():
        given = set(resource.get("Properties", {})) & {
            "FunctionName" if resource["Type"] == "AWS::Lambda::Function" else "",
            "LogGroupName",
            "ManagedPolicyName",
            "QueueName",
            "RoleName",
            "TableName",
            "TopicName",
        }

        assert not given, name


def test_every_queue_keeps_its_failures_for_fourteen_days(templates):
    queues = templates.of_type("AWS::SQS::Queue")

    assert len(queues) == 6
    for name, queue in queues.items():
        properties = queue["Properties"]
        assert properties["MessageRetentionPeriod"] == FOURTEEN_DAYS
        assert properties["SqsManagedSseEnabled"] is True
        if not name.endswith("DeadLetters"):
            dead_letters = properties["RedrivePolicy"]["deadLetterTargetArn"]
            target = templates.text(name.partition("/")[0], dead_letters)
            assert target == f"{name}DeadLetters.Arn"


def test_a_message_is_dead_lettered_long_before_sqs_would_drop_it(templates):
    for queue in templates.of_type("AWS::SQS::Queue").values():
        properties = queue["Properties"]
        receives = properties.get("RedrivePolicy", {}).get("maxReceiveCount", 0)
        spent = receives * properties.get("VisibilityTimeout", 30)

        assert spent <= properties["MessageRetentionPeriod"] / 2


def test_nobody_reaches_a_queue_without_tls(templates):
    for name, policy in templates.of_type("AWS::SQS::QueuePolicy").items():
        denied = [
            each
            for each in policy["Properties"]["PolicyDocument"]["Statement"]
            if each["Effect"] == "Deny"
        ]

        assert [each["Condition"] for each in denied] == [
            {"Bool": {"aws:SecureTransport": "false"}}
        ], name
    assert len(templates.of_type("AWS::SQS::QueuePolicy")) == 6


@pytest.mark.parametrize(
    ("queue", "topics"),
    [
        ("alerts/NotifyQueuePolicy", ["alerts/TopicsAlerts", "alerts/TopicsTrips"]),
        ("fuse/TripQueuePolicy", ["alerts/TopicsTrips"]),
    ],
)
def test_a_queue_takes_messages_of_our_own_topics_only(templates, queue, topics):
    statements = templates.of_type("AWS::SQS::QueuePolicy")[queue]["Properties"]["PolicyDocument"][
        "Statement"
    ]
    (allowed,) = [each for each in statements if each["Effect"] == "Allow"]
    arns = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]

    assert allowed["Principal"] == {"Service": "sns.amazonaws.com"}
    listed = arns if isinstance(arns, list) else [arns]
    assert [templates.text(queue.partition("/")[0], each) for each in listed] == topics


OUTPUTS = {
    "alerts": {
        "AlertsTopicArn": "alerts/TopicsAlerts",
        "TripsTopicArn": "alerts/TopicsTrips",
        "MailTopicArn": "alerts/TopicsMail",
        "NotifyQueueUrl": "alerts/NotifyQueue",
        "NotifyDeadLetterQueueUrl": "alerts/NotifyQueueDeadLetters",
        "IncidentTableName": "alerts/IncidentTable",
        "AlertChannels": "email,slack",
    },
    "fuse": {
        "FuseTableName": "fuse/FuseTable",
        "FuseName": "acme-keys",
        "FuseMode": "armed",
        "TripQueueUrl": "fuse/TripQueue",
        "TripDeadLetterQueueUrl": "fuse/TripQueueDeadLetters",
    },
    "ledger": {
        "UsageQueueUrl": "ledger/UsageQueue",
        "UsageQueueArn": "ledger/UsageQueue.Arn",
        "UsageDeadLetterQueueUrl": "ledger/UsageQueueDeadLetters",
        "LedgerTableName": "ledger/LedgerTable",
        "GuardTableName": "ledger/GuardTable",
        "AppPolicyArn": "ledger/AppPolicy",
    },
}


@pytest.mark.parametrize("stack", OUTPUTS)
def test_a_stack_says_where_its_things_are(templates, stack):
    outputs = {
        name: templates.text(stack, each["Value"])
        for name, each in templates.stacks[stack]["Outputs"].items()
        if not name.startswith("Exports")
    }

    assert outputs == OUTPUTS[stack]


@pytest.mark.parametrize(
    ("stack", "output"),
    [
        ("fuse", "FuseTableName"),
        ("ledger", "UsageQueueUrl"),
        ("ledger", "LedgerTableName"),
        ("ledger", "GuardTableName"),
        ("ledger", "AppPolicyArn"),
    ],
)
def test_apps_import_what_they_need_by_a_name_that_stays(templates, stack, output):
    exported = templates.stacks[stack]["Outputs"][output]["Export"]

    assert exported == {"Name": f"acme:{output}"}


def test_a_new_threshold_renames_its_aws_budget_and_touches_nothing_else(
    templates, synthesise, block
):
    edited = json.loads(json.dumps(block))
    edited["aws_budgets"][0]["actual_percents"] = [50, 90, 100]
    after = synthesise(edited)

    assert stateful(after) == stateful(templates)
    assert set(dict(after.resources())) == set(dict(templates.resources()))
    before_names, after_names = (
        {
            name: each["Properties"]["Budget"]["BudgetName"]
            for name, each in each_templates.of_type("AWS::Budgets::Budget").items()
        }
        for each_templates in (templates, after)
    )
    changed = {name for name in after_names if after_names[name] != before_names[name]}
    assert changed == {"budgets/Budgetsmonth"}
