"""Ledger → CloudWatch: each figure once, whatever fails beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.serialize import create_serializer
from moto import mock_aws
from packs import a_pack, a_record

from lambdas import clients
from lambdas.publish_gauges import handler as publish_gauges
from lambdas.publish_gauges.bedrock import BedrockMetrics
from lambdas.publish_gauges.cloudwatch import CloudWatchMetrics
from lambdas.publish_gauges.emails import MailTopic
from lambdas.publish_gauges.handler import Flows, PublishGauges
from lambdas.publish_gauges.user_spend import log_user_spend
from spendfuse import metrics
from spendfuse.budget import Budget, Override
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_named_values import DynamoNamedValues
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.gauges import Datum
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.posting import posting
from spendfuse.ledger.tally import ShareKey
from spendfuse.sandbox.metric_limits import refusal

NOW = datetime(2026, 11, 21, 12, 1, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
USD = 10**9
ROOT = Budget("llm", 100 * USD, "month")
SEARCH = Budget("search", 10 * USD, "day", (), {"team": "search"})
EACH = Budget("each", USD, "day", (), {}, "user")
FUSE = FuseDefinition("acme", "off", (), 10, 10)
DEFINITIONS = Definitions("acme", (ROOT, SEARCH, EACH), (), FUSE)


@dataclass
class CloudWatch:
    """A client that keeps what it was sent, and can be down, or refuse a name."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    fails: Callable[[list[dict[str, Any]]], Exception | None] = lambda _: None
    now: datetime = NOW

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        self.calls += 1
        assert Namespace == metrics.NAMESPACE
        assert refusal(MetricData, self.now) is None
        if error := self.fails(MetricData):
            raise error
        self.taken += MetricData

    def values(self, name: str, by: tuple[str, str] | None = None) -> list[float]:
        wanted = [("Deployment", "acme"), *([by] if by else [])]
        return [
            value
            for each in self.taken
            if each["MetricName"] == name
            and [(one["Name"], one["Value"]) for one in each["Dimensions"]] == wanted
            for value in each["Values"]
        ]

    def total(self, name: str, by: tuple[str, str] | None = None) -> float:
        return sum(self.values(name, by))


class Bedrock(BedrockMetrics):
    """Counts what it is told to, and remembers what it was asked."""

    def __init__(self, tokens: int = 0) -> None:
        self.counted = tokens
        self.asked: list[tuple[datetime, datetime]] = []

    def tokens(self, since: datetime, until: datetime) -> int:
        self.asked.append((since, until))
        return self.counted


class Mail(MailTopic):
    def __init__(self) -> None:
        self.fails = False
        self.asked = 0

    def unconfirmed(self) -> int:
        self.asked += 1
        if self.fails:
            raise UnavailableError("SNS does not answer")
        return 2


@dataclass
class Run:
    """A publisher, and what is around it."""

    cloudwatch: CloudWatch
    bedrock: Bedrock
    mail: Mail
    publish: PublishGauges

    def at(self, now: datetime) -> None:
        self.cloudwatch.now = now
        replace(self.publish, now=lambda: now)()


@pytest.fixture
def run() -> Iterator[Run]:
    with mock_aws():
        client, table = aws("dynamodb"), make_table("ledger")
        cloudwatch, bedrock, mail = CloudWatch(), Bedrock(), Mail()
        sink = CloudWatchMetrics(cloudwatch, "acme")
        publish = PublishGauges(
            tallies=DynamoTallies(client, table),
            ledger=DynamoLedger(client, table),
            overrides=DynamoOverrides(client, table),
            flows=Flows(sink, DynamoNamedValues(client, table)),
            metrics=sink,
            bedrock=bedrock,
            mail=mail,
            definitions=DEFINITIONS,
            now=lambda: NOW,
        )
        yield Run(cloudwatch, bedrock, mail, publish)


def post(id: str, *records: dict[str, Any], at: datetime = NOW) -> None:
    pack = read_pack(
        a_pack(id, *records, sent_at=at.isoformat(), created_at=at.isoformat()), received_at=at
    )
    DynamoLedger(aws("dynamodb"), "ledger").post([posting(pack, DEFINITIONS.budgets)], at)


def used(id: str, dollars: int, at: datetime = NOW - MINUTE, **over: Any) -> dict[str, Any]:
    return a_record(id, at=at.isoformat(), cost_nano_usd=dollars * USD, **over)


def outage(_: object) -> Exception:
    return EndpointConnectionError(endpoint_url="https://monitoring")


