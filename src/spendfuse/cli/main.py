"""The ``spendfuse`` command."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from spendfuse import __version__
from spendfuse.cli.context import SANDBOX_FOLDER, Context, account, deployment_in, sandbox
from spendfuse.errors import SpendfuseError

_COMMANDS = {
    "alerts": (
        "spendfuse.cli.alerts:alerts",
        "Try the channels on which people hear of the spend.",
    ),
    "budgets": (
        "spendfuse.cli.budgets:budgets",
        "See the budgets and what is left of them, and change limits.",
    ),
    "config": ("spendfuse.cli.config:config", "Check the spendfuse block of cdk.json."),
    "connect": (
        "spendfuse.cli.connect:connect",
        "Print what an app needs to be metered and guarded: variables, policy, code.",
    ),
    "demo": (
        "spendfuse.cli.demo:demo",
        "Deploy to a sandbox on this machine, overspend, and watch the fuse blow.",
    ),
    "estimate": (
        "spendfuse.cli.estimate:estimate",
        "Print what this deployment costs on AWS in a month, line by line.",
    ),
    "fuse": ("spendfuse.cli.fuse:fuse", "See, blow and restore the fuse."),
    "ledger": (
        "spendfuse.cli.ledger:ledger",
        "See what was counted and for whom, correct it, and send again what did not count.",
    ),
    "prices": ("spendfuse.cli.prices:prices", "See what calls and models cost."),
    "reach": (
        "spendfuse.cli.reach:reach",
        "Show for every rung which nets see it, how late at worst, and what that costs.",
    ),
    "sandbox": (
        "spendfuse.cli.sandbox:sandbox",
        "Run AWS on this machine, with spendfuse deployed in it.",
    ),
}
"""What to load, and its line in the help: to load them all for that takes half a second."""
_EXTRAS = {"boto3": "aws", "pydantic": "config"}
_SANDBOX = {"demo", "sandbox"}
"""Commands that need more libraries than all others together."""


class _Cli(click.Group):
    """Loads a command's file when it is asked for, and turns our errors into sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[name][0].split(":")
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            needed = _EXTRAS.get(str(error.name).partition(".")[0], "cli")
            extra = "sandbox" if name in _SANDBOX else needed
            raise click.ClickException(
                f"`spendfuse {name}` needs {error.name}; pip install 'spendfuse[{extra}]'"
            ) from error
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(_COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpendfuseError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Cli)
@click.version_option(__version__, prog_name="spendfuse")
@click.option(
    "--deployment",
    envvar="SPENDFUSE_DEPLOYMENT",
    help="The deployment's name, with its stage: acme-prod. Default: the name in cdk.json.",
)
@click.option("--profile", envvar="AWS_PROFILE", help="The AWS profile.")
@click.option("--region", envvar="AWS_REGION", help="The AWS region.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="Speak to the running sandbox.")
@click.pass_context
def main(
    ctx: click.Context,
    deployment: str | None,
    profile: str | None,
    region: str | None,
    in_sandbox: bool,
) -> None:
    """A fuse for the LLM bill of teams on AWS.

    \b
    Example:
        spendfuse config check
        spendfuse budgets list
        spendfuse fuse status
        spendfuse fuse restore --yes

    \b
    Exit codes:
        0  done, or nothing to do
        1  an error; what is wrong and what to do is on the last line
        2  wrong usage
        3  not as it should be: the fuse is tripped (`fuse status`), an alert did not
           arrive (`alerts test`), no sandbox runs (`sandbox status`), prices differ
           (`prices check --fail-on-difference`)
        4  the price book does not know the model (`prices cost`, `prices show`)
    """
    if ctx.obj is None:
        ctx.obj = Context(
            deployment=deployment or deployment_in(Path("cdk.json")) or "spendfuse",
            aws=sandbox(SANDBOX_FOLDER) if in_sandbox else account(profile, region),
        )
