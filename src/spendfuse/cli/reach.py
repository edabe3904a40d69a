"""``spendfuse reach``: how late each net is, and what that costs."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from spendfuse.cli.cdk_json import config_in
from spendfuse.cli.deployed import sender
from spendfuse.cli.options import json_option, print_json
from spendfuse.cli.reach_report import Reach, reach_json, reach_lines
from spendfuse.config import AwsBudgetConfig, Config
from spendfuse.errors import InputError
from spendfuse.money import decimal_usd, nano_usd
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.nets import Nets
from spendfuse.upkeep.reach import (
    PACE_MULTIPLE,
    AwsRungs,
    SpendAlarms,
    aws_reach,
    budget_reach,
    even_pace,
    pace_reach,
)

_MOST_USD_PER_HOUR = 10**9


class _Pace(click.ParamType[Decimal]):
    name = "dollars"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            amount = decimal_usd(value)
        except InputError as error:
            self.fail(str(error), param, ctx)
        if not 0 < amount <= _MOST_USD_PER_HOUR:
            self.fail(f"{value}: write more than 0 and {_MOST_USD_PER_HOUR:,} at most", param, ctx)
        return amount


@click.command()
@click.option(
    "--usd-per-hour",
    type=_Pace(),
    help="How fast money goes. Default: ten times the even pace of each budget.",
)
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("cdk.json"))
@click.option("--stage", help="Show this stage.")
@json_option
def reach(*, usd_per_hour: Decimal | None, path: Path, stage: str | None, as_json: bool) -> None:
    """Show for every rung which nets see it, how late at worst, and what that costs.

    By cdk.json and the settings of the stacks. The worst is that each step takes as long as its
    timeout allows, while AWS is up; usually it takes seconds. --json has every step, and where
    its bound is from.

    \b
    Example:
        spendfuse reach
        spendfuse reach --usd-per-hour 250 --json
    """
    config = config_in(path, stage)
    found = _reach(config, usd_per_hour)
    if as_json:
        print_json(reach_json(found))
    else:
        click.echo("\n".join(reach_lines(found)))


def _reach(config: Config, usd_per_hour: Decimal | None) -> Reach:
    nets, alarms = Nets(Deployment(), sender()), _alarms(config)
    definitions = config.definitions
    root = definitions.root
    pace = usd_per_hour or even_pace(root.limit_nano_usd, root.period) * PACE_MULTIPLE
    links = {each.aws_name: each.budget for each in definitions.aws_budgets}
    return Reach(
        deployment=config.deployment,
        is_given=usd_per_hour is not None,
        nets=nets,
        budgets=tuple(
            budget_reach(
                budget,
                nets,
                alarms,
                usd_per_hour=usd_per_hour,
                is_armed=definitions.fuse.mode == "armed",
            )
            for budget in definitions.budgets
        ),
        aws_budgets=tuple(
            aws_reach(_aws_rungs(each, links[each.aws_name]), nets, usd_per_hour=usd_per_hour)
            for each in config.aws_budgets
        ),
        usd_per_hour=pace,
        paces=tuple(pace_reach(alarms, nets, pace)),
    )


def _aws_rungs(budget: AwsBudgetConfig, link: str) -> AwsRungs:
    return AwsRungs(
        aws_name=budget.aws_name,
        budget=link,
        limit_nano_usd=nano_usd(budget.limit_usd),
        period=budget.period,
        actual_percents=budget.actual_percents,
        forecast_percents=budget.forecast_percents,
        trip_percent=budget.trip_percent,
    )


def _alarms(config: Config) -> SpendAlarms:
    alarms = config.alarms
    return SpendAlarms(
        warning_percent=alarms.budget_warning_percent,
        critical_percent=alarms.budget_critical_percent,
        daily_usd=alarms.high_daily_cost_usd,
        hourly_usd=alarms.hourly_spend_usd,
        anomaly=alarms.anomaly_band is not None,
        cost_anomaly_usd=config.cost_anomaly.impact_usd if config.cost_anomaly else None,
    )
