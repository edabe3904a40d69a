"""From CDK context to a ``Config``, or to one error that names every mistake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.budget import Budget, Rung
from spendfuse.config.cross_checks import cross_mistakes
from spendfuse.config.mistakes import Mistake, mistake_of, shown
from spendfuse.config.overlay import overlaid
from spendfuse.config.schema import (
    AwsBudgetBlock,
    BedrockLogBlock,
    BudgetBlock,
    RungBlock,
    SpendfuseBlock,
)
from spendfuse.config.values import AwsBudgetConfig, BedrockLogConfig, Config
from spendfuse.definitions import AwsBudget, Definitions, FuseDefinition
from spendfuse.errors import SettingsError
from spendfuse.money import nano_usd

BLOCK = "spendfuse"
_TRIPS_FROM_PERCENT = 100


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
    block, mistakes = _effective(raw, stage, context.get("monthly_limit_usd"))
    mistakes += list(cross_mistakes({**block, "stages": raw.get("stages")}))
    try:
        parsed = SpendfuseBlock.model_validate(block)
    except ValidationError as error:
        mistakes += [mistake_of(each) for each in error.errors(include_url=False)]
    if mistakes:
        raise SettingsError(_report(mistakes))
    return _config(parsed, stage if isinstance(stage, str) else None)


def stage_names(context: Mapping[str, Any]) -> list[str]:
    """Return the stages that the block defines."""
    block = context.get(BLOCK)
    stages = block.get("stages") if isinstance(block, Mapping) else None
    return sorted(stages) if isinstance(stages, Mapping) else []


def _effective(
    raw: Mapping[str, Any], stage: object, monthly_limit_usd: object
) -> tuple[dict[str, Any], list[Mistake]]:
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
        if is_object and not budget.get("match") and budget.get("period", "month") == "month":
            with_limit = {**budget, "limit_usd": limit}
            block["budgets"] = [*budgets[:index], with_limit, *budgets[index + 1 :]]
            return []
    return [Mistake("-c monthly_limit_usd", "there is no monthly root budget to apply it to")]


def _report(mistakes: list[Mistake]) -> str:
    lines = sorted({str(each) for each in mistakes})
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return "\n".join([f"{count} in the configuration:", *(f"  {line}" for line in lines)])


def _config(block: SpendfuseBlock, stage: str | None) -> Config:
    deployment = f"{block.name}-{stage}" if stage else block.name
    slack = block.alerts.slack
    budgets = sorted((_budget(each) for each in block.budgets), key=lambda each: not each.is_root)
    aws_blocks = [(each, _linked(each, budgets)) for each in block.aws_budgets]
    aws_budgets = tuple(_aws_budget(each, link, deployment) for each, link in aws_blocks)
    definitions = Definitions(
        deployment=deployment,
        budgets=tuple(budgets),
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


def _budget(block: BudgetBlock) -> Budget:
    return Budget(
        name=block.name,
        limit_nano_usd=nano_usd(block.limit_usd),
        period=block.period,
        ladder=tuple(_rung(each) for each in block.ladder),
        match=block.match,
    )


def _rung(block: RungBlock) -> Rung:
    trips = block.percent >= _TRIPS_FROM_PERCENT if block.trip is None else block.trip
    return Rung(block.percent, tuple(block.notify), trips)


def _linked(block: AwsBudgetBlock, budgets: list[Budget]) -> Budget:
    if block.budget is None:
        return budgets[0]
    return next(each for each in budgets if each.name == block.budget)


def _aws_budget(block: AwsBudgetBlock, link: Budget, deployment: str) -> AwsBudgetConfig:
    may_trip = block.trip and block.period == "month"
    trip_percents = [each for each in block.actual_percents if each >= _TRIPS_FROM_PERCENT]
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