def outage_of_flows(data: Sequence[Mapping[str, Any]]) -> Exception | None:
    names = {each["MetricName"] for each in data}
    # The zeros of flows are published beside the heartbeat.
    return outage(data) if metrics.COST_USD in names and metrics.HEARTBEAT not in names else None


def test_what_was_counted_is_published_once_in_all_by_model_and_by_feature(run: Run) -> None:
    post("p1", used("r1", 2), used("r2", 3, model="o3", attributes={"feature": "chat"}))
    run.at(NOW)
    run.at(NOW + MINUTE)

    cloudwatch = run.cloudwatch
    assert cloudwatch.total(metrics.COST_USD) == 5
    assert cloudwatch.total(metrics.REQUESTS) == 2
    assert cloudwatch.total(metrics.INPUT_TOKENS) == 20
    assert cloudwatch.total(metrics.COST_USD, ("Model", "gpt-4o")) == 2
    assert cloudwatch.total(metrics.COST_USD, ("Model", "o3")) == 3
    assert cloudwatch.total(metrics.COST_USD, ("Feature", "chat")) == 3
    assert cloudwatch.total(metrics.COST_USD, ("Feature", "(none)")) == 2
    assert max(cloudwatch.values(metrics.DEAREST_REQUEST_USD)) == 3


def test_gauges_say_how_things_stand_each_minute(run: Run) -> None:
    post("p1", used("r1", 4))
    run.at(NOW)
    run.at(NOW + MINUTE)

    assert run.cloudwatch.values(metrics.HEARTBEAT) == [1, 1]
    assert run.cloudwatch.values(metrics.MONTH_TO_DATE_USD) == [4, 4]
    assert run.cloudwatch.values(metrics.MINUTES_SINCE_USAGE) == [1, 2]
    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "llm")) == [4, 4]
    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "search")) == [40, 40]


def test_a_budget_of_each_user_has_no_metric(run: Run) -> None:
    post("p1", used("r1", 4))
    run.at(NOW)

    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "each")) == []


def test_a_user_is_in_no_metric(run: Run) -> None:
    post("p1", used("r1", 4, attributes={"user": "dana@example.com", "feature": "chat"}))
    run.at(NOW)

    assert "dana" not in json.dumps(run.cloudwatch.taken, default=str)


def test_a_limit_that_was_set_since_the_deployment_is_the_one_that_is_used(run: Run) -> None:
    post("p1", used("r1", 4))
    run.publish.overrides.put(Override("llm", "", 8 * USD, "me", "", NOW))
    run.at(NOW)

    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "llm")) == [50]


def test_usage_that_comes_late_stands_under_its_own_minute(run: Run) -> None:
    post("p1", used("r1", 4, at=NOW - timedelta(days=3)))
    run.at(NOW)
    (late,) = [
        each
        for each in run.cloudwatch.taken
        if each["MetricName"] == metrics.COST_USD
        and each["Values"] == [4.0]
        and len(each["Dimensions"]) == 1
    ]

    assert late["Timestamp"] == (NOW - timedelta(days=3)).replace(second=0)
    assert run.cloudwatch.total(metrics.HOURLY_USD) == 0
    assert run.cloudwatch.total(metrics.MONTH_TO_DATE_USD) == 4


def test_usage_of_three_weeks_ago_is_in_no_metric_and_holds_nothing_up(run: Run) -> None:
    post("p1", used("r1", 4, at=NOW - timedelta(days=21)), used("r2", 1))
    run.at(NOW)

    assert run.cloudwatch.total(metrics.COST_USD) == 1


# What fails


def test_while_cloudwatch_is_down_figures_wait_and_come_once(run: Run) -> None:
    post("p1", used("r1", 4))
    run.cloudwatch.fails = outage
    for minutes in range(3):
        with pytest.raises(UnavailableError):
            run.at(NOW + minutes * MINUTE)
    post("p2", used("r2", 1))
    run.cloudwatch.fails = lambda _: None
    run.at(NOW + 3 * MINUTE)
    run.at(NOW + 4 * MINUTE)

    assert run.cloudwatch.total(metrics.COST_USD) == 5
    assert run.cloudwatch.values(metrics.MONTH_TO_DATE_USD) == [5, 5]


