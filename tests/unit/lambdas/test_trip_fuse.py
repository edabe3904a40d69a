from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest
from aws_tables import REGION, make_table
from moto import mock_aws
from unit.fuse.api_gateway import PASSED_BY_MOTO, ApiGateway

from lambdas import clients, definitions_file
from lambdas.trip_fuse import handler as trip_fuse
from lambdas.trip_fuse.settings import Settings
from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.budget import Budget, Rung
from spendfuse.clock import utc_now
from spendfuse.definitions import AwsBudget, Definitions, FuseDefinition
from spendfuse.errors import SettingsError
from spendfuse.fuse.keys import api_gateway
from spendfuse.fuse.keys.api_gateway import Pace
from spendfuse.fuse_state import KeySpend, TripOrder
from spendfuse.money import NANO_PER_USD
from spendfuse.period import Period

MONTH = Period.containing("month", utc_now()).key
USD = NANO_PER_USD
RESERVE = trip_fuse.STOP_BEFORE_END_MILLISECONDS
LADDER = (Rung(100, ("email", "slack"), trips=True),)
DEFINITIONS = Definitions(
    deployment="llm",
    budgets=(Budget("all", 1000 * USD, "month", LADDER),),
    aws_budgets=(AwsBudget("llm-1a2b3c4d", "all", 1000 * USD, "month", LADDER),),
    fuse=FuseDefinition("llm", "armed", ("api_gateway",), 10, 10),
)
ORDER = TripOrder("llm", "all", MONTH, 100, 1000 * USD, keys=(KeySpend("k2", 9),))
BILLING = """AWS Budget Notification {month} {day}, {year}
AWS Account 123456789012

Dear AWS Customer,

You requested that we alert you when the ACTUAL Cost associated with your {name} budget is greater \
than $1,000.00 for the current month. The {kind} Cost associated with this budget is $1,012.00.

Budget Name: {name}
Budget Type: Cost
Budgeted Amount: $1,000.00
Alert Type: {kind}
Alert Threshold: > $1,000.00
{kind} Amount: $1,012.00
"""


class LambdaContext:
    def __init__(self, *remaining):
        self._remaining = list(remaining) or [300_000]

    def get_remaining_time_in_millis(self):
        return self._remaining.pop(0) if len(self._remaining) > 1 else self._remaining[0]


class Deployed:
    """The function's surroundings: a table, topics, queues and API keys."""

    def __init__(self, monkeypatch):
        self.api_gateway = ApiGateway()
        self.clients = {}
        """How each client was asked for."""
        self.sqs = boto3.client("sqs", region_name=REGION)
        self.sns = boto3.client("sns", region_name=REGION)
        self.alerts = self.sns.create_topic(Name="alerts")["TopicArn"]
        self.trips = self.sns.create_topic(Name="trips")["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName="trip")["QueueUrl"]
        self.told = self.sqs.create_queue(QueueName="told")["QueueUrl"]
        self.subscribe(self.alerts, self.told)
        make_table("fuse")
        environment = {
            "FUSE_TABLE": "fuse",
            "ALERTS_TOPIC_ARN": self.alerts,
            "TRIPS_TOPIC_ARN": self.trips,
            "TRIP_QUEUE_URL": self.queue,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    def subscribe(self, topic, queue):
        name = queue.rsplit("/", 1)[1]
        self.sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:{name}"
        )

    def client(self, service, **how):
        self.clients[service] = how
        if service == "apigateway":
            return self.api_gateway.client
        return boto3.client(service, region_name=REGION)

    def alerts_told(self):
        messages = self.sqs.receive_message(QueueUrl=self.told, MaxNumberOfMessages=10)
        bodies = [json.loads(each["Body"]) for each in messages.get("Messages", ())]
        return [alert_from_json(body["Message"]) for body in bodies]

    def deliver(self, message, context=None, *, receives=1, topic=None):
        """Hand the function a message as it stands in the queue; return whether it failed."""
        body = {"Type": "Notification", "MessageId": "m", "Message": message}
        body["TopicArn"] = topic or self.trips
        record = {
            "messageId": "one",
            "body": json.dumps(body),
            "receiptHandle": self.receipt(),
            "attributes": {"ApproximateReceiveCount": str(receives)},
        }
        answer = trip_fuse.handler({"Records": [record]}, context or LambdaContext())
        return answer == {"batchItemFailures": [{"itemIdentifier": "one"}]}

    def receipt(self):
        while messages := self.sqs.receive_message(QueueUrl=self.queue).get("Messages"):
            for each in messages:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=each["ReceiptHandle"])
        self.sqs.send_message(QueueUrl=self.queue, MessageBody="the message")
        (message,) = self.sqs.receive_message(QueueUrl=self.queue)["Messages"]
        return message["ReceiptHandle"]

    def is_visible(self):
        return bool(self.sqs.receive_message(QueueUrl=self.queue).get("Messages"))


