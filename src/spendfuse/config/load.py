"""From CDK context to a ``Config``, or to one error that names every mistake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.budget import Budget, Rung
from spendfuse.config.alarms import alarms_config, cost_anomaly_config
from spendfuse.config.cross_checks import cross_mistakes, is_root
from spendfuse.config.limits import TRIPS_FROM_PERCENT, limits_of
from spendfuse.config.mistakes import Mistake, mistake_of, shown
from spendfuse.config.overlay import overlaid
from spendfuse.config.schema import AwsBudgetBlock, BedrockLogBlock, Block, SpendfuseBlock
from spendfuse.config.values import AwsBudgetConfig, BedrockLogConfig, Config
from spendfuse.definitions import AwsBudget, Definitions, FuseDefinition
from spendfuse.errors import SettingsError
from spendfuse.money import nano_usd

BLOCK = "spendfuse"
MAX_DEFINITIONS_BYTES = 350_000
"""An item of DynamoDB holds 400 KB, names and all."""
_Block = TypeVar("_Block", bound=Block)


def load(context: Mapping[str, Any]) -> Config:
    """Return the deployment that the CDK context describes.

    Args:
        context: ``spendfuse`` (the block of cdk.json) and, from ``cdk deploy -c``,
            ``stage`` and ``monthly_limit_usd``, which CDK hands over as text.

    Raises:
        SettingsError: every mistake, a line each.
    """
    raw = context.get(BLOCK)
    if not isinstance(raw, Mapping):
        raise SettingsError(
            f'cdk.json has no "{BLOCK}" object in its context; got {shown(raw)}. '
            "docs/configuration.md shows a whole one"
        )
    stage = context.get("stage")
    block, mistakes = effective(raw, stage, context.get("monthly_limit_usd"))
    mistakes += list(cross_mistakes({**block, "stages": raw.get("stages")}))
    parsed = checked(SpendfuseBlock, block, mistakes)
    config = _config(parsed, stage if isinstance(stage, str) else None)
    size = len(config.definitions.to_json().encode())
    if size > MAX_DEFINITIONS_BYTES:
        raise SettingsError(
            f"budgets, rates and aws_budgets make {size:,} bytes of definitions; one DynamoDB "
            f"item holds them, so write {MAX_DEFINITIONS_BYTES:,} at most: shorter matches, or "
            "one budget per team where there is one for each team"
        )
    return config


def checked(model: type[_Block], raw: Mapping[str, Any], mistakes: Sequence[Mistake]) -> _Block:
    """Return the block as the model has it.

    Raises:
        SettingsError: the mistakes found before and those of single fields, a line each.
    """
    try:
        parsed = model.model_validate(raw)
    except ValidationError as error:
        found = [mistake_of(each, model) for each in error.errors(include_url=False)]
        raise SettingsError(_report([*mistakes, *found])) from None
    if mistakes:
        raise SettingsError(_report(mistakes))
    return parsed


def stage_names(context: Mapping[str, Any]) -> list[str]:
    """Return the stages that the block defines."""
    block = context.get(BLOCK)
    stages = block.get("stages") if isinstance(block, Mapping) else None
    return sorted(stages) if isinstance(stages, Mapping) else []


def effective(
    raw: Mapping[str, Any], stage: object, monthly_limit_usd: object = None
) -> tuple[dict[str, Any], list[Mistake]]:
    """Return the block with its stage laid over it, and what is wrong with the stages."""
    block = {key: value for key, value in raw.items() if key != "stages"}
    stages, mistakes = raw.get("stages", {}), []
    if not isinstance(stages, Mapping):
        mistakes.append(
            Mistake("spendfuse.stages", f"got {shown(stages)}; write an object of stages by name")
        )
    elif stage is not None and stage not in stages:
        known = ", ".join(sorted(stages)) or "none yet"
        mistakes.append(
            Mistake("-c stage", f"got {shown(stage)}; add it to spendfuse.stages (there: {known})")
        )
    elif stage is not None:
        block = overlaid(block, stages[stage])
    if monthly_limit_usd is not None:
        mistakes += _set_monthly_limit(block, monthly_limit_usd)
    return block, mistakes


def _set_monthly_limit(block: dict[str, Any], limit: object) -> list[Mistake]:
    raw_budgets = block.get("budgets")
    budgets = raw_budgets if isinstance(raw_budgets, list) else []
    for index, budget in enumerate(budgets):
        is_object = isinstance(budget, Mapping)
        if is_object and is_root(budget) and budget.get("period", "month") == "month":
            with_limit = {**budget, "limit_usd": limit}
            block["budgets"] = [*budgets[:index], with_limit, *budgets[index + 1 :]]
            return []
    return [Mistake("-c monthly_limit_usd", "there is no monthly root budget to apply it to")]


def _report(mistakes: Sequence[Mistake]) -> str:
    lines = sorted({str(each) for each in mistakes})
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return "\n".join([f"{count} in the configuration:", *(f"  {line}" for line in lines)])


def _config(block: SpendfuseBlock, stage: str | None) -> Config:
    deployment = f"{block.name}-{stage}" if stage else block.name
    slack = block.alerts.slack
    limits = limits_of(block)
    budgets = tuple(sorted(limits.budgets, key=lambda each: not each.is_root))
    aws_blocks = [(each, _linked(each, budgets)) for each in block.aws_budgets]
    aws_budgets = tuple(_aws_budget(each, link, deployment) for each, link in aws_blocks)
    definitions = Definitions(
        deployment=deployment,
        budgets=budgets,
        rates=limits.rates,
        aws_budgets=tuple(
            _aws_definition(config, link)
            for config, (_, link) in zip(aws_budgets, aws_blocks, strict=True)
        ),
        fuse=FuseDefinition(
            name=block.fuse.name or deployment,
            mode=block.fuse.mode,
            key_stores=tuple(block.fuse.key_stores),
            allowance_percent=block.fuse.allowance_percent,
            plausible_multiple=block.fuse.plausible_multiple,
        ),
    )
    return Config(
        deployment=deployment,
        tags=block.tags,
        emails=tuple(block.alerts.emails),
        slack_webhook_secret=slack.webhook_secret if slack else None,
        definitions=definitions,
        aws_budgets=aws_budgets,
        alarms=alarms_config(block.alarms),
        cost_anomaly=cost_anomaly_config(block.cost_anomaly),
        bedrock_log=_bedrock_log(block.bedrock_log) if block.bedrock_log else None,
    )


def _bedrock_log(block: BedrockLogBlock) -> BedrockLogConfig:
    identity = block.identity
    return BedrockLogConfig(
        log_group=block.log_group,
        create=block.create,
        rules=BedrockRules(
            metadata=identity.metadata,
            roles=identity.roles,
            profiles=identity.profiles,
            principal_as=identity.principal_as,
            models=block.models,
            skip_roles=tuple(block.skip_roles),
        ),
        prices=block.prices,
    )


def _linked(block: AwsBudgetBlock, budgets: Sequence[Budget]) -> Budget:
    if block.budget is None:
        return budgets[0]
    return next(each for each in budgets if each.name == block.budget)


def _aws_budget(block: AwsBudgetBlock, link: Budget, deployment: str) -> AwsBudgetConfig:
    may_trip = block.trip and block.period == "month"
    trip_percents = [each for each in block.actual_percents if each >= TRIPS_FROM_PERCENT]
    trip_percent = trip_percents[0] if may_trip and trip_percents else None
    limit_usd = block.limit_usd or Decimal(link.limit_nano_usd).scaleb(-9)
    # All that CloudFormation can only change by replacement. The limit is not among it.
    replaced_by = [
        deployment,
        block.period,
        block.actual_percents,
        block.forecast_percents,
        block.emails,
        trip_percent,
    ]
    digest = hashlib.sha256(json.dumps(replaced_by).encode()).hexdigest()[:8]
    return AwsBudgetConfig(
        aws_name=f"{block.name}-{digest}",
        limit_usd=limit_usd,
        period=block.period,
        actual_percents=tuple(block.actual_percents),
        forecast_percents=tuple(block.forecast_percents),
        trip_percent=trip_percent,
        filters={key: tuple(values) for key, values in block.filters.items()},
        emails=tuple(block.emails),
    )


def _aws_definition(config: AwsBudgetConfig, link: Budget) -> AwsBudget:
    return AwsBudget(
        aws_name=config.aws_name,
        budget=link.name,
        limit_nano_usd=nano_usd(config.limit_usd),
        period=config.period,
        ladder=tuple(
            Rung(percent, _channels_at(link, percent), trips=percent == config.trip_percent)
            for percent in config.actual_percents
        ),
    )


def _channels_at(budget: Budget, percent: int) -> tuple[str, ...]:
    """Return the channels of the budget's highest rung at or below ``percent``."""
    below = [rung for rung in budget.ladder if rung.percent <= percent]
    return (below[-1] if below else budget.ladder[0]).channels
