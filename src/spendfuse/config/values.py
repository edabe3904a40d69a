"""What the rest of spendfuse gets of the configuration: plain values, nothing left to check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.definitions import Definitions


@dataclass(frozen=True, slots=True)
class AwsBudgetConfig:
    """One AWS::Budgets::Budget to deploy."""

    aws_name: str
    """``<name>-<8 hex>``: a new name whenever AWS would have to replace the budget anyway."""
    limit_usd: Decimal
    period: Literal["day", "month"]
    actual_percents: tuple[int, ...]
    forecast_percents: tuple[int, ...]
    trip_percent: int | None
    """The ACTUAL rung that goes to the topic ``trips``; None when it never trips."""
    filters: Mapping[str, tuple[str, ...]]
    """AWS cost filters, such as ``{"TagKeyValue": ("user:Project$rag",)}``; they AND together."""
    emails: tuple[str, ...]
    """Addresses that AWS mails by itself, past our own Lambdas."""


@dataclass(frozen=True, slots=True)
class BedrockLogConfig:
    """The invocation log of Bedrock that is metered."""

    log_group: str
    create: bool
    """Whether the log group, and the role that Bedrock writes to it with, are ours to make."""
    rules: BedrockRules
    prices: str | None = None
    """A file of price overrides, beside cdk.json."""


@dataclass(frozen=True, slots=True)
class AlarmsConfig:
    """Which alarms to deploy, and from where on each of them rings; None or False is off."""

    high_daily_cost_usd: Decimal | None
    hourly_spend_usd: Decimal | None
    budget_warning_percent: int | None
    budget_critical_percent: int | None
    expensive_request_usd: Decimal | None
    error_percent: int | None
    latency_p95_ms: int | None
    anomaly_band: float | None
    anomaly_usd: Decimal | None
    """An hour below it is no anomaly that an incident is made of."""
    """The width of what is expected, in standard deviations."""
    silent_minutes: int | None
    unmetered_tokens_an_hour: int | None
    dead_letters: bool
    function_errors: bool
    function_throttles: bool
    stream_lag_seconds: int | None
    queue_age_seconds: int | None
    queue_stuck: bool
    delivery_failures: bool
    unconfirmed_emails: bool
    heartbeat: bool
    spend_incident: bool
    runbooks: str
    """Where the runbooks are: a folder or a URL, without a slash at its end."""


@dataclass(frozen=True, slots=True)
class CostAnomalyConfig:
    """AWS's own Cost Anomaly Detection, and from where on it is told."""

    impact_usd: Decimal
    monitor_arn: str | None
    """A monitor that is there already; None makes one."""


@dataclass(frozen=True, slots=True)
class Config:
    """One deployment, whole."""

    deployment: str
    tags: Mapping[str, str]
    emails: tuple[str, ...]
    slack_webhook_secret: str | None
    definitions: Definitions
    aws_budgets: tuple[AwsBudgetConfig, ...]
    alarms: AlarmsConfig
    cost_anomaly: CostAnomalyConfig | None
    """None where AWS's anomalies are not asked for."""
    bedrock_log: BedrockLogConfig | None
    """None where Bedrock's log is not metered."""
