"""From a record in the notify queue to Slack and e-mail, over an AWS in this process."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from aws_tables import aws as new_client
from aws_tables import make_queue, make_table
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns import sns_backends
from unit.alerts.alert_samples import (
    DEFINITIONS,
    MESSAGES,
    Clock,
    a_rung_alert,
    a_trip_alert,
    enveloped,
    recorded,
)
from unit.alerts.slack_stand_in import Answer, SlackStandIn, slack_stand_in

from lambdas.notify import handler as notify_handler
from lambdas.notify.handler import Notify, tell_batch, wait_seconds
from lambdas.notify.settings import Settings
from spendfuse.alerts.alert import Alert
from spendfuse.alerts.dynamodb import DynamoIncidents
from spendfuse.alerts.secrets_manager import UrlSecret
from spendfuse.alerts.slack import SecretSlackChannel
from spendfuse.alerts.sns import MailTopic
from spendfuse.alerts.tell_people import Failure, TellPeople
from spendfuse.errors import SettingsError

SECRET = "acme/slack"
aws = cache(new_client)


class RecordingSqs:
    """moto's SQS, and a list of the waits that it was asked for."""

    def __init__(self) -> None:
        self.waits: list[int] = []

    def change_message_visibility(self, **call: object) -> None:
        self.waits.append(call["VisibilityTimeout"])
        aws("sqs").change_message_visibility(**call)


@dataclass
class World:
    """The queue, the table, the mail topic and Slack; time stands unless it is moved."""

    slack: SlackStandIn
    clock: Clock = field(default_factory=Clock)
    sqs: RecordingSqs = field(default_factory=RecordingSqs)

    def __post_init__(self) -> None:
        self.queue_url = make_queue("notify")
        self.mail_topic = aws("sns").create_topic(Name="mail")["TopicArn"]
        make_table("incidents")
        aws("secretsmanager").create_secret(Name=SECRET, SecretString=self.slack.url)
        secret = UrlSecret(aws("secretsmanager"), SECRET, now=self.clock)
        people = TellPeople(
            incidents=DynamoIncidents(aws("dynamodb"), "incidents", now=self.clock),
            channels={
                "slack": SecretSlackChannel(secret, timeout_seconds=0.2),
                "email": MailTopic(aws("sns"), self.mail_topic),
            },
            definitions=DEFINITIONS,
            now=self.clock,
        )
        self.notify = Notify(people, self.sqs, self.queue_url)

    def put(self, *bodies: str) -> None:
        for body in bodies:
            aws("sqs").send_message(QueueUrl=self.queue_url, MessageBody=body)

    def run(self) -> list[str]:
        """Tell what is in the queue, and return what failed: it is visible again at once."""
        answer = aws("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, AttributeNames=["All"]
        )
        records = [a_record(message) for message in answer.get("Messages", [])]
        failures = tell_batch(records, self.notify)["batchItemFailures"]
        failed = [each["itemIdentifier"] for each in failures]
        for record in records:
            handle = {"QueueUrl": self.queue_url, "ReceiptHandle": record["receiptHandle"]}
            if record["messageId"] in failed:
                aws("sqs").change_message_visibility(**handle, VisibilityTimeout=0)
            else:
                aws("sqs").delete_message(**handle)
        return failed

    @property
    def mails(self) -> list[tuple[str, str]]:
        topic = sns_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].topics[self.mail_topic]
        return [(subject, text) for _, text, subject, *_ in topic.sent_notifications]

    @property
    def slack_headlines(self) -> list[str]:
        return [message["blocks"][0]["text"]["text"] for message in self.slack.taken]


def a_record(message: dict) -> dict:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }


def body_of(alert: Alert) -> str:
    return enveloped(alert.to_json())


@pytest.fixture
def world() -> Iterator[World]:
    with slack_stand_in() as slack, mock_aws():
        yield World(slack)


