"""``spendfuse estimate``: what spendfuse itself costs on AWS."""

from __future__ import annotations

from pathlib import Path

import click

from spendfuse.cli.cdk_json import config_in
from spendfuse.cli.deployed import sender, standing
from spendfuse.cli.estimate_report import Estimate, estimate_json, estimate_lines
from spendfuse.cli.options import json_option, print_json
from spendfuse.config import Config
from spendfuse.errors import InputError
from spendfuse.upkeep.bill import monthly_bill
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import (
    Workload,
    counted,
    different_users,
    packing,
    usual_records_per_pack,
)

_COUNT = click.IntRange(min=0)
_SOME = click.IntRange(min=1)


@click.command()
@click.option("--requests", type=_COUNT, required=True, help="Metered requests a month.")
@click.option("--users", type=_COUNT, required=True, help="Different users who make them.")
@click.option(
    "--records-per-pack",
    type=_SOME,
    help="Requests that a process sends together; 500 make a pack at most. Default: those of one "
    "second, at an even pace.",
)
@click.option(
    "--users-per-pack",
    type=_SOME,
    help="Different users among them. Default: as many as chance brings together.",
)
@click.option("--processes", type=_SOME, default=1, show_default=True, help="That send packs.")
@click.option(
    "--packs-per-invocation",
    type=_SOME,
    default=1,
    show_default=True,
    help="Packs that the recorder finds waiting at once; 10 at most.",
)
@click.option("--models", type=_COUNT, default=3, show_default=True, help="Models in use.")
@click.option("--features", type=_COUNT, default=3, show_default=True, help="Features in use.")
@click.option(
    "--keys-per-pack",
    type=_COUNT,
    default=1,
    show_default=True,
    help="API keys whose requests are in one pack.",
)
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("cdk.json"))
@click.option("--stage", help="Estimate this stage.")
@json_option
def estimate(
    *,
    requests: int,
    users: int,
    records_per_pack: int | None,
    users_per_pack: int | None,
    processes: int,
    packs_per_invocation: int,
    models: int,
    features: int,
    keys_per_pack: int,
    path: Path,
    stage: str | None,
    as_json: bool,
) -> None:
    """Print what this deployment costs on AWS in a month, line by line.

    By cdk.json and what is metered: requests are on every budget. Prices are AWS's of us-east-1
    without the free tier; what the models themselves cost is not in it. --json has every figure
    that was measured or assumed.

    \b
    Example:
        spendfuse estimate --requests 10000000 --users 1000
        spendfuse estimate --requests 10000000 --users 1000 --records-per-pack 200 --json
    """
    config, sdk, deployment = config_in(path, stage), sender(), Deployment()
    records = records_per_pack or usual_records_per_pack(
        requests,
        processes=processes,
        linger_seconds=sdk.linger_seconds,
        max_records=sdk.max_records,
    )
    together = users_per_pack or max(1, different_users(users, records))
    packs = packing(records, together, max_records=sdk.max_records)
    at_once = packs.packs * packs_per_invocation
    if at_once > deployment.usage_batch_packs:
        raise click.UsageError(
            f"{at_once} packs at once are more than the recorder takes, "
            f"{deployment.usage_batch_packs}; lower --packs-per-invocation, or --records-per-pack, "
            f"of which {sdk.max_records} make a pack"
        )
    try:
        workload = Workload(
            requests=requests,
            users=users,
            records_per_pack=packs.records,
            users_per_pack=packs.users,
            counted=counted(config.definitions.budgets),
            packs_per_posting=at_once,
            models=models,
            features=features,
            keys_per_pack=keys_per_pack,
        )
    except InputError as error:
        raise click.UsageError(str(error)) from error
    _print(config, workload, deployment, as_json=as_json)


def _print(config: Config, workload: Workload, deployment: Deployment, *, as_json: bool) -> None:
    measured, there = Measured(), standing(config)
    result = Estimate(
        config.deployment,
        workload,
        there,
        deployment,
        measured,
        monthly_bill(workload, there, deployment, measured),
    )
    if as_json:
        print_json(estimate_json(result))
    else:
        click.echo("\n".join(estimate_lines(result)))
