"""Everything the story needs, deployed: spendfuse, the Slack webhook's secret, the app."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spendfuse.config import BLOCK, Config, load
from spendfuse.errors import SettingsError
from spendfuse.money import display_usd
from spendfuse.sandbox import cdk
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.machine import Sandbox

SETTING_UP = ("sandbox", "bootstrap", "deploy")
_CHECKOUT = ("cdk.json", "app.py", "examples/rag_app/app.py", "node_modules/aws-cdk")


@dataclass(frozen=True)
class Script:
    """What is to be deployed, checked before anything is started."""

    project: Path
    """spendfuse's checkout."""
    cdk_json: Mapping[str, Any]
    """The project's, with the context to deploy with."""
    config: Config


@dataclass(frozen=True)
class Deployed:
    """A sandbox with spendfuse in it."""

    sandbox: Sandbox
    outputs: Mapping[str, str]
    """Of all of spendfuse's stacks, and of the app's where it is deployed."""


def script(
    project: Path, *, block: Mapping[str, Any] | None = None, monthly_limit_usd: str | None = None
) -> Script:
    """Read the project's cdk.json; ``block`` takes the place of its own spendfuse block.

    Raises:
        SettingsError: the folder is not spendfuse's checkout, or the configuration is wrong.
    """
    missing = [name for name in _CHECKOUT if not (project / name).exists()]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} not found here; run this in spendfuse's own folder, "
            "after `make setup`"
        )
    try:
        cdk_json = json.loads((project / "cdk.json").read_text(encoding="utf-8"))
        context = cdk_json["context"]
    except (ValueError, LookupError, TypeError) as error:
        raise SettingsError(f"cdk.json can't be read: {error}") from error
    if block is not None:
        context[BLOCK] = block
    if monthly_limit_usd is not None:
        context["monthly_limit_usd"] = monthly_limit_usd
    return Script(project.absolute(), cdk_json, load(context))


@contextlib.contextmanager
def deployed(
    play: Script, folder: Path, report: Report, *, with_app: bool = True
) -> Iterator[Deployed]:
    """Start a sandbox, deploy, and stop it afterwards whatever happens."""
    inbox = folder / "inbox.json"
    inbox.unlink(missing_ok=True)
    with Sandbox.start(folder / "sandbox") as sandbox:
        report.done("sandbox", f"sandbox up, at {sandbox.running.endpoint_url}")
        try:
            yield put_up(sandbox, play, report, with_app=with_app)
        finally:
            keep_messages(sandbox, inbox)


def keep_messages(sandbox: Sandbox, file: Path) -> None:
    """Write down every message that people received, for whoever wants to read them."""
    messages = [message.to_json() for message in sandbox.inbox.messages()]
    file.write_text(json.dumps(messages, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def put_up(sandbox: Sandbox, play: Script, report: Report, *, with_app: bool) -> Deployed:
    """Bootstrap the account and deploy into it, as on AWS."""
    folder, config = sandbox.folder.path, play.config
    if config.slack_webhook_secret is not None:
        sandbox.client("secretsmanager").create_secret(
            Name=config.slack_webhook_secret, SecretString=sandbox.inbox.slack_url
        )
    cdk.bootstrap(sandbox, project=play.project)
    report.done("bootstrap", "cdk bootstrap: the account is ready for deployments")
    stacks = cdk.deploy(
        sandbox,
        _command(play.project / "app.py"),
        project=play.project,
        cwd=_cdk_json_folder(folder, play.cdk_json),
        output=folder / "cdk.out",
    )
    names = ", ".join(_deployed_stacks(sandbox, config.deployment))
    limit = display_usd(config.definitions.root.limit_nano_usd)
    report.done("deploy", f"cdk deploy --all: {names} ({limit} a month)")
    if with_app:
        stacks |= cdk.deploy(
            sandbox,
            _command(play.project / "examples" / "rag_app" / "app.py"),
            project=play.project,
            context={"deployment": config.deployment},
            output=folder / "rag_app.out",
        )
        report.done("deploy app", "cdk deploy: an app to protect, its API and two API keys")
    outputs = {key: value for stack in stacks.values() for key, value in stack.items()}
    return Deployed(sandbox, outputs)


def _command(app: Path) -> str:
    return f"python3 {shlex.quote(str(app))}"


def _cdk_json_folder(folder: Path, cdk_json: Mapping[str, Any]) -> Path:
    """Write the cdk.json to deploy with, in a folder of its own, and return the folder."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "cdk.json").write_text(json.dumps(cdk_json, indent=2), encoding="utf-8")
    return project


def _deployed_stacks(sandbox: Sandbox, deployment: str) -> list[str]:
    answer = sandbox.client("cloudformation").describe_stacks()
    names = [stack["StackName"] for stack in answer["Stacks"]]
    return sorted(name for name in names if name.startswith(f"{deployment}-"))
