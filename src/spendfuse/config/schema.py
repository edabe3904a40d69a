"""The shape of the ``spendfuse`` block.

Each validator answers for one field, so that a mistake in one hides none in another;
what concerns two fields at once is in ``config.cross_checks``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from spendfuse.budget import DEFAULT_LOCAL_SHARE_PERCENT, Mode, WhenDown
from spendfuse.config import fields, scopes
from spendfuse.period import UTC_ZONE, PeriodKind


def _rung(value: Any) -> Any:
    """A bare number is a rung that tells both channels, and trips from 100 % on."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"percent": value}
    if isinstance(value, (dict, RungBlock)):
        return value
    raise ValueError('write a whole percent, such as 80, or {"percent": 80, "notify": ["slack"]}')


def _some(hint: str) -> AfterValidator:
    """Refuse an empty list, and say what to write into it."""

    def some(values: list[Any]) -> list[Any]:
        if not values:
            raise ValueError(f"it is empty; write {hint}")
        return values

    return AfterValidator(some)


def _or_off(example: str) -> BeforeValidator:
    """Take ``true`` for the default figures, and ``false`` for no alarm."""

    def figures(value: Any) -> Any:
        if isinstance(value, (dict, Block)):
            return value
        if isinstance(value, bool):
            return {} if value else None
        raise ValueError(f"write true, false, or its figures, such as {example}")

    return BeforeValidator(figures)


def _rising_ladder(rungs: list[RungBlock]) -> list[RungBlock]:
    fields.rising([rung.percent for rung in rungs])
    return rungs


Percent = Annotated[int, Field(ge=1, le=1000)]
Percents = Annotated[list[Percent], AfterValidator(fields.rising_percents)]
LimitUsd = Annotated[Decimal, BeforeValidator(fields.limit_usd)]
Email = Annotated[str, AfterValidator(fields.email)]
Emails = Annotated[list[Email], AfterValidator(fields.distinct)]
Name = Annotated[str, AfterValidator(fields.name)]
Channel = Literal["email", "slack"]
Filled = Annotated[str, AfterValidator(fields.filled)]
Attribute = Annotated[str, AfterValidator(fields.attribute)]
AlarmUsd = Annotated[Decimal, BeforeValidator(fields.alarm_usd)]
Match = Annotated[dict[str, str], AfterValidator(scopes.match)]
Per = Annotated[str, AfterValidator(scopes.attribute)]
Attributes = dict[Attribute, Annotated[str, AfterValidator(fields.attribute_value)]]


