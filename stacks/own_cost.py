"""What spendfuse itself costs on AWS: what CloudWatch measures times the dated price table.

List prices without the free tier, and each message taken as a request of its own, so the bill is
lower. A function that another stack may not refer to (``Watched.removable``) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from spendfuse import aws_prices, metrics
from spendfuse.aws_prices import Price
from spendfuse.budget import Budget
from stacks.function import MEMORY_MB
from stacks.ledger_metrics import DAY
from stacks.watched import Watched

_QUEUE_METRICS = (
    "NumberOfMessagesSent",
    "NumberOfMessagesReceived",
    "NumberOfMessagesDeleted",
    "NumberOfEmptyReceives",
)
_MINUTES_A_MONTH = 43_200
_CALLS_A_RUN = 2
_WOKEN_EVERY_MINUTE = 2
"""``watch_budgets`` and ``publish_gauges``, by a schedule each."""


@dataclass(frozen=True, slots=True)
class _Use:
    """Something that CloudWatch measures, and what one of it costs."""

    usd: Decimal
    metrics: Sequence[cloudwatch.Metric]


@dataclass(frozen=True, slots=True)
class Line:
    """Something that costs the same every month."""

    what: str
    quantity: int
    price: Price

    @property
    def usd(self) -> Decimal:
        return self.price.of(self.quantity)


def costs_by_service(watched: Watched) -> dict[str, cloudwatch.MathExpression]:
    """Return what each service's use costs, in dollars a period, by an id for expressions."""
    services = {
        "lambda": ("Lambda", _lambda_use(watched)),
        "dynamodb": ("DynamoDB", _dynamodb_use(watched)),
        "sqs": ("SQS", _sqs_use(watched)),
        "sns": ("SNS", _sns_use(watched)),
        "logs": ("CloudWatch Logs", _logs_use(watched)),
        "calls": ("PutMetricData", _calls_use(watched)),
    }
    return {f"usd_{id_}": _cost(id_, label, list(uses)) for id_, (label, uses) in services.items()}


def standing(alarms: Sequence[cloudwatch.IAlarm], budgets: Sequence[Budget]) -> tuple[Line, ...]:
    """Return what costs the same however much is used, a month."""
    composite = sum(isinstance(each, cloudwatch.CompositeAlarm) for each in alarms)
    watched_metrics = sum(_charged_metrics(each) for each in alarms)
    own_metrics = (
        len(metrics.GAUGES)
        + sum(budget.per is None for budget in budgets)
        + len(metrics.FLOWS)
        + len(metrics.FLOWS_IN_ALL_ONLY)
    )
    return (
        Line("metrics of the ledger", own_metrics, aws_prices.METRIC),
        Line("metrics that alarms look at", watched_metrics, aws_prices.ALARM_METRIC),
        Line("composite alarms", composite, aws_prices.COMPOSITE_ALARM),
        Line("dashboards", 1, aws_prices.DASHBOARD),
        Line("keys", 1, aws_prices.KMS_KEY),
        Line(
            "runs of the schedules",
            _WOKEN_EVERY_MINUTE * _MINUTES_A_MONTH,
            aws_prices.SCHEDULE_RUN,
        ),
    )


def usd_a_value() -> Decimal:
    """Return what each model, and each feature, adds a month."""
    return aws_prices.METRIC.of(len(metrics.FLOWS))


def _charged_metrics(alarm: cloudwatch.IAlarm) -> int:
    """Return how many metrics CloudWatch charges for; a formula's are charged one by one."""
    if isinstance(alarm, cloudwatch.CompositeAlarm):
        return 0
    if isinstance(alarm, cloudwatch.AnomalyDetectionAlarm):
        return aws_prices.ANOMALY_ALARM_METRICS
    metric = alarm.metric if isinstance(alarm, cloudwatch.Alarm) else None
    return len(metric.using_metrics) if isinstance(metric, cloudwatch.MathExpression) else 1


def _lambda_use(watched: Watched) -> Iterator[_Use]:
    functions = [each.function for each in watched.functions.values()]
    gb_milliseconds = aws_prices.LAMBDA_GB_SECOND.of(1) * MEMORY_MB / 1024 / 1000
    yield _Use(_one(aws_prices.LAMBDA_REQUEST), [each.metric_invocations() for each in functions])
    yield _Use(gb_milliseconds, [each.metric_duration() for each in functions])


def _dynamodb_use(watched: Watched) -> Iterator[_Use]:
    tables = watched.tables.values()
    for name, price in (
        ("ConsumedWriteCapacityUnits", aws_prices.DYNAMODB_WRITE),
        ("ConsumedReadCapacityUnits", aws_prices.DYNAMODB_READ),
    ):
        yield _Use(
            _one(price), [_metric("AWS/DynamoDB", name, "TableName", t.table_name) for t in tables]
        )


def _sqs_use(watched: Watched) -> Iterator[_Use]:
    names = [queue.queue.queue_name for queue in watched.queues.values()]
    for metric in _QUEUE_METRICS:
        yield _Use(
            _one(aws_prices.SQS_REQUEST),
            [_metric("AWS/SQS", metric, "QueueName", name) for name in names],
        )


def _sns_use(watched: Watched) -> Iterator[_Use]:
    names = [topic.topic_name for topic in watched.topics.values()]
    yield _Use(
        _one(aws_prices.SNS_PUBLISH),
        [_metric("AWS/SNS", "NumberOfMessagesPublished", "TopicName", name) for name in names],
    )


def _logs_use(watched: Watched) -> Iterator[_Use]:
    groups = [each.function.log_group.log_group_name for each in watched.functions.values()]
    yield _Use(
        # A gigabyte of log is 2^30 bytes.
        aws_prices.LOGS_INGESTED.of(1) / 2**30,
        [_metric("AWS/Logs", "IncomingBytes", "LogGroupName", name) for name in groups],
    )


def _calls_use(watched: Watched) -> Iterator[_Use]:
    # A run publishes what happened, and then how things stand; a call holds a thousand data.
    publisher = watched.functions["publish_gauges"].function
    yield _Use(_CALLS_A_RUN * _one(aws_prices.METRIC_REQUEST), [publisher.metric_invocations()])


def _one(price: Price) -> Decimal:
    return price.of(1)


def _metric(namespace: str, name: str, dimension: str, value: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, dimensions_map={dimension: value}
    )


def _cost(id_: str, label: str, uses: Sequence[_Use]) -> cloudwatch.MathExpression:
    using: dict[str, cloudwatch.IMetric] = {}
    terms = []
    for number, use in enumerate(uses):
        ids = [f"{id_}_{number}_{index}" for index in range(len(use.metrics))]
        using |= {
            each: metric.with_(statistic=cloudwatch.Stats.SUM, period=DAY)
            for each, metric in zip(ids, use.metrics, strict=True)
        }
        amount = " + ".join(f"FILL({each}, 0)" for each in ids)
        terms.append(f"({amount}) * {_plain(use.usd)}")
    return cloudwatch.MathExpression(
        expression=" + ".join(terms), using_metrics=using, label=label, period=DAY
    )


def _plain(number: Decimal) -> str:
    """Return the number without an exponent, which metric math does not read."""
    return f"{number:.18f}".rstrip("0").rstrip(".")


def total(
    costs: dict[str, cloudwatch.MathExpression], label: str, period: Duration = DAY
) -> cloudwatch.MathExpression:
    """Return what all services' use costs together."""
    return cloudwatch.MathExpression(
        expression=" + ".join(costs), using_metrics=costs, label=label, period=period
    )
