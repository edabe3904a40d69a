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
class Config:
    """One deployment, whole."""

    deployment: str
    tags: Mapping[str, str]
    emails: tuple[str, ...]
    slack_webhook_secret: str | None
    definitions: Definitions
    aws_budgets: tuple[AwsBudgetConfig, ...]
    bedrock_log: BedrockLogConfig | None
    """None where Bedrock's log is not metered."""
