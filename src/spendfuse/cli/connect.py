"""``spendfuse connect``: what an app needs of a deployed stack."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

import click

from spendfuse.cli.context import Context
from spendfuse.connect import check_store
from spendfuse.errors import SettingsError

_SNIPPET = """\
from spendfuse.connect import connect

guard, tracker = connect()
with guard.reserve(model="gpt-4o", prompt=messages, max_tokens=500, user="u-17"):
    response = client.chat.completions.create(model="gpt-4o", messages=messages, max_tokens=500)
    tracker.track_response(response, user="u-17")"""
_NEEDED = (
    "UsageQueueUrl",
    "LedgerTableName",
    "FuseTableName",
    "FuseName",
    "GuardTableName",
    "AppPolicyArn",
)


def _store(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value and ("@" in value or "password=" in value):
        raise click.BadParameter(
            "a password does not belong into an environment's text; put it into a file, and its "
            "name into SPENDFUSE_VALKEY_PASSWORD_FILE"
        )
    if value is not None:
        try:
            check_store(value)
        except SettingsError as error:
            raise click.BadParameter(str(error)) from error
    return value


@click.command()
@click.option(
    "--store",
    metavar="STORE",
    callback=_store,
    help="Where the guard counts, such as valkey://host:6379/0. Default: the deployed table.",
)
@click.option(
    "--spill-folder",
    metavar="FOLDER",
    help="Where records wait on disk while the queue does not take them.",
)
@click.option("--env", "env_only", is_flag=True, help="Print the variables alone, for a file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def connect(
    context: Context, store: str | None, spill_folder: str | None, env_only: bool, as_json: bool
) -> None:
    """Print what an app needs to be metered and guarded: variables, policy, code.

    Nothing in it is a secret: they are names. The app needs AWS credentials of its own, with the
    policy attached to its role.

    \b
    Example:
        spendfuse connect
        spendfuse connect --store valkey://cache.internal:6379/0
        spendfuse connect --env > app.env
    """
    if env_only and as_json:
        raise click.UsageError("--env and --json print different things; choose one")
    outputs = _complete(context.outputs())
    variables = _variables(context.deployment, outputs, store, spill_folder)
    policy_arn = outputs["AppPolicyArn"]
    if as_json:
        found = {"variables": variables, "policy_arn": policy_arn, "snippet": _SNIPPET}
        click.echo(json.dumps(found, indent=1))
    elif env_only:
        click.echo("\n".join(f"{name}={value}" for name, value in variables.items()))
    else:
        click.echo(_page(context.deployment, variables, policy_arn))


def _complete(outputs: Mapping[str, str]) -> Mapping[str, str]:
    missing = [name for name in _NEEDED if name not in outputs]
    if missing:
        raise SettingsError(
            f"the deployed stacks have no output {', '.join(missing)}; deploy this version first "
            "(cdk deploy --all)"
        )
    return outputs


def _variables(
    deployment: str, outputs: Mapping[str, str], store: str | None, spill_folder: str | None
) -> dict[str, str]:
    sink = {"kind": "sqs", "queue_url": outputs["UsageQueueUrl"]}
    if spill_folder:
        sink["spill_folder"] = spill_folder
    return {
        "SPENDFUSE_DEPLOYMENT": deployment,
        "SPENDFUSE_SINKS": json.dumps([sink]),
        "SPENDFUSE_GUARD_STORE": store or f"leased+dynamodb:{outputs['GuardTableName']}",
        "SPENDFUSE_LEDGER_TABLE": outputs["LedgerTableName"],
        "SPENDFUSE_FUSE_TABLE": outputs["FuseTableName"],
        "SPENDFUSE_FUSE_NAME": outputs["FuseName"],
    }


def _page(deployment: str, variables: Mapping[str, str], policy_arn: str) -> str:
    extras = "aws,prices"
    if "://" in variables["SPENDFUSE_GUARD_STORE"]:
        extras += ",valkey"
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(
        [
            f"# Connect an app to {deployment}",
            "",
            "# 1. Its environment:",
            *exports,
            "",
            "# 2. Its role needs this policy, and nothing else of ours:",
            "aws iam attach-role-policy --role-name YOUR_APP_ROLE \\",
            f"    --policy-arn {policy_arn}",
            "",
            "# 3. Its code:",
            f"pip install 'spendfuse[{extras}]'",
            "",
            _SNIPPET,
        ]
    )