@pytest.fixture
def deployed(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(config=PASSED_BY_MOTO):
        deployed = Deployed(monkeypatch)
        deployed.api_gateway.add("k1", fuse="llm")
        deployed.api_gateway.add("k2", fuse="llm")
        deployed.api_gateway.add("k3", fuse="another")
        monkeypatch.setattr(trip_fuse, "client", deployed.client)
        monkeypatch.setattr(definitions_file, "load", lambda: DEFINITIONS)
        monkeypatch.setattr(Pace, "wait", lambda _: None)
        monkeypatch.setattr(Pace, "back_off", lambda *_: None)
        trip_fuse.build.cache_clear()
        yield deployed
        trip_fuse.build.cache_clear()


def our_alert(order=ORDER):
    return Alert(
        id="rung/llm/all",
        deployment="llm",
        source="ledger",
        severity="critical",
        headline="all: 100 % of $1,000.00 is spent",
        at=datetime(2026, 11, 21, tzinfo=UTC),
        channels=("slack",),
        trip=order,
    ).to_json()


def billing(kind="ACTUAL", name="llm-1a2b3c4d"):
    now = utc_now()
    date = {"month": f"{now:%B}", "day": now.day, "year": now.year}
    return BILLING.format(kind=kind, name=name, **date)


def test_our_order_disables_the_fuses_keys_and_reports_it(deployed):
    assert not deployed.deliver(our_alert())

    assert deployed.api_gateway.enabled() == ["k3"]
    (alert,) = deployed.alerts_told()
    assert alert.headline == "Fuse tripped: 2 API keys disabled"
    assert (alert.source, alert.severity) == ("fuse", "critical")
    assert (alert.budget, alert.period, alert.deployment) == ("all", MONTH, "llm")
    assert alert.trip is None
    assert "never read this" not in alert.to_json()


def test_a_redelivered_order_changes_nothing_and_is_not_told_again(deployed):
    deployed.deliver(our_alert())
    deployed.alerts_told()
    deployed.api_gateway.add("k1", fuse="llm")

    assert not deployed.deliver(our_alert())
    assert deployed.api_gateway.enabled() == ["k1", "k3"]
    assert deployed.alerts_told() == []


def test_billing_at_the_tripping_rung_disables_the_keys(deployed):
    assert not deployed.deliver(billing())

    assert deployed.api_gateway.enabled() == ["k3"]
    (alert,) = deployed.alerts_told()
    assert "Cause: AWS Budgets: llm-1a2b3c4d is at $1,012.00, above $1,000.00" in alert.details


@pytest.mark.parametrize(
    "message",
    [
        billing(kind="FORECASTED"),
        billing(name="somebody-elses"),
        our_alert(None),
        our_alert(replace(ORDER, fuse="another")),
        '{"AlarmName": "a", "NewStateValue": "ALARM", "OldStateValue": "OK"}',
        "Please trip the fuse now",
        "",
    ],
)
def test_whatever_is_no_order_of_ours_trips_nothing_and_is_done_with(deployed, message):
    assert not deployed.deliver(message)

    assert deployed.api_gateway.enabled() == ["k1", "k2", "k3"]
    assert deployed.alerts_told() == []


def test_an_allowance_is_a_share_of_the_limit_in_force(deployed):
    # Somebody set 400 dollars while it was running, and the watcher ordered the trip at those.
    deployed.deliver(our_alert(replace(ORDER, limit_nano_usd=400 * USD)))

    assert [each.allowance_nano_usd for each in trips()] == [40 * USD]


def test_after_a_trip_by_the_bill_the_allowance_is_a_share_of_the_ledgers_limit(
    deployed, monkeypatch
):
    budget = replace(DEFINITIONS.root, limit_nano_usd=900 * USD)
    definitions = replace(DEFINITIONS, budgets=(budget,))
    monkeypatch.setattr(definitions_file, "load", lambda: definitions)
    deployed.deliver(billing())

    assert [each.allowance_nano_usd for each in trips()] == [90 * USD]


def trips():
    return trip_fuse.build().trip_fuse.store.trips()


@pytest.mark.parametrize("offset", [0, 1])
def test_an_order_for_another_zone_s_day_trips_while_that_day_lasts(deployed, monkeypatch, offset):
    # It is noon in UTC, and the next day has begun in Kiritimati.
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    island = Budget("island", 1000 * USD, "day", LADDER, zone="Pacific/Kiritimati")
    definitions = replace(DEFINITIONS, budgets=(*DEFINITIONS.budgets, island))
    monkeypatch.setattr(definitions_file, "load", lambda: definitions)
    monkeypatch.setattr(trip_fuse, "utc_now", lambda: now)
    day = f"2026-11-{21 + offset}"
    deployed.deliver(our_alert(replace(ORDER, budget="island", period=day)))

    assert deployed.api_gateway.enabled() == (["k3"] if offset else ["k1", "k2", "k3"])


def test_an_order_from_a_foreign_topic_trips_nothing(deployed):
    assert not deployed.deliver(our_alert(), topic=deployed.alerts)

    assert deployed.api_gateway.enabled() == ["k1", "k2", "k3"]


def test_the_reason_for_a_refusal_is_in_the_log(deployed, caplog):
    deployed.deliver(billing(kind="FORECASTED"))

    assert "message one trips nothing: it is a forecast" in caplog.text


def test_a_plan_that_outlasts_the_invocation_goes_on_at_once_in_the_next(deployed):
    assert deployed.deliver(our_alert(), LambdaContext(RESERVE, RESERVE - 1))
    # The dearest is first.
    assert deployed.api_gateway.enabled() == ["k1", "k3"]
    assert deployed.is_visible()
    assert deployed.alerts_told() == []

    assert not deployed.deliver(our_alert(), receives=2)
    assert deployed.api_gateway.enabled() == ["k3"]
    assert [alert.headline for alert in deployed.alerts_told()] == [
        "Fuse tripped: 2 API keys disabled"
    ]


class Counting:
    """Counts the calls to what it stands for."""

    def __init__(self, target):
        self._target = target
        self.calls = 0

    def __getattr__(self, name):
        self.calls += 1
        return getattr(self._target, name)


def calls_for_one_key(deployed):
    """Return how many requests one key costs: to the key store and to the fuse's table."""
    fuse = trip_fuse.build().trip_fuse
    table = fuse.store._client = Counting(fuse.store._client)
    seen = []

    def look():
        seen.append((len(deployed.api_gateway.requests), table.calls))
        return True

    fuse(ORDER, cause="spent", may_go_on=look)
    (first, second) = seen
    return second[0] - first[0], second[1] - first[1]


def test_the_reserve_is_longer_than_one_key_can_take(deployed):
    key_calls, table_calls = calls_for_one_key(deployed)
    request = clients.longest_call_seconds(**deployed.clients["apigateway"])
    key_call = api_gateway.longest_call_seconds(request)
    table_call = clients.longest_call_seconds(**deployed.clients["dynamodb"])

    assert (key_calls, table_calls) == (2, 4)
    assert key_calls * key_call + table_calls * table_call <= RESERVE / 1000


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 13), (2, 27), (6, 6 * 13 + 31)])
def test_a_client_tries_as_often_as_its_longest_call_says(deployed, attempts, seconds):
    config = clients.client("apigateway", attempts=attempts).meta.config

    assert config.retries["total_max_attempts"] == attempts
    assert attempts * (config.connect_timeout + config.read_timeout) <= seconds
    assert clients.longest_call_seconds(attempts=attempts) == seconds


