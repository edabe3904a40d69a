"""``spendfuse config``: what cdk.json says, checked before anything is deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from spendfuse.budget import Budget
from spendfuse.config import AwsBudgetConfig, Config, load, stage_names
from spendfuse.errors import SettingsError
from spendfuse.money import display_usd, nano_usd


@click.group()
def config() -> None:
    """Check the spendfuse block of cdk.json."""


@config.command()
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("cdk.json"))
@click.option("--stage", help="Show this stage. All stages are checked in any case.")
@click.option("--json", "as_json", is_flag=True, help="Print the definitions as JSON.")
def check(path: Path, stage: str | None, as_json: bool) -> None:
    """Check cdk.json and show what it means in dollars.

    Every mistake, in every stage, is printed at once with its path, and the exit code is 1.

    \b
    Example:
        spendfuse config check
        spendfuse config check --stage prod --json
    """
    context = _context(path)
    reports = dict.fromkeys(_report(context, each) for each in _stages(context, stage))
    mistakes = [report for report in reports if report]
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    shown = load(context | {"stage": stage})
    click.echo(shown.definitions.to_json() if as_json else "\n".join(_lines(shown)))


def _context(path: Path) -> dict[str, Any]:
    try:
        context = json.loads(path.read_text(encoding="utf-8"))["context"]
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read: {error.strerror}; name it with --file"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    except (KeyError, TypeError) as error:
        raise SettingsError(f'{path} has no "context" object') from error
    if not isinstance(context, dict):
        raise SettingsError(f'"context" in {path} must be an object')
    return context


def _stages(context: dict[str, Any], stage: str | None) -> list[str | None]:
    return [None, *dict.fromkeys([*stage_names(context), *([stage] if stage else [])])]


def _report(context: dict[str, Any], stage: str | None) -> str | None:
    try:
        load(context | {"stage": stage})
    except SettingsError as error:
        return f"stage {stage}: {error}" if stage else str(error)
    return None


def _lines(shown: Config) -> Iterator[str]:
    fuse = shown.definitions.fuse
    yield f"deployment {shown.deployment}: the configuration is sound"
    for budget in shown.definitions.budgets:
        yield ""
        yield from _budget_lines(budget)
    for aws_budget in shown.aws_budgets:
        yield ""
        yield from _aws_budget_lines(aws_budget)
    yield ""
    yield f"fuse {fuse.name}: {fuse.mode}; keys of {', '.join(fuse.key_stores)} tagged"
    yield f"  spendfuse:fuse={fuse.name}; {fuse.allowance_percent} % allowance after a restore"
    yield f"e-mail: {', '.join(shown.emails) or 'nobody'}"
    yield f"Slack: webhook in the secret {shown.slack_webhook_secret or '(none)'}"


def _budget_lines(budget: Budget) -> Iterator[str]:
    scope = ", ".join(f"{key}={value}" for key, value in budget.match.items()) or "all usage"
    yield f"budget {budget.name}: {display_usd(budget.limit_nano_usd)} a {budget.period}, {scope}"
    for rung in budget.ladder:
        threshold = display_usd(rung.threshold_nano_usd(budget.limit_nano_usd))
        blows = "; trips the fuse" if rung.trips else ""
        yield f"  {rung.percent:>4} %  {threshold:>14}  {', '.join(rung.channels)}{blows}"


def _aws_budget_lines(budget: AwsBudgetConfig) -> Iterator[str]:
    limit = display_usd(nano_usd(budget.limit_usd))
    yield f"AWS budget {budget.aws_name}: {limit} a {budget.period}"
    for percent in budget.actual_percents:
        blows = "; trips the fuse" if percent == budget.trip_percent else ""
        yield f"  {percent:>4} %  of the actual bill{blows}"
    for percent in budget.forecast_percents:
        yield f"  {percent:>4} %  of the forecast"