def test_an_alert_reaches_slack_and_mail(world: World) -> None:
    world.put(body_of(a_rung_alert(80)))

    assert world.run() == []
    assert world.slack_headlines == ["🟠 main has spent 80 % of its $1,000.00 for 2026-11"]
    (mail,) = world.mails
    assert mail[0].startswith("[acme-prod] warning: main has spent 80 %")
    assert "$803.12 of $1,000.00" in mail[1]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_recorded_message_reaches_people_once(world: World, name: str) -> None:
    world.put(enveloped(recorded(name)), enveloped(recorded(name)))

    assert world.run() == []
    told = len(world.slack.taken), len(world.mails)
    assert 1 in told
    assert max(told) == 1


def test_the_unknown_reaches_people_word_for_word(world: World) -> None:
    world.put(enveloped("Something *new* from AWS"), "and this without SNS")
    world.run()

    assert "Something *new* from AWS" in json.dumps(world.slack.taken)
    assert "and this without SNS" in json.dumps(world.slack.taken)
    assert "Something *new* from AWS" in "".join(text for _, text in world.mails)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (Answer(429, headers={"Retry-After": "30"}), 30),
        (Answer(500), 2),
        (Answer(hangs=True), 2),
    ],
)
def test_while_slack_is_away_the_mail_goes_and_slack_hears_it_once_afterwards(
    world: World, answer: Answer, wait: int
) -> None:
    world.slack.script = [answer]
    world.put(body_of(a_rung_alert(80)))

    assert len(world.run()) == 1
    assert world.sqs.waits == [wait]
    assert (len(world.slack.taken), len(world.mails)) == (0, 1)

    assert world.run() == []
    assert world.run() == []
    assert (len(world.slack.taken), len(world.mails)) == (1, 1)


def test_waits_double_up_to_three_minutes(world: World) -> None:
    world.slack.script = [Answer(500)] * 9
    world.put(body_of(a_rung_alert(80)))
    for _ in range(10):
        world.run()

    assert world.sqs.waits == [2, 4, 8, 16, 32, 64, 128, 180, 180]
    assert (len(world.slack.taken), len(world.mails)) == (1, 1)


def test_a_wait_is_never_shorter_than_slack_asks() -> None:
    asked = [Failure("slack", "busy", 30), Failure("email", "busy", 700), Failure("x", "y")]

    assert wait_seconds(asked, attempt=1) == 700
    assert wait_seconds([Failure("slack", "busy", 1)], attempt=5) == 16
    assert wait_seconds([Failure("slack", "busy", 0)], attempt=1) == 1
    assert wait_seconds([Failure("slack", "ill")], attempt=1000) == 180


def test_one_batch_asks_a_busy_slack_once(world: World) -> None:
    world.slack.script = [Answer(429, headers={"Retry-After": "5"})]
    world.put(body_of(a_rung_alert(50)), body_of(a_rung_alert(80)), body_of(a_trip_alert()))

    assert len(world.run()) == 3
    assert len(world.slack.received) == 1
    assert world.sqs.waits == [5, 5, 5]
    assert world.run() == []
    assert (len(world.slack.taken), len(world.mails)) == (3, 3)


def test_an_alert_published_twice_is_told_once(world: World) -> None:
    again = enveloped(a_rung_alert(80).to_json(), MessageId="another")
    world.put(body_of(a_rung_alert(80)), again)
    world.run()
    world.put(again)
    world.run()

    assert (len(world.slack.taken), len(world.mails)) == (1, 1)


def test_alerts_out_of_order_are_one_incident(world: World) -> None:
    world.put(body_of(a_trip_alert()))
    world.run()
    world.clock.pass_seconds(60)
    world.put(enveloped(recorded("budgets-monthly-actual-80.txt")))
    world.run()
    trip, late = (json.dumps(message) for message in world.slack.taken)

    assert "Earlier in this incident" not in trip
    assert "Earlier in this incident" in late
    assert "the fuse blows" in late
    assert "alert 2 of this incident" in late


