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
    bedrock_log: BedrockLogBlock | None = None
