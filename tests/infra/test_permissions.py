"""What each function may do, whole: one line too many or too few fails here."""

import pytest
from infra.templates import Templates, listed

from spendfuse.metrics import NAMESPACE

KEYS = "arn:<AWS::Partition>:apigateway:<AWS::Region>::/apikeys"
SECRET = (
    "arn:<AWS::Partition>:secretsmanager:<AWS::Region>:<AWS::AccountId>:secret:"
    "acme/slack-webhook-??????"
)
READ_QUEUE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
WRITE_LOGS = ("logs:CreateLogStream", "logs:PutLogEvents")
USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey*")

MAY: dict[str, dict[str, tuple[str, ...]]] = {
    "alerts/NotifyRole": {
        "alerts/IncidentTable.Arn": ("dynamodb:Query", "dynamodb:UpdateItem"),
        "alerts/TopicsMail": ("sns:Publish",),
        "alerts/TopicsKey.Arn": USE_KEY,
        "alerts/NotifyQueue.Arn": (*READ_QUEUE, "sqs:ChangeMessageVisibility"),
        "alerts/NotifyLogs.Arn": WRITE_LOGS,
        SECRET: ("secretsmanager:GetSecretValue",),
    },
    "fuse/TripFuseRole": {
        "fuse/FuseTable.Arn": (
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ),
        KEYS: ("apigateway:GET",),
        f"{KEYS}/*": ("apigateway:GET", "apigateway:PATCH"),
        "alerts/TopicsAlerts": ("sns:Publish",),
        "alerts/TopicsKey.Arn": USE_KEY,
        "fuse/TripQueue.Arn": (*READ_QUEUE, "sqs:ChangeMessageVisibility"),
        "fuse/TripFuseLogs.Arn": WRITE_LOGS,
    },
    "ledger/RecordUsageRole": {
        "ledger/LedgerTable.Arn": ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
        "ledger/UsageQueueDeadLetters.Arn": ("sqs:SendMessage",),
        "ledger/UsageQueue.Arn": READ_QUEUE,
        "ledger/RecordUsageLogs.Arn": WRITE_LOGS,
    },
    "ledger/WatchBudgetsRole": {
        "ledger/LedgerTable.Arn": (
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ),
        "fuse/FuseTable.Arn": ("dynamodb:GetItem",),
        "alerts/TopicsAlerts": ("sns:Publish",),
        "alerts/TopicsTrips": ("sns:Publish",),
        "alerts/TopicsKey.Arn": USE_KEY,
        "ledger/LedgerTable.StreamArn": (
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
        ),
        "*": ("dynamodb:ListStreams",),
        "ledger/WatchBudgetsLogs.Arn": WRITE_LOGS,
    },
    "ledger/PublishGaugesRole": {
        "ledger/LedgerTable.Arn": (
            "dynamodb:BatchWriteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ),
        "*": ("cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "cloudwatch:PutMetricData"),
        "alerts/TopicsMail": ("sns:ListSubscriptionsByTopic",),
        "ledger/PublishGaugesLogs.Arn": WRITE_LOGS,
    },
    **{
        f"ledger/{name}EveryMinuteRole": {f"ledger/{name}Function.Arn": ("lambda:InvokeFunction",)}
        for name in ("PublishGauges", "WatchBudgets")
    },
}


def granted(templates: Templates, role: str) -> dict[str, set[str]]:
    stack = role.partition("/")[0]
    properties = templates.of_type("AWS::IAM::Role")[role]["Properties"]
    actions: dict[str, set[str]] = {}
    for policy in properties["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for resource in listed(statement["Resource"]):
                allowed = actions.setdefault(templates.text(stack, resource), set())
                allowed.update(listed(statement["Action"]))
    return actions


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_just_this(templates, role):
    expected = {resource: set(actions) for resource, actions in MAY[role].items()}

    assert granted(templates, role) == expected


def test_there_is_no_other_way_to_a_permission(templates):
    assert set(templates.of_type("AWS::IAM::Role")) == set(MAY)
    assert templates.of_type("AWS::IAM::Policy") == {}
    assert set(templates.of_type("AWS::IAM::ManagedPolicy")) == {"ledger/AppPolicy"}
    for role in templates.of_type("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]


def test_the_fuse_can_change_no_key_without_its_tag(templates):
    role = templates.of_type("AWS::IAM::Role")["fuse/TripFuseRole"]
    statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    changing = [each for each in statements if "apigateway:PATCH" in listed(each["Action"])]

    assert [each["Condition"] for each in changing] == [
        {"StringEquals": {"aws:ResourceTag/spendfuse:fuse": "acme-keys"}}
    ]
    assert [each["Action"] for each in changing] == ["apigateway:PATCH"]


def test_metrics_are_published_in_our_namespace_alone(templates):
    role = templates.of_type("AWS::IAM::Role")["ledger/PublishGaugesRole"]
    statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    publishing = [each for each in statements if "PutMetricData" in str(each["Action"])]

    assert [(each["Action"], each["Condition"]) for each in publishing] == [
        ("cloudwatch:PutMetricData", {"StringEquals": {"cloudwatch:namespace": NAMESPACE}})
    ]


def test_without_a_key_store_the_fuse_reaches_no_keys(synthesise, block):
    templates = synthesise({**block, "fuse": {"mode": "off", "key_stores": []}})

    resources = granted(templates, "fuse/TripFuseRole")
    assert not [each for each in resources if "apigateway" in each]


def test_roles_are_assumed_by_the_service_that_runs_them(templates):
    assumed_by = {
        name: each["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for name, each in templates.of_type("AWS::IAM::Role").items()
    }

    schedules = [assumed_by.pop(name) for name in list(assumed_by) if "EveryMinute" in name]
    assert schedules == ["scheduler.amazonaws.com"] * 2
    assert set(assumed_by.values()) == {"lambda.amazonaws.com"}


def test_without_slack_no_secret_is_read(synthesise, block):
    budgets = [{"name": "all", "limit_usd": 1, "ladder": [{"percent": 50, "notify": ["email"]}]}]
    without = {**block, "alerts": {"emails": ["finops@example.com"]}, "budgets": budgets}
    templates = synthesise(without)
    notify = templates.of_type("AWS::Lambda::Function")["alerts/NotifyFunction"]

    resources = granted(templates, "alerts/NotifyRole")
    assert not [each for each in resources if "secretsmanager" in each]
    assert notify["Properties"]["Environment"]["Variables"]["SLACK_WEBHOOK_SECRET"] == ""


def app_statements(templates) -> list[dict]:
    policy = templates.of_type("AWS::IAM::ManagedPolicy")["ledger/AppPolicy"]
    return policy["Properties"]["PolicyDocument"]["Statement"]


def test_apps_may_send_usage_guard_budgets_and_read_the_fuse_and_nothing_else(templates):
    may = {
        templates.text("ledger", each["Resource"]): set(listed(each["Action"]))
        for each in app_statements(templates)
    }

    assert len(app_statements(templates)) == len(may)
    assert may == {
        "ledger/UsageQueue.Arn": {"sqs:SendMessage"},
        "fuse/FuseTable.Arn": {"dynamodb:GetItem"},
        "ledger/GuardTable.Arn": {
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        },
        "ledger/GuardTable.Arn/index/Held": {"dynamodb:Query"},
        "ledger/LedgerTable.Arn": {"dynamodb:GetItem", "dynamodb:Query"},
    }


def test_apps_read_of_the_ledger_only_budgets_and_their_totals(templates):
    # The sandbox knows no LeadingKeys and lets all rows be read, so it stands here alone.
    conditions = {
        templates.text("ledger", each["Resource"]): each["Condition"]
        for each in app_statements(templates)
        if "Condition" in each
    }

    assert conditions == {
        "ledger/LedgerTable.Arn": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["budget#*", "budgets"]}
        }
    }