def test_a_key_that_fails_makes_the_message_come_again_later(deployed):
    deployed.api_gateway.failing = {"k2"}

    assert deployed.deliver(our_alert())
    assert deployed.api_gateway.enabled() == ["k2", "k3"]
    assert not deployed.is_visible()
    (alert,) = deployed.alerts_told()
    assert "1 could not be yet" in alert.headline


def test_a_crash_is_logged_and_the_message_comes_again(deployed, caplog):
    deployed.api_gateway.errors = [(403, "AccessDeniedException")]

    assert deployed.deliver(our_alert())
    assert "message one was not carried out" in caplog.text
    assert not deployed.deliver(our_alert())
    assert deployed.api_gateway.enabled() == ["k3"]


def test_a_message_that_can_not_be_put_forward_still_comes_again(deployed, monkeypatch, caplog):
    monkeypatch.setattr(Deployed, "receipt", lambda _: "no receipt at all")

    assert deployed.deliver(our_alert(), LambdaContext(300_000, 0))
    assert "keeps its visibility timeout" in caplog.text


@pytest.mark.parametrize(("receives", "seconds"), [(1, 5), (2, 10), (5, 80), (8, 360), (99, 360)])
def test_each_delivery_waits_twice_as_long_up_to_a_bound(receives, seconds):
    record = {"attributes": {"ApproximateReceiveCount": str(receives)}}

    assert trip_fuse.wait_seconds(record) == seconds


def test_all_missing_settings_are_reported_at_once():
    with pytest.raises(SettingsError, match="ALERTS_TOPIC_ARN, TRIPS_TOPIC_ARN, TRIP_QUEUE_URL"):
        Settings.from_env({"FUSE_TABLE": "fuse"})