def test_after_an_hour_figures_are_given_up_so_that_the_gauges_go_on(run: Run) -> None:
    run.mail.fails = False
    run.cloudwatch.fails = outage_of_flows
    post("p1", used("r1", 4))
    for minutes in (0, 1, 59, 61):
        with pytest.raises(UnavailableError):
            run.at(NOW + minutes * MINUTE)
        post(f"p{minutes + 2}", used(f"r{minutes}", 1))
    with pytest.raises(UnavailableError):
        run.at(NOW + 62 * MINUTE)

    assert run.cloudwatch.values(metrics.MONTH_TO_DATE_USD) == [4, 4, 4, 7, 8]

    run.cloudwatch.fails = lambda _: None
    post("p99", used("r99", 2))
    run.at(NOW + 63 * MINUTE)

    assert run.cloudwatch.total(metrics.COST_USD) == 2
    assert run.publish.flows.failing_since is None


def test_of_figures_in_two_calls_the_one_that_went_well_is_not_sent_again(run: Run) -> None:
    data = [Datum(metrics.COST_USD, "None", NOW, ((number, 1),)) for number in range(1500)]
    sink = CloudWatchMetrics(run.cloudwatch, "acme")
    run.cloudwatch.fails = lambda _: None if run.cloudwatch.calls == 1 else outage(_)
    with pytest.raises(UnavailableError):
        sink.put_once(data)
    run.cloudwatch.fails = lambda _: None
    sink.put_once(data)

    assert sorted(run.cloudwatch.values(metrics.COST_USD)) == list(range(1500))

    # Another time the same data are other figures.
    sink.put_once(data)
    assert len(run.cloudwatch.taken) == 3000


def test_one_bad_datum_does_not_take_the_others_with_it(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(data: Sequence[Mapping[str, Any]]) -> Exception | None:
        if any(each["MetricName"] == metrics.REQUESTS for each in data):
            detail = {"Error": {"Code": "InvalidParameterValue", "Message": "no"}}
            return ClientError(detail, "PutMetricData")
        return None

    run.cloudwatch.fails = refuse
    post("p1", used("r1", 4))
    with pytest.raises(InputError, match="refused"):
        run.at(NOW)
    run.cloudwatch.fails = lambda _: None
    run.at(NOW + MINUTE)

    assert run.cloudwatch.total(metrics.COST_USD) == 4
    assert run.cloudwatch.values(metrics.HEARTBEAT) == [1, 1]
    assert run.cloudwatch.total(metrics.REQUESTS) == 0
    assert "CloudWatch refuses Requests" in caplog.text


def test_one_budget_s_trouble_leaves_the_others_their_gauge(run: Run) -> None:
    class Ledger(DynamoLedger):
        def total(self, budget: str, period: str) -> Delta:
            if budget == "llm":
                raise UnavailableError("the ledger table refused")
            return super().total(budget, period)

    post("p1", used("r1", 4))
    broken = replace(run.publish, ledger=Ledger(aws("dynamodb"), "ledger"))
    with pytest.raises(UnavailableError):
        broken()

    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "llm")) == []
    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "search")) == [40]
    assert run.cloudwatch.values(metrics.HEARTBEAT) == [1]


def test_without_the_ledger_the_heart_beats_and_the_run_fails(run: Run) -> None:
    aws("dynamodb").delete_table(TableName="ledger")
    with pytest.raises(UnavailableError):
        run.at(NOW)

    assert run.cloudwatch.values(metrics.HEARTBEAT) == [1]
    assert run.cloudwatch.values(metrics.BUDGET_USED_PERCENT, ("Budget", "llm")) == []
    assert run.cloudwatch.values(metrics.UNCONFIRMED_EMAILS) == [2]


def test_places_that_can_t_be_read_are_given_out_anew(run: Run) -> None:
    key = {"pk": {"S": "named_values"}, "sk": {"S": "named_values"}}
    aws("dynamodb").put_item(TableName="ledger", Item={**key, "data": {"S": "{"}})
    post("p1", used("r1", 4))
    run.at(NOW)

    assert run.cloudwatch.total(metrics.COST_USD, ("Model", "gpt-4o")) == 4


def test_the_fifty_first_model_is_other_tomorrow_too(run: Run) -> None:
    dear = [used(f"r{number}", 2, model=f"m{number}") for number in range(metrics.MAX_VALUES)]
    post("p1", *dear, used("late", 1, model="late"))
    run.at(NOW)
    post("p2", used("later", 9, model="late"))
    run.at(NOW + MINUTE)

    assert run.cloudwatch.total(metrics.COST_USD, ("Model", "late")) == 0
    assert run.cloudwatch.total(metrics.COST_USD, ("Model", metrics.OTHER)) == 10


# What is looked at seldom


