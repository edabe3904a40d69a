"""Who may publish where. The sandbox enforces none of the keys' policies: it is proved here."""

import pytest
from infra.templates import Templates, listed, readable

THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
ALL_PUBLISHERS = {"budgets.amazonaws.com", "costalerts.amazonaws.com", "cloudwatch.amazonaws.com"}


def statements_of(templates: Templates, topic: str) -> list[dict]:
    policies = [
        policy["Properties"]
        for policy in templates.of_type("AWS::SNS::TopicPolicy").values()
        if [templates.text("alerts", each) for each in policy["Properties"]["Topics"]] == [topic]
    ]
    # A second policy of one topic would replace the first.
    assert len(policies) == 1
    return policies[0]["PolicyDocument"]["Statement"]


def services_allowed(statements: list[dict], action: str) -> set[str]:
    return {
        service
        for each in statements
        if each["Effect"] == "Allow" and action in listed(each["Action"])
        for service in listed(each["Principal"].get("Service", []))
    }


@pytest.mark.parametrize(
    ("topic", "publishers"),
    [
        ("alerts/TopicsAlerts", ALL_PUBLISHERS),
        ("alerts/TopicsTrips", {"budgets.amazonaws.com"}),
        ("alerts/TopicsMail", {"cloudwatch.amazonaws.com"}),
    ],
)
def test_a_topic_takes_messages_of_these_services_and_no_other(templates, topic, publishers):
    assert services_allowed(statements_of(templates, topic), "sns:Publish") == publishers


@pytest.mark.parametrize("topic", ["TopicsAlerts", "TopicsTrips", "TopicsMail"])
def test_services_publish_on_behalf_of_this_account_only(templates, topic):
    for each in statements_of(templates, f"alerts/{topic}"):
        if each["Effect"] == "Allow" and "Service" in each["Principal"]:
            assert each["Condition"] == THIS_ACCOUNT


@pytest.mark.parametrize("topic", ["TopicsAlerts", "TopicsTrips", "TopicsMail"])
def test_the_account_itself_keeps_its_rights(templates, topic):
    owners = [
        each
        for each in statements_of(templates, f"alerts/{topic}")
        if each["Effect"] == "Allow" and "AWS" in each["Principal"]
    ]

    assert [templates.text("alerts", each["Principal"]["AWS"]) for each in owners] == [
        "arn:<AWS::Partition>:iam::<AWS::AccountId>:root"
    ]
    assert {"sns:Publish", "sns:Subscribe"} <= set(owners[0]["Action"])


@pytest.mark.parametrize("topic", ["TopicsAlerts", "TopicsTrips", "TopicsMail"])
def test_nobody_publishes_without_tls(templates, topic):
    denied = [
        each for each in statements_of(templates, f"alerts/{topic}") if each["Effect"] == "Deny"
    ]

    assert [each["Condition"] for each in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]
    assert [each["Principal"] for each in denied] == ["*"]


def test_every_topic_is_encrypted_with_our_own_key(templates):
    # With the key that AWS manages, what AWS Budgets publishes vanishes without a trace.
    topics = templates.of_type("AWS::SNS::Topic")

    assert set(topics) == {"alerts/TopicsAlerts", "alerts/TopicsTrips", "alerts/TopicsMail"}
    for topic in topics.values():
        key = templates.text("alerts", topic["Properties"]["KmsMasterKeyId"])
        assert key == "alerts/TopicsKey.Arn"


@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey*"])
def test_the_key_lets_every_publisher_encrypt(templates, action):
    key = templates.of_type("AWS::KMS::Key")["alerts/TopicsKey"]
    statements = key["Properties"]["KeyPolicy"]["Statement"]

    assert services_allowed(statements, action) == ALL_PUBLISHERS
    for each in statements:
        if "Service" in each["Principal"]:
            assert each["Condition"] == THIS_ACCOUNT


def test_the_key_rotates(templates):
    key = templates.of_type("AWS::KMS::Key")["alerts/TopicsKey"]

    assert key["Properties"]["EnableKeyRotation"] is True


def test_everybody_who_should_hear_is_subscribed(templates):
    heard = {
        (
            templates.text(name.partition("/")[0], each["Properties"]["TopicArn"]),
            each["Properties"]["Protocol"],
            templates.text(name.partition("/")[0], each["Properties"]["Endpoint"]),
        )
        for name, each in templates.of_type("AWS::SNS::Subscription").items()
    }

    assert heard == {
        ("alerts/TopicsAlerts", "sqs", "alerts/NotifyQueue.Arn"),
        ("alerts/TopicsTrips", "sqs", "alerts/NotifyQueue.Arn"),
        ("alerts/TopicsTrips", "sqs", "fuse/TripQueue.Arn"),
        ("alerts/TopicsMail", "email", "finops@example.com"),
        ("alerts/TopicsMail", "email", "cto@example.com"),
    }


def test_queues_get_the_envelope_and_keep_what_sns_can_t_deliver(templates):
    for name, each in templates.of_type("AWS::SNS::Subscription").items():
        if each["Properties"]["Protocol"] == "sqs":
            stack = name.partition("/")[0]
            dead_letters = each["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]

            assert not each["Properties"].get("RawMessageDelivery", False)
            assert templates.text(stack, dead_letters).endswith("DeadLetters.Arn")


def test_a_queue_is_subscribed_when_its_policy_lets_the_topic_in(templates):
    # Else what is published in between would be refused.
    for name, each in templates.of_type("AWS::SNS::Subscription").items():
        if each["Properties"]["Protocol"] == "sqs":
            queue = templates.text(name.partition("/")[0], each["Properties"]["Endpoint"])
            policy = f"{queue.partition('/')[2].removesuffix('.Arn')}Policy"

            assert policy in [readable(logical_id) for logical_id in each["DependsOn"]]
