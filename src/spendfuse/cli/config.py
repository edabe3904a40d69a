"""``spendfuse config``: what cdk.json says, checked before anything is deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from spendfuse.budget import Budget, Limits
from spendfuse.cli.alarm_text import alarm_lines, cost_anomaly_line
from spendfuse.cli.budget_text import limit_text, match_text, rate_text, unusual_lines
from spendfuse.cli.cdk_json import context_in, json_object
from spendfuse.config import AwsBudgetConfig, Config, budgets_from_file, load, stage_names
from spendfuse.errors import SettingsError
from spendfuse.money import display_usd, nano_usd

_OF_BUDGETS = {"budgets", "rates"}
"""What a file has that holds budgets and nothing else."""


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
    A file that holds nothing but budgets and rates is checked as an app reads it.

    \b
    Example:
        spendfuse config check
        spendfuse config check --stage prod --json
        spendfuse config check --file budgets.json
    """
    raw = json_object(path)
    if "context" not in raw and not raw.keys().isdisjoint(_OF_BUDGETS):
        if stage is not None:
            raise click.BadParameter(f"{path} holds budgets alone and has no stages; leave it out")
        _show_budgets(path, as_json=as_json)
        return
    context = context_in(raw, path)
    reports = dict.fromkeys(_report(context, each) for each in _stages(context, stage))
    mistakes = [report for report in reports if report]
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    shown = load(context | {"stage": stage})
    click.echo(shown.definitions.to_json() if as_json else "\n".join(_lines(shown)))


def _show_budgets(path: Path, *, as_json: bool) -> None:
    limits = budgets_from_file(path)
    if as_json:
        shown = {
            "budgets": [asdict(each) for each in limits.budgets],
            "rates": [asdict(each) for each in limits.rates],
        }
        click.echo(json.dumps(shown, sort_keys=True, indent=1))
        return
    click.echo(f"{path}: the budgets are sound")
    click.echo("\n".join(_limits_lines(limits)))


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
    yield from _limits_lines(shown.definitions.limits)
    for aws_budget in shown.aws_budgets:
        yield ""
        yield from _aws_budget_lines(aws_budget)
    yield ""
    yield from alarm_lines(shown.alarms)
    if shown.cost_anomaly:
        yield cost_anomaly_line(shown.cost_anomaly)
    yield ""
    yield f"fuse {fuse.name}: {fuse.mode}; keys of {', '.join(fuse.key_stores)} tagged"
    yield f"  spendfuse:fuse={fuse.name}; {fuse.allowance_percent} % allowance after a restore"
    yield f"e-mail: {', '.join(shown.emails) or 'nobody'}"
    yield f"Slack: webhook in the secret {shown.slack_webhook_secret or '(none)'}"


def _limits_lines(limits: Limits) -> Iterator[str]:
    for budget in limits.budgets:
        yield ""
        yield from _budget_lines(budget)
    for rate in limits.rates:
        yield ""
        yield f"rate {rate.name}: {rate_text(rate)}, {match_text(rate.match)}"


def _budget_lines(budget: Budget) -> Iterator[str]:
    yield f"budget {budget.name}: {limit_text(budget)}, {match_text(budget.match)}"
    yield from (f"  {line}" for line in unusual_lines(budget))
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