def test_bedrock_s_count_is_compared_with_what_was_metered_once_a_quarter(run: Run) -> None:
    def bedrock(id: str, minutes: int, tokens: int) -> dict[str, Any]:
        counts = {"input_tokens": tokens, "output_tokens": 1}
        return used(id, 1, at=NOW - minutes * MINUTE, provider="aws", tokens=counts)

    # Compared is 10:45 to 11:45.
    post("p1", bedrock("r1", 75, 99), bedrock("r2", 17, 900), bedrock("r3", 16, 5000))
    post("p2", used("r4", 1, at=NOW - 20 * MINUTE))
    run.bedrock.counted = 1500
    for minutes in range(16):
        run.at(NOW + minutes * MINUTE)

    assert run.cloudwatch.values(metrics.UNMETERED_TOKENS) == [1500 - 100 - 901, 0]
    assert [until for _, until in run.bedrock.asked] == [
        datetime(2026, 11, 21, 11, 45, tzinfo=UTC),
        datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    ]
    assert {until - since for since, until in run.bedrock.asked} == {timedelta(hours=1)}


def test_nothing_is_said_to_be_unmetered_while_figures_wait(run: Run) -> None:
    post("p1", used("r1", 4))
    run.cloudwatch.fails = outage_of_flows
    with pytest.raises(UnavailableError):
        run.at(NOW)
    half_an_hour_ago = NOW - timedelta(minutes=30)
    tokens = {"input_tokens": 1000}
    post("p2", used("r2", 1, at=half_an_hour_ago, provider="aws", tokens=tokens))
    run.bedrock.counted = 1000
    with pytest.raises(UnavailableError):
        run.at(NOW + timedelta(minutes=15))
    run.cloudwatch.fails = lambda _: None
    run.at(NOW + timedelta(minutes=16))

    assert run.cloudwatch.values(metrics.UNMETERED_TOKENS) == [0, 0]


def test_what_failed_of_it_comes_with_the_next_minute(run: Run) -> None:
    run.mail.fails = True
    with pytest.raises(UnavailableError):
        run.at(NOW)
    run.mail.fails = False
    run.at(NOW + MINUTE)
    run.at(NOW + 2 * MINUTE)

    assert run.cloudwatch.values(metrics.UNCONFIRMED_EMAILS) == [2]
    assert run.mail.asked == 2


def test_bedrock_s_tokens_are_added_up_over_models_with_what_was_cached(run: Run) -> None:
    cloudwatch, at = aws("cloudwatch"), NOW - timedelta(minutes=30)

    def count(name: str, value: int, *, at: datetime = at, **dimensions: str) -> None:
        named = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        cloudwatch.put_metric_data(
            Namespace="AWS/Bedrock",
            MetricData=[{"MetricName": name, "Dimensions": named, "Timestamp": at, "Value": value}],
        )

    for model in ("anthropic.claude", "amazon.nova"):
        count("InputTokenCount", 1000, ModelId=model)
        count("OutputTokenCount", 100, ModelId=model)
    count("CacheReadInputTokenCount", 10, ModelId="amazon.nova")
    count("CacheWriteInputTokenCount", 5, ModelId="amazon.nova")
    count("Invocations", 7_000_000, ModelId="amazon.nova")
    count("InputTokenCount", 9_000_000, ModelId="amazon.nova", ServiceTier="flex")
    count("InputTokenCount", 9_000_000)
    count("InputTokenCount", 9_000_000, at=NOW - timedelta(hours=2), ModelId="amazon.nova")
    since = datetime(2026, 11, 21, 10, 45, tzinfo=UTC)

    assert BedrockMetrics(cloudwatch).tokens(since, since + timedelta(hours=1)) == 2215


def test_where_nobody_uses_bedrock_it_counted_nothing(run: Run) -> None:
    assert BedrockMetrics(aws("cloudwatch")).tokens(NOW - timedelta(hours=1), NOW) == 0


def test_an_address_that_was_never_confirmed_is_counted() -> None:
    class Sns:
        def get_paginator(self, name: str) -> Sns:
            assert name == "list_subscriptions_by_topic"
            return self

        def paginate(self, *, TopicArn: str) -> list[dict[str, Any]]:  # noqa: N803
            assert TopicArn == "arn:mail"
            arns = ["PendingConfirmation", "arn:mail:1", "Deleted", "PendingConfirmation"]
            return [{"Subscriptions": [{"SubscriptionArn": arn} for arn in arns]}]

    assert MailTopic(Sns(), "arn:mail").unconfirmed() == 2


# Who spent it


