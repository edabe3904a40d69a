"""The smallest templates that break each rule of the preflight, and the most that AWS takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DAYS = 24 * 3600
Template = dict[str, Any]


@dataclass(frozen=True)
class Offence:
    """A template that breaks one rule, and what the message must say."""

    rule: str
    template: Template
    says: str
    region: str | None = None


def resources(**each: tuple[str, Mapping[str, Any]]) -> Template:
    return {
        "Resources": {
            name: {"Type": type_, "Properties": dict(properties)}
            for name, (type_, properties) in each.items()
        }
    }


def resource(type_: str, **properties: Any) -> Template:
    return resources(Thing=(type_, properties))


# Budgets


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


def budget(*rungs: dict, name: str = "month-0123abcd", **data: Any) -> Template:
    return resource(
        "AWS::Budgets::Budget",
        Budget={"BudgetName": name, **data},
        NotificationsWithSubscribers=list(rungs),
    )


def two_budgets(one: object, other: object) -> Template:
    type_ = "AWS::Budgets::Budget"
    named = ({"Budget": {"BudgetName": name}} for name in (one, other))
    return resources(One=(type_, next(named)), Other=(type_, next(named)))


BUDGETS = [
    Offence(
        "budget subscribers",
        budget(rung(topics=2)),
        "ACTUAL > 50 % has 2 SNS topics and 0 e-mail addresses; AWS Budgets takes 1 topic",
    ),
    Offence("budget subscribers", budget(rung(emails=11)), "1 SNS topics and 11 e-mail addresses"),
    Offence("budget subscribers", budget(rung(topics=0)), "ACTUAL > 50 % tells nobody"),
    Offence(
        "budget rungs",
        budget(*(rung(percent) for percent in range(10, 111, 10))),
        "has 11 rungs, ACTUAL and FORECASTED together; AWS Budgets takes 10 notifications",
    ),
    Offence(
        "budget rung twice", budget(rung(80), rung(50), rung(80.0)), "the rung ACTUAL > 80 % 2 time"
    ),
    Offence("budget name", budget(name="n" * 101), "(101 characters)"),
    Offence("budget name", budget(name=""), "(0 characters)"),
    Offence("budget name", budget(name="team:search"), "'team:search'"),
    Offence("budget name", budget(name="team\\search"), "'team\\\\search'"),
    Offence("budget name", budget(name="team/action/search"), "'team/action/search'"),
    Offence("budget name", budget(name="a<script>b</script>"), "a<script>b"),
    Offence("budget name twice", two_budgets("month", "month"), "(DuplicateRecordException)"),
    Offence(
        "budget amount", budget(BudgetLimit={"Amount": -5, "Unit": "USD"}), "has a limit of -5"
    ),
]
DOUBTFUL_BUDGETS = [
    Offence(
        "budget of Bedrock",
        budget(CostFilters={"Service": ["Amazon Bedrock"]}),
        "(Amazon Bedrock Edition)",
    ),
    Offence(
        "budget of Bedrock",
        budget(
            FilterExpression={
                "And": [
                    {"Dimensions": {"Key": "REGION", "Values": ["us-east-1"]}},
                    {"Dimensions": {"Key": "SERVICE", "Values": ["Amazon Bedrock"]}},
                ]
            }
        ),
        "misses most of what they cost",
    ),
    Offence(
        "budget by tag",
        budget(CostFilters={"TagKeyValue": ["user:Team$search"]}),
        "counts by tag (user:Team$search); a tag counts once it is active",
    ),
    Offence(
        "budget by tag",
        budget(FilterExpression={"Not": {"Tags": {"Key": "Team", "Values": ["search"]}}}),
        "TagKey=Team,Status=Active",
    ),
]

# Alarms


def alarm(**properties: Any) -> Template:
    defaults = {"AlarmName": "acme-alarm", "MetricName": "Used", "Namespace": "Acme"}
    return resource("AWS::CloudWatch::Alarm", **{**defaults, **properties})


def window(period: object, periods: object, **rest: Any) -> Template:
    return alarm(Period=period, EvaluationPeriods=periods, **rest)


def query(id: str, **rest: Any) -> dict[str, Any]:
    return {"Id": id, "ReturnData": False, **rest}


def metric(id: str, period: int = 300) -> dict[str, Any]:
    return query(id, MetricStat={"Metric": {"MetricName": id}, "Period": period, "Stat": "Sum"})


def formula(expression: object, *metrics: dict, **rest: Any) -> Template:
    last = {"Id": "formula", "Expression": expression, "ReturnData": True}
    return resource(
        "AWS::CloudWatch::Alarm",
        **{"AlarmName": "acme-alarm", "EvaluationPeriods": 1, "Metrics": [*metrics, last], **rest},
    )


def insights(period: int, periods: int) -> Template:
    select = {
        "Id": "q",
        "Expression": 'SELECT SUM(Cost) FROM SCHEMA("Acme", Team)',
        "Period": period,
    }
    return alarm(Metrics=[select], EvaluationPeriods=periods)


def any_of(count: int, *, joined: bool = False) -> Template:
    """A composite alarm over so many others; joined as the CDK writes it, by their ARNs."""
    names = [f"acme-alarm-{n}" for n in range(count)]
    alarms = {f"A{n}": ("AWS::CloudWatch::Alarm", {"AlarmName": names[n]}) for n in range(count)}
    parts: list[Any] = []
    for n in range(count):
        parts += [" OR " if n else "", 'ALARM("', {"Fn::GetAtt": [f"A{n}", "Arn"]}, '")']
    rule = {"Fn::Join": ["", parts]} if joined else " OR ".join(f"ALARM({name})" for name in names)
    composite = ("AWS::CloudWatch::CompositeAlarm", {"AlarmName": "acme-all", "AlarmRule": rule})
    return resources(Thing=composite, **alarms)


def two_alarms(one: object, other: object) -> Template:
    type_ = "AWS::CloudWatch::Alarm"
    return resources(One=(type_, {"AlarmName": one}), Other=(type_, {"AlarmName": other}))


ALARMS = [
    Offence(
        "alarm window",
        window(86_400, 8),
        "looks back over 8 periods of 86,400 s, 691,200 s; CloudWatch takes 604,800 s, seven days",
    ),
    Offence("alarm window", window(60, 1441), "86,460 s; with a period below an hour"),
    Offence("alarm window", window("60", "1441"), "86,460 s; with a period below an hour"),
    Offence(
        "alarm window",
        formula("a + b", metric("a", 300), metric("b", 3600), EvaluationPeriods=25),
        "looks back over 25 periods of 3,600 s, 90,000 s; with a period below an hour",
    ),
    Offence("alarm period", window(45, 1), "has a period of 45 s; CloudWatch takes 10, 20, 30"),
    Offence("alarm period", window(90, 1), "has a period of 90 s"),
    Offence("alarm period", formula("a", metric("a", 5)), "has a period of 5 s"),
    Offence(
        "alarm datapoints",
        window(60, 3, DatapointsToAlarm=4),
        "wants 4 datapoints of 3 periods; CloudWatch takes DatapointsToAlarm up to",
    ),
    Offence("alarm search", formula("SEARCH('{Acme,Team} Cost', 'Sum', 300)"), "takes no SEARCH"),
    Offence("alarm search", formula("SUM(search ('{Acme} Cost', 'Sum'))"), "takes no SEARCH"),
    Offence(
        "alarm search",
        formula({"Fn::Join": ["", ["SUM(SEARCH('{", {"Ref": "Namespace"}, "}', 'Sum'))"]]}),
        "takes no SEARCH",
    ),
    Offence(
        "alarm metrics",
        formula("SUM(METRICS())", *(metric(f"m{n}") for n in range(11))),
        "reads 11 metrics; CloudWatch takes 10",
    ),
    Offence(
        "alarm query",
        insights(3600, 4),
        "MetricsInsights monitors cannot be checked across more than 3 hours",
    ),
    Offence("alarm query", insights(30, 4), "has a period of 30 s with a Metrics Insights query"),
    Offence(
        "alarm result",
        alarm(Metrics=[metric("a"), metric("b")], EvaluationPeriods=1),
        "returns the data of 0 of its 2 metrics",
    ),
    Offence(
        "alarm result",
        formula("a", {**metric("a"), "ReturnData": True}),
        "returns the data of 2 of its 2 metrics",
    ),
    Offence("alarm actions", alarm(AlarmActions=["topic"] * 6), "has 6 AlarmActions"),
    Offence("alarm actions", alarm(OKActions=[{"Ref": "Topic"}] * 6), "has 6 OKActions"),
    Offence("alarm name", alarm(AlarmName="n" * 256), "has a name of 256 characters"),
    Offence("alarm name twice", two_alarms("a", "a"), "is named 'a', as another alarm is"),
    Offence("alarm description", alarm(AlarmDescription="d" * 1025), "of 1025 characters"),
    Offence(
        "alarm description",
        alarm(AlarmDescription={"Fn::Join": ["", ["d" * 1020, {"Ref": "AWS::Region"}]]}),
        "of 1029 characters",
    ),
    Offence(
        "alarm description",
        resource("AWS::CloudWatch::CompositeAlarm", AlarmDescription="d" * 1025, AlarmRule="TRUE"),
        "of 1025 characters",
    ),
    Offence(
        "composite rule",
        resource("AWS::CloudWatch::CompositeAlarm", AlarmRule=f"ALARM({'n' * 10_240})"),
        "has a rule of 10247 characters; CloudWatch takes 1 to 10,240",
    ),
    Offence(
        "composite rule",
        resource("AWS::CloudWatch::CompositeAlarm", AlarmRule=f"ALARM({'n' * 10_234})"),
        "has a rule of 10241 characters",
    ),
    Offence("composite children", any_of(101), "joins 101 alarms; CloudWatch takes 100"),
    Offence("composite children", any_of(101, joined=True), "joins 101 alarms"),
]


def subscription(frequency: str, *, topics: int = 0, emails: int = 0) -> Template:
    subscribers = [{"Type": "SNS", "Address": f"topic-{n}"} for n in range(topics)]
    subscribers += [{"Type": "EMAIL", "Address": f"{n}@example.com"} for n in range(emails)]
    return resource("AWS::CE::AnomalySubscription", Frequency=frequency, Subscribers=subscribers)


ANOMALIES = [
    Offence("anomaly frequency", subscription("IMMEDIATE", emails=1), "tells topics alone at once"),
    Offence("anomaly frequency", subscription("DAILY", topics=1), "sends its digests by e-mail"),
    Offence("anomaly frequency", subscription("WEEKLY", topics=1), "is WEEKLY and has 1 SNS"),
    Offence("anomaly subscribers", subscription("IMMEDIATE", topics=2), "has 2 SNS topics"),
    Offence("anomaly subscribers", subscription("DAILY", emails=11), "and 11 e-mail addresses"),
]

# Topics

ALL_SERVICES = ("budgets", "costalerts", "cloudwatch")


def allow(actions: object, *services: str) -> dict[str, Any]:
    names = [f"{each}.amazonaws.com" for each in services]
    return {
        "Effect": "Allow",
        "Action": actions,
        "Principal": {"Service": names[0] if len(names) == 1 else names},
    }


def topic(
    *,
    lets_in: tuple[str, ...] | None = (),
    key_lets_in: tuple[str, ...] = ALL_SERVICES,
    key_actions: object = ("kms:Decrypt", "kms:GenerateDataKey*"),
    key: object = None,
    **publishers: tuple[str, Mapping[str, Any]],
) -> Template:
    """A topic; ``lets_in`` None leaves it without a policy."""
    of_topic = {"Fn::GetAtt": ["Thing", "TopicArn"]}
    actions = key_actions if isinstance(key_actions, str) else list(key_actions)  # type: ignore[call-overload]
    found: dict[str, tuple[str, Mapping[str, Any]]] = {
        "Thing": (
            "AWS::SNS::Topic",
            {"KmsMasterKeyId": key or {"Fn::GetAtt": ["Key", "Arn"]}},
        ),
        "Key": (
            "AWS::KMS::Key",
            {"KeyPolicy": {"Statement": [allow(actions, *key_lets_in)] if key_lets_in else []}},
        ),
        **publishers,
    }
    if lets_in is not None:
        statements = [allow("sns:Publish", *lets_in)] if lets_in else [{"Effect": "Deny"}]
        policy = {"Topics": [of_topic], "PolicyDocument": {"Statement": statements}}
        found["Policy"] = ("AWS::SNS::TopicPolicy", policy)
    return resources(**found)


TO_TOPIC = {"Ref": "Thing"}
A_BUDGET = (
    "AWS::Budgets::Budget",
    {
        "Budget": {"BudgetName": "month"},
        "NotificationsWithSubscribers": [
            {**rung(), "Subscribers": [{"SubscriptionType": "SNS", "Address": TO_TOPIC}]}
        ],
    },
)
AN_ALARM = ("AWS::CloudWatch::Alarm", {"AlarmName": "a", "AlarmActions": [TO_TOPIC]})
AN_ANOMALY = (
    "AWS::CE::AnomalySubscription",
    {"Frequency": "IMMEDIATE", "Subscribers": [{"Type": "SNS", "Address": TO_TOPIC}]},
)

TOPICS = [
    Offence(
        "topic policy",
        topic(lets_in=("cloudwatch",), Budget=A_BUDGET),
        "is published to by budgets.amazonaws.com, and its policy does not let that in",
    ),
    Offence("topic policy", topic(lets_in=None, Budget=A_BUDGET), "by budgets.amazonaws.com"),
    Offence("topic policy", topic(lets_in=("budgets",), Alarm=AN_ALARM), "by cloudwatch.amazonaws"),
    Offence("topic policy", topic(lets_in=(), Anomaly=AN_ANOMALY), "by costalerts.amazonaws.com"),
    *(
        Offence(
            "topic key",
            topic(
                lets_in=ALL_SERVICES,
                key_lets_in=tuple(each for each in ALL_SERVICES if each != missing),
            ),
            f"does not let {missing}.amazonaws.com kms:Decrypt and kms:GenerateDataKey;",
        )
        for missing in ALL_SERVICES
    ),
    Offence(
        "topic key",
        topic(lets_in=("budgets",), key_actions="kms:Decrypt"),
        "does not let budgets.amazonaws.com kms:GenerateDataKey; the service's messages vanish",
    ),
    Offence(
        "topic key",
        topic(lets_in=None, key_lets_in=("budgets",), Alarm=AN_ALARM),
        "does not let cloudwatch.amazonaws.com kms:Decrypt",
    ),
    Offence(
        "topic key",
        topic(lets_in=("budgets",), key="alias/aws/sns"),
        "has the key alias/aws/sns, and budgets.amazonaws.com publish to it",
    ),
    Offence(
        "topic key",
        topic(
            lets_in=("budgets",),
            key={"Fn::Join": ["", ["arn:aws:kms:", {"Ref": "AWS::Region"}, ":alias/aws/sns"]]},
        ),
        "has the key alias/aws/sns",
    ),
]

# Functions and queues


def function(**variables: Any) -> Template:
    return resource("AWS::Lambda::Function", Environment={"Variables": variables})


def queue(receives: object, visibility: object, retention: object) -> Template:
    return resource(
        "AWS::SQS::Queue",
        RedrivePolicy={"maxReceiveCount": receives},
        VisibilityTimeout=visibility,
        MessageRetentionPeriod=retention,
    )


def queue_and_function(visibility: object, timeout: object) -> Template:
    source = {"EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}, "FunctionName": {"Ref": "Reader"}}
    return resources(
        Queue=("AWS::SQS::Queue", {"VisibilityTimeout": visibility}),
        Reader=("AWS::Lambda::Function", {"Timeout": timeout}),
        Thing=("AWS::Lambda::EventSourceMapping", source),
    )


FUNCTIONS = [
    Offence("function environment", function(FILE="x" * 4086), "Lambda takes 4096, measured as"),
    Offence(
        "function environment",
        function(TABLE={"Ref": "Table"}, FILE="x" * 3900),
        "may come to 4122 bytes",
    ),
    Offence("function timeout", resource("AWS::Lambda::Function", Timeout=901), "run for 901 s"),
    Offence(
        "queue retention",
        queue(1000, 3600, 14 * DAYS),
        "1,000 receives of 3,600 s take 3,600,000 s",
    ),
    Offence("queue retention", queue(10, 60, 600), "SQS drops what is too old"),
    Offence(
        "queue retention",
        resource("AWS::SQS::Queue", RedrivePolicy={"maxReceiveCount": 11_520}),
        "11,520 receives of 30 s take 345,600 s, and it keeps messages for 345,600 s",
    ),
    Offence(
        "queue visibility",
        queue_and_function(59, 60),
        "hides a message for 59 s and the function may run for 60 s",
    ),
]

# Dashboards and names


def dashboard(body: object, **rest: Any) -> Template:
    written = body if isinstance(body, (str, Mapping)) else json.dumps({"widgets": body})
    return resource("AWS::CloudWatch::Dashboard", DashboardBody=written, **rest)


def widget(metrics: int = 1) -> dict[str, Any]:
    return {"type": "metric", "properties": {"metrics": [["Acme", "Cost"]] * metrics}}


DESCRIBED = {
    "AWS::Events::Rule": 512,
    "AWS::IAM::ManagedPolicy": 1000,
    "AWS::IAM::Role": 1000,
    "AWS::KMS::Key": 8192,
    "AWS::Lambda::Function": 256,
    "AWS::Scheduler::Schedule": 512,
}
DASHBOARDS = [
    Offence("dashboard body", dashboard('{"widgets": ['), "has a body that is no JSON"),
    Offence("dashboard body", dashboard('{"start": "-PT6H"}'), 'without a list of "widgets"'),
    Offence("dashboard size", dashboard([widget()] * 501), "has 501 widgets; CloudWatch takes 500"),
    Offence("dashboard size", dashboard([widget(501)]), "has a widget of 501 metrics"),
    Offence("dashboard size", dashboard([widget(500)] * 5 + [widget()]), "shows 2501 metrics"),
]
NAMES = [
    Offence(
        "name",
        resource("AWS::Scheduler::Schedule", Name="n" * 65),
        "(65 characters); AWS::Scheduler::Schedule takes 1 to 64 letters, digits, -, _ and .",
    ),
    Offence("name", resource("AWS::Events::Rule", Name="every minute"), "'every minute'"),
    Offence("name", dashboard([], DashboardName="acme.dashboard"), "'acme.dashboard'"),
    *(
        Offence(
            "description",
            resource(type_, Description="d" * (most + 1)),
            f"has {most + 1} characters; {type_} takes {most}",
        )
        for type_, most in DESCRIBED.items()
    ),
    Offence(
        "log retention", resource("AWS::Logs::LogGroup", RetentionInDays=45), "logs for 45 days"
    ),
]
REGIONS = [
    Offence(
        "region",
        budget(),
        "Unrecognized resource types: [AWS::Budgets::Budget]): deploy to another region",
        region="eu-central-2",
    ),
]
DOUBTFUL_REGIONS = [
    *(
        Offence("region in doubt", budget(), f"an AWS::Budgets::Budget in {region}", region=region)
        for region in ("us-gov-west-1", "eu-north-1")
    ),
    Offence(
        "region in doubt",
        resource("AWS::CE::AnomalyMonitor"),
        "or take cost_anomaly out",
        region="mx-central-1",
    ),
    Offence(
        "region in doubt", budget(), "AWS does not publish which types", region="us-iso-east-1"
    ),
]

REFUSED = [
    *(*BUDGETS, *ALARMS, *ANOMALIES, *TOPICS),
    *(*FUNCTIONS, *DASHBOARDS, *NAMES, *REGIONS),
]
WARNED = [*DOUBTFUL_BUDGETS, *DOUBTFUL_REGIONS]

TAKEN: list[Template] = [
    budget(rung(topics=1, emails=10)),
    budget(*(rung(percent) for percent in range(10, 101, 10))),
    budget(rung(80), rung(80, kind="FORECASTED")),
    budget(name="n" * 100, BudgetLimit={"Amount": 0.01, "Unit": "USD"}),
    budget(CostFilters={"Service": ["Amazon Simple Queue Service"], "Region": ["us-east-1"]}),
    two_budgets("month", "day"),
    two_budgets({"Ref": "Name"}, {"Ref": "OtherName"}),
    window(86_400, 7),
    window(3600, 168),
    window(60, 1440, DatapointsToAlarm=1440),
    *(window(period, 1) for period in (10, 20, 30, 60, 120, 3600)),
    formula("SUM(METRICS())", *(metric(f"m{n}") for n in range(10))),
    formula("research", metric("research")),
    formula(
        "ANOMALY_DETECTION_BAND(m)", {**metric("m"), "ReturnData": True}, ThresholdMetricId="b"
    ),
    insights(3600, 3),
    alarm(AlarmName="n" * 255, AlarmDescription="d" * 1024, AlarmActions=["topic"] * 5),
    any_of(100),
    any_of(100, joined=True),
    two_alarms("a", "b"),
    subscription("IMMEDIATE", topics=1),
    subscription("DAILY", emails=10),
    topic(lets_in=ALL_SERVICES, Budget=A_BUDGET, Alarm=AN_ALARM, Anomaly=AN_ANOMALY),
    topic(lets_in=ALL_SERVICES, key_actions="kms:*"),
    topic(lets_in=None, Alarm=AN_ALARM),
    topic(lets_in=(), key_lets_in=()),
    topic(lets_in=None, key="alias/aws/sns"),
    topic(lets_in=ALL_SERVICES, key={"Ref": "KeyFromElsewhere"}),
    function(TABLE={"Ref": "Table"}, FILE="x" * 3800),
    function(FILE="x" * 4085),
    resource("AWS::Lambda::Function", Timeout=900),
    *(resource(type_, Description="d" * most) for type_, most in DESCRIBED.items()),
    resource("AWS::Lambda::Function", Timeout=5400, CapacityProviderConfig={}),
    queue(100, 180, 14 * DAYS),
    queue_and_function(60, 60),
    resource("AWS::SQS::Queue", RedrivePolicy={"maxReceiveCount": 11_519}),
    resource("AWS::CloudWatch::CompositeAlarm", AlarmRule=f"ALARM({'n' * 10_233})"),
    dashboard([widget()] * 500),
    dashboard([widget(500)] * 5),
    dashboard({"Fn::Join": ["", ['{"widgets": [{"x": ', {"Ref": "X"}, "}]}"]]}),
    resource("AWS::Logs::LogGroup", RetentionInDays=30, LogGroupName="/acme/bedrock"),
    resource("AWS::Scheduler::Schedule", Name={"Ref": "AWS::StackName"}),
    {"Description": "d" * 1024, "Resources": {}},
]
