"""``spendfuse sandbox``: spendfuse deployed on this machine, to try things on."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

import click

from spendfuse.cli.context import SANDBOX_FOLDER
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import put_up, script
from spendfuse.sandbox.folder import Folder
from spendfuse.sandbox.machine import Sandbox
from spendfuse.sandbox.signals import ended_by_signals

EXIT_NOT_RUNNING = 3
_FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN")


@click.group()
def sandbox() -> None:
    """Run AWS on this machine, with spendfuse deployed in it."""


@sandbox.command()
@click.option("--monthly-limit-usd", help="The root budget's limit. Default: cdk.json's.")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="The port to listen on. Default: a free one.",
)
@click.option("--with-app/--without-app", default=True, help="Deploy examples/rag_app too.")
def up(monthly_limit_usd: str | None, port: int, with_app: bool) -> None:
    """Start the sandbox and deploy cdk.json; it stays up until `spendfuse sandbox down`.

    \b
    Example:
        spendfuse sandbox up --monthly-limit-usd 50
        spendfuse --sandbox fuse status
    """
    report = Report(say=click.echo, clock=time.monotonic)
    play = script(Path.cwd(), monthly_limit_usd=monthly_limit_usd)
    with ended_by_signals():
        running = Sandbox.start(SANDBOX_FOLDER, detached=True, port=port)
        try:
            report.done("sandbox", f"sandbox up, at {running.running.endpoint_url}")
            put_up(running, play, report, with_app=with_app)
        except BaseException:
            running.stop()
            raise
    click.echo(
        "\nIt stays up. `spendfuse --sandbox fuse status` speaks to it; other tools do after"
    )
    click.echo('eval "$(spendfuse sandbox env)"')


@sandbox.command()
def env() -> None:
    """Print the variables with which aws, boto3 and the CDK speak to the sandbox.

    \b
    Example:
        spendfuse sandbox env
    """
    environment = Sandbox.attach(SANDBOX_FOLDER).environment()
    click.echo(f"unset {' '.join(_FOREIGN)}")
    click.echo(_exports(environment))


@sandbox.command()
def down() -> None:
    """Stop the sandbox and all its processes.

    \b
    Example:
        spendfuse sandbox down
    """
    if not _is_running():
        click.echo("No sandbox runs.")
        return
    Sandbox.attach(SANDBOX_FOLDER).stop()
    click.echo("The sandbox is down.")


@sandbox.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Say whether the sandbox runs, and where; exit with 3 if it does not.

    \b
    Example:
        spendfuse sandbox status --json
    """
    if not _is_running():
        click.echo("{}" if as_json else "No sandbox runs; start one with `spendfuse sandbox up`.")
        raise SystemExit(EXIT_NOT_RUNNING)
    running = Sandbox.attach(SANDBOX_FOLDER)
    inbox = f"{running.inbox.url}/messages"
    if as_json:
        shown = {"endpoint_url": running.running.endpoint_url, "inbox_url": inbox}
        click.echo(json.dumps({**shown, "environment": running.environment()}))
        return
    click.echo(f"The sandbox runs at {running.running.endpoint_url}")
    click.echo(f"Slack, mail and PagerDuty arrive at {inbox}")


def _is_running() -> bool:
    return Folder(SANDBOX_FOLDER.absolute()).running() is not None


def _exports(environment: Mapping[str, str]) -> str:
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())
    )