class Block(BaseModel):
    """A JSON object of the configuration: types are strict, unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RungBlock(Block):
    percent: Percent
    notify: Annotated[list[Channel], _some('"email", "slack" or both')] = ["email", "slack"]
    trip: bool | None = None


class BudgetBlock(Block):
    name: Name
    limit_usd: LimitUsd
    period: PeriodKind = "month"
    match: Match = {}
    per: Per | None = None
    zone: Annotated[str, AfterValidator(scopes.zone)] = UTC_ZONE
    mode: Mode = "strict"
    when_down: WhenDown = "fail_closed"
    local_share_percent: Annotated[int, Field(ge=1, le=100)] = DEFAULT_LOCAL_SHARE_PERCENT
    # Its default depends on per, and so does whether it may be empty: see config.limits.
    ladder: Annotated[
        list[Annotated[RungBlock, BeforeValidator(_rung)]], AfterValidator(_rising_ladder)
    ] = []


class RateBlock(Block):
    name: Name
    usd_per_minute: Annotated[Decimal, BeforeValidator(fields.usd_per_minute)]
    match: Match = {}
    per: Per | None = None


class AwsBudgetBlock(Block):
    name: Name
    budget: Name | None = None
    limit_usd: LimitUsd | None = None
    period: Literal["day", "month"] = "month"
    actual_percents: Percents = [50, 80, 100]
    forecast_percents: Percents = []
    filters: Annotated[dict[str, list[str]], AfterValidator(fields.filters)] = {}
    emails: Annotated[Emails, Field(max_length=10)] = []
    trip: bool = True


class SlackBlock(Block):
    webhook_secret: Annotated[str, AfterValidator(fields.secret_name)]


class AlertsBlock(Block):
    emails: Emails = []
    slack: SlackBlock | None = None


class FuseBlock(Block):
    mode: Literal["armed", "dry-run", "off"] = "armed"
    name: Name | None = None
    key_stores: list[Literal["api_gateway"]] = ["api_gateway"]
    allowance_percent: Annotated[int, Field(ge=1, le=100)] = 10
    plausible_multiple: Annotated[int, Field(ge=1, le=1000)] = 10


class HighDailyCostBlock(Block):
    usd: AlarmUsd = Decimal(100)


class HourlySpendBlock(Block):
    usd: AlarmUsd = Decimal(20)


class BudgetUsedBlock(Block):
    # That the warning comes first is checked in config.cross_checks, defaults and all.
    warning_percent: Percent = 80
    critical_percent: Percent = 100


class ExpensiveRequestBlock(Block):
    usd: AlarmUsd = Decimal("0.05")


class ErrorRateBlock(Block):
    # More than all requests never fail.
    percent: Annotated[int, Field(ge=1, le=100)] = 10


class LatencyBlock(Block):
    ms: Annotated[int, Field(ge=1, le=86_400_000)] = 10_000


class SpendAnomalyBlock(Block):
    band: Annotated[float, BeforeValidator(fields.band)] = 3
    usd: AlarmUsd = Decimal(1)


class MeteringSilentBlock(Block):
    minutes: Annotated[int, Field(ge=1, le=10_080)] = 60


class UnmeteredUseBlock(Block):
    tokens_an_hour: Annotated[int, Field(ge=1, le=10**12)] = 100_000


class StreamLagBlock(Block):
    # A stream forgets after a day, and a queue of ours after fourteen.
    seconds: Annotated[int, Field(ge=1, le=86_400)] = 120


class QueueAgeBlock(Block):
    seconds: Annotated[int, Field(ge=1, le=1_209_600)] = 600


class AlarmsBlock(Block):
    high_daily_cost: Annotated[HighDailyCostBlock | None, _or_off('{"usd": 100}')] = (
        HighDailyCostBlock()
    )
    hourly_spend: Annotated[HourlySpendBlock | None, _or_off('{"usd": 20}')] = HourlySpendBlock()
    budget_used: Annotated[
        BudgetUsedBlock | None, _or_off('{"warning_percent": 80, "critical_percent": 100}')
    ] = BudgetUsedBlock()
    expensive_request: Annotated[ExpensiveRequestBlock | None, _or_off('{"usd": "0.05"}')] = (
        ExpensiveRequestBlock()
    )
    error_rate: Annotated[ErrorRateBlock | None, _or_off('{"percent": 10}')] = ErrorRateBlock()
    latency_p95: Annotated[LatencyBlock | None, _or_off('{"ms": 10000}')] = LatencyBlock()
    spend_anomaly: Annotated[SpendAnomalyBlock | None, _or_off('{"band": 3, "usd": 1}')] = (
        SpendAnomalyBlock()
    )
    metering_silent: Annotated[MeteringSilentBlock | None, _or_off('{"minutes": 60}')] = (
        MeteringSilentBlock()
    )
    unmetered_use: Annotated[UnmeteredUseBlock | None, _or_off('{"tokens_an_hour": 100000}')] = (
        UnmeteredUseBlock()
    )
    dead_letters: bool = True
    function_errors: bool = True
    function_throttles: bool = True
    stream_lag: Annotated[StreamLagBlock | None, _or_off('{"seconds": 120}')] = StreamLagBlock()
    queue_age: Annotated[QueueAgeBlock | None, _or_off('{"seconds": 600}')] = QueueAgeBlock()
    queue_stuck: bool = True
    delivery_failures: bool = True
    unconfirmed_emails: bool = True
    heartbeat: bool = True
    spend_incident: bool = True
    runbooks: Annotated[str, AfterValidator(fields.runbooks)] = "docs/runbooks"


class CostAnomalyBlock(Block):
    impact_usd: AlarmUsd = Decimal(20)
    monitor_arn: Annotated[str, AfterValidator(fields.monitor_arn)] | None = None


class BedrockIdentityBlock(Block):
    metadata: dict[Filled, Attribute] = {}
    roles: dict[Filled, Attributes] = {}
    profiles: dict[Filled, Attributes] = {}
    principal_as: Attribute | None = None


class BedrockLogBlock(Block):
    log_group: Annotated[str, AfterValidator(fields.log_group)] = "/spendfuse/bedrock"
    create: bool = True
    identity: BedrockIdentityBlock = BedrockIdentityBlock()
    models: dict[Filled, Filled] = {}
    skip_roles: list[Filled] = []
    prices: Filled | None = None


class LimitsBlock(Block):
    """What a file of budgets holds, and the part of the block that the guard enforces."""

    budgets: list[BudgetBlock] = []
    rates: list[RateBlock] = []


class SpendfuseBlock(Block):
    name: Annotated[str, AfterValidator(fields.stack_name)] = "spendfuse"
    tags: Annotated[dict[str, str], AfterValidator(fields.tags)]
    alerts: AlertsBlock = AlertsBlock()
    budgets: Annotated[
        list[BudgetBlock],
        _some('at least one budget, such as {"name": "llm", "limit_usd": 1000}'),
    ]
    rates: list[RateBlock] = []
    aws_budgets: list[AwsBudgetBlock] = []
    fuse: FuseBlock = FuseBlock()
    alarms: AlarmsBlock = AlarmsBlock()
    cost_anomaly: CostAnomalyBlock | None = None
    bedrock_log: BedrockLogBlock | None = None