def test_without_its_secret_slack_is_told_by_mail_and_the_record_comes_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    aws("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    world.put(body_of(a_rung_alert(80, channels=("slack",))))

    assert len(world.run()) == 1
    ((_, mail),) = world.mails
    assert "slack could not be reached: the secret acme/slack is missing" in " ".join(mail.split())
    assert "the secret acme/slack is missing, or the function's role may not read it" in caplog.text

    aws("secretsmanager").create_secret(Name=SECRET, SecretString=world.slack.url)
    assert world.run() == []
    assert (len(world.slack.taken), len(world.mails)) == (1, 1)


def test_a_webhook_that_is_gone_is_told_by_mail(world: World) -> None:
    world.slack.script = [Answer(404, b"no_service")] * 2
    world.put(body_of(a_rung_alert(80)))

    assert len(world.run()) == 1
    assert "slack could not be reached: Slack refuses" in " ".join(world.mails[0][1].split())


def test_where_slack_is_not_set_up_mail_says_so_and_nothing_comes_back(world: World) -> None:
    people = world.notify.tell_people
    mail_alone = replace(people, channels={"email": people.channels["email"]})
    world.notify = replace(world.notify, tell_people=mail_alone)
    world.put(body_of(a_rung_alert(80, channels=("slack",))))

    assert world.run() == []
    assert "slack is not set up" in " ".join(world.mails[0][1].split())


def test_a_record_that_fails_whole_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Fussy(DynamoIncidents):
        def remember(self, alert: Alert) -> object:
            if alert.percent == 50:
                raise ZeroDivisionError
            return super().remember(alert)

    incidents = Fussy(aws("dynamodb"), "incidents", now=world.clock)
    fussy = replace(world.notify.tell_people, incidents=incidents)
    world.notify = replace(world.notify, tell_people=fussy)
    world.put(body_of(a_rung_alert(50)), body_of(a_rung_alert(80)))

    (failed,) = world.run()
    assert failed in caplog.text
    assert len(world.slack.taken) == 1
    assert world.sqs.waits == [2]


def test_without_its_table_nothing_is_lost(world: World) -> None:
    aws("dynamodb").delete_table(TableName="incidents")
    world.put(body_of(a_rung_alert(80)))

    assert len(world.run()) == 1
    assert (len(world.slack.taken), len(world.mails)) == (0, 0)

    make_table("incidents")
    assert world.run() == []
    assert (len(world.slack.taken), len(world.mails)) == (1, 1)


def test_a_wait_that_can_not_be_set_still_reports_the_failure(world: World) -> None:
    world.notify = replace(world.notify, queue_url=make_queue("another"))
    world.slack.script = [Answer(500)]
    world.put(body_of(a_rung_alert(80)))

    assert len(world.run()) == 1


def test_logs_hold_ids_and_no_contents(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="lambdas")
    caplog.set_level(logging.DEBUG, logger="spendfuse")
    caplog.set_level(logging.DEBUG, logger="slack_sdk")
    world.slack.script = [Answer(500)]
    world.put(body_of(a_rung_alert(80, details=("a customer's words",))))
    world.run()
    said = "".join(each.getMessage() for each in caplog.records if "botocore" not in each.name)

    assert "main/2026-11/80" in said
    assert "customer" not in said
    assert "hush-hush" not in said


ENVIRONMENT = {
    "INCIDENT_TABLE": "incidents",
    "MAIL_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:mail",
    "SLACK_WEBHOOK_SECRET": "",
    "NOTIFY_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/notify",
}


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_env(ENVIRONMENT).incident_table == "incidents"


def test_all_missing_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as missing:
        Settings.from_env({})
    assert all(name in str(missing.value) for name in ENVIRONMENT)


def test_the_function_wires_itself_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(notify_handler.definitions_file, "load", lambda: DEFINITIONS)
    notify_handler.build.cache_clear()
    notify = notify_handler.build()
    notify_handler.build.cache_clear()

    assert list(notify.tell_people.channels) == ["email"]
    assert notify.queue_url == ENVIRONMENT["NOTIFY_QUEUE_URL"]
