"""What the configuration deploys, as far as its cost and its delays go by it."""

from __future__ import annotations

from collections.abc import Iterator

from spendfuse import aws_prices
from spendfuse.config import Config
from spendfuse.metering.sinks import sqs
from spendfuse.metering.sinks.background import Pace
from spendfuse.metering.sinks.packing import MAX_PACK_BYTES, MAX_PACK_RECORDS
from spendfuse.upkeep.bill import Standing
from spendfuse.upkeep.deployment import Sender

_FUNCTIONS, _QUEUES = 5, 3
_OF_TOPICS = 5
"""``delivery-failures``: of each of three topics, and of the two that have dead letters."""
_OF_A_STUCK_QUEUE = 2
"""What was received of it, and what was deleted."""
_HEARTBEATS = 2


def sender() -> Sender:
    """Return the SDK's sink for the usage queue, as it is without settings."""
    pace = Pace()
    return Sender(
        linger_seconds=pace.linger_seconds,
        max_records=min(MAX_PACK_RECORDS, pace.batch),
        max_bytes=MAX_PACK_BYTES,
        connect_seconds=sqs.CONNECT_SECONDS,
        read_seconds=sqs.READ_SECONDS,
        attempts=sqs.ATTEMPTS,
    )


def standing(config: Config) -> Standing:
    """Return what is there whether or not anybody calls."""
    return Standing(
        budgets=_gauged_budgets(config),
        alarm_metrics=sum(_alarm_metrics(config)),
        composite_alarms=int(_has_incident(config)),
        dashboards=1,
        emails=len(config.emails),
        secrets=int(config.slack_webhook_secret is not None),
        aws_budgets=len(config.aws_budgets),
        cost_anomaly_monitors=int(config.cost_anomaly is not None),
    )


def _alarm_metrics(config: Config) -> Iterator[int]:
    """Yield how many metrics each alarm that is on looks at, as CloudWatch charges them."""
    alarms = config.alarms
    functions = _FUNCTIONS + int(config.bedrock_log is not None)
    for figure in (
        alarms.high_daily_cost_usd,
        alarms.hourly_spend_usd,
        alarms.expensive_request_usd,
        alarms.error_percent,
        alarms.latency_p95_ms,
        alarms.silent_minutes,
        alarms.unmetered_tokens_an_hour,
        alarms.stream_lag_seconds,
    ):
        yield int(figure is not None)
    yield (alarms.anomaly_band is not None) * aws_prices.ANOMALY_ALARM_METRICS
    # Its floor is an alarm of its own, and of the incident alone.
    yield int(alarms.anomaly_usd is not None and alarms.spend_incident)
    yield (alarms.budget_warning_percent is not None) * _gauged_budgets(config)
    yield (alarms.budget_critical_percent is not None) * _gauged_budgets(config)
    yield alarms.dead_letters * _QUEUES
    yield (alarms.queue_age_seconds is not None) * _QUEUES
    yield alarms.queue_stuck * _QUEUES * _OF_A_STUCK_QUEUE
    yield alarms.function_errors * functions
    yield alarms.function_throttles * functions
    yield alarms.delivery_failures * _OF_TOPICS
    yield alarms.heartbeat * _HEARTBEATS
    yield int(alarms.unconfirmed_emails and bool(config.emails))


def _has_incident(config: Config) -> bool:
    """Whether there is a composite alarm: only where it has something to speak for."""
    alarms = config.alarms
    money = (
        alarms.high_daily_cost_usd,
        alarms.hourly_spend_usd,
        alarms.anomaly_band,
        alarms.budget_critical_percent,
    )
    return alarms.spend_incident and any(figure is not None for figure in money)


def _gauged_budgets(config: Config) -> int:
    return sum(budget.per is None for budget in config.definitions.budgets)
