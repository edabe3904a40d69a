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
from spendfuse.sandbox.demo.stage import check_project, put_up
from spendfuse.sandbox.folder import Folder
from spendfuse.sandbox.machine import Sandbox
from spendfuse.sandbox.signals import ended_by_signals

EXIT_NOT_RUNNING = 3


@click.group()
def sandbox() -> None:
    """Run AWS on this machine, with spendfuse deployed in it."""


@sandbox.command()
@click.option("--monthly-limit-usd", default="50", show_default=True, help="The root budget.")
@click.option("--port", default=0, help="The port to listen on. Default: a free one.")
@click.option("--with-app/--without-app", default=True, help="Deploy examples/rag_app too.")
def up(monthly_limit_usd: str, port: int, with_app: bool) -> None:
    """Start the sandbox and deploy; it stays up until `spendfuse sandbox down`.

    \b
    Example:
        spendfuse sandbox up --monthly-limit-usd 50
        spendfuse --sandbox fuse status
    """
    report = Report(say=click.echo, clock=time.monotonic)
    project = Path.cwd()
    check_project(project)
    with ended_by_signals():
        running = Sandbox.start(SANDBOX_FOLDER, detached=True, port=port)
        try:
            report.done("sandbox", f"sandbox up, at {running.running.endpoint_url}")
            put_up(running, project, report, monthly_limit_usd=monthly_limit_usd, with_app=with_app)
        except BaseException:
            running.stop()
            raise
    click.echo("\nIt stays up. `spendfuse --sandbox fuse status` speaks to it; for other tools:")
    click.echo(_exports(running.environment()))


@sandbox.command()
def down() -> None:
    """Stop the sandbox and all its processes.

    \b
    Example:
        spendfuse sandbox down
    """
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
    if Folder(SANDBOX_FOLDER.absolute()).running() is None:
        click.echo("{}" if as_json else "No sandbox runs; start one with `spendfuse sandbox up`.")
        raise SystemExit(EXIT_NOT_RUNNING)
    running = Sandbox.attach(SANDBOX_FOLDER)
    if as_json:
        click.echo(json.dumps({"endpoint_url": running.running.endpoint_url}))
        return
    click.echo(f"The sandbox runs at {running.running.endpoint_url}")
    click.echo(f"Slack, mail and PagerDuty arrive at {running.inbox.url}/messages")


def _exports(environment: Mapping[str, str]) -> str:
    wanted = [name for name in sorted(environment) if name.startswith("AWS_")]
    return "\n".join(f"export {name}={shlex.quote(environment[name])}" for name in wanted)