def test_the_log_says_what_each_user_spent_in_fields_of_their_own(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    post("p1", used("r1", 4, attributes={"user": "dana"}), used("r2", 1), used("r3", 0))
    with caplog.at_level(logging.INFO):
        run.at(NOW)
        run.at(NOW + timedelta(hours=1))
    lines = [vars(each) for each in caplog.records if each.getMessage() == "spend by user"]
    names = ("kind", "user", "usd", "requests", "budget", "period")

    # Budget search counts r2 too, and budget each all of them: a dollar stands in one line.
    assert [tuple(line[name] for name in names) for line in lines] == [
        ("user_spend", "dana", 4.0, 1, "llm", "2026-11"),
        ("user_spend", "u1", 1.0, 2, "llm", "2026-11"),
    ]


def test_shares_for_which_there_is_no_time_are_folded_by_the_next_run(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    post("p1", used("r1", 4))
    start = NOW + timedelta(hours=1)
    times = iter([start])
    caplog.set_level(logging.INFO)
    replace(run.publish, now=lambda: next(times, start + timedelta(seconds=25)))()
    after_one_run = [each.getMessage() for each in caplog.records]
    run.at(start + MINUTE)

    assert "spend by user" not in after_one_run
    assert "spend by user" in [each.getMessage() for each in caplog.records]


def test_of_many_users_the_dearest_hundred_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    shares = {ShareKey("llm", "2026-11", "user", f"u{n}"): Delta(n * USD, 1) for n in range(500)}
    with caplog.at_level(logging.INFO):
        log_user_spend(shares, "llm")

    assert [vars(each)["user"] for each in caplog.records] == [f"u{n}" for n in range(499, 399, -1)]


# Within CloudWatch's limits, and in time


def test_a_call_holds_what_cloudwatch_takes(run: Run) -> None:
    wide = tuple((value * 1.000123456789, 1) for value in range(146))
    feature = ("Feature", r"\u691c" * 170)
    slow = [Datum(metrics.LATENCY_MS, "Milliseconds", NOW, wide, feature)] * 500
    named = [Datum(metrics.OUTPUT_TOKENS, "Count", NOW, ((10**12, 1),), feature)] * 3000
    sent: list[int] = []
    model = aws("cloudwatch").meta.service_model.operation_model("PutMetricData")
    # Of all the ways in which boto3 writes a request, form fields are the longest.
    as_form = create_serializer("query")

    def measure(data: list[dict[str, Any]]) -> None:
        body = as_form.serialize_to_request(
            {"Namespace": metrics.NAMESPACE, "MetricData": data}, model
        )["body"]
        sent.append(len(urlencode(body)))

    run.cloudwatch.fails = measure
    CloudWatchMetrics(run.cloudwatch, "acme").put([*slow, *named])

    assert len(run.cloudwatch.taken) == 3500
    assert max(sent) < 1_000_000


def test_the_gauges_are_out_before_the_function_is_cut_off() -> None:
    table = clients.longest_call_seconds(
        attempts=publish_gauges.ATTEMPTS, read_seconds=publish_gauges.READ_SECONDS
    )
    cloudwatch = clients.longest_call_seconds(
        attempts=publish_gauges.ATTEMPTS, read_seconds=publish_gauges.CLOUDWATCH_READ_SECONDS
    )

    # With the table out of reach: take_series, series_state, overrides, and then they go out.
    assert 3 * table + cloudwatch <= 50
    # And a page of shares is read and written, the claim of the fold given back.
    assert publish_gauges.SHARES_UNTIL.total_seconds() + 2 * table <= 50


def test_all_is_wired_on_the_first_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "definitions.json").write_text(DEFINITIONS.to_json())
    monkeypatch.setattr(
        "lambdas.definitions_file.__file__", str(tmp_path / "lambdas" / "definitions_file.py")
    )
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("LEDGER_TABLE", "ledger")
    publish_gauges.build.cache_clear()
    with mock_aws():
        make_table("ledger")
        monkeypatch.setenv("MAIL_TOPIC_ARN", aws("sns").create_topic(Name="mail")["TopicArn"])
        publish_gauges.handler({"source": "schedule"}, None)
        found = aws("cloudwatch").list_metrics(Namespace=metrics.NAMESPACE)["Metrics"]
    publish_gauges.build.cache_clear()

    assert {metrics.HEARTBEAT, metrics.UNCONFIRMED_EMAILS, metrics.UNMETERED_TOKENS} <= {
        each["MetricName"] for each in found
    }
