"""Everything the story needs, deployed: spendfuse, the Slack webhook's secret, the app."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spendfuse.errors import SettingsError
from spendfuse.sandbox import cdk
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.machine import Sandbox

DEPLOYMENT = "spendfuse"
APP = "python3 examples/rag_app/app.py"
SLACK_SECRET = "spendfuse/slack-webhook"  # noqa: S105 - the name that stands in cdk.json
SETTING_UP = ("sandbox", "bootstrap", "deploy")


@dataclass(frozen=True)
class Deployed:
    """A sandbox with spendfuse in it."""

    sandbox: Sandbox
    outputs: Mapping[str, str]
    """Of all of spendfuse's stacks, and of the app's where it is deployed."""


@contextlib.contextmanager
def deployed(
    project: Path, folder: Path, report: Report, *, monthly_limit_usd: str, with_app: bool = True
) -> Iterator[Deployed]:
    """Start a sandbox, deploy, and stop it afterwards whatever happens."""
    check_project(project)
    with Sandbox.start(folder / "sandbox") as sandbox:
        report.done("sandbox", f"sandbox up, at {sandbox.running.endpoint_url}")
        yield put_up(
            sandbox, project, report, monthly_limit_usd=monthly_limit_usd, with_app=with_app
        )
        keep_messages(sandbox, folder / "inbox.json")


def keep_messages(sandbox: Sandbox, file: Path) -> None:
    """Write down every message that people received, for whoever wants to read them."""
    messages = [message.to_json() for message in sandbox.inbox.messages()]
    file.write_text(json.dumps(messages, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def check_project(project: Path) -> None:
    """Refuse a folder that is not spendfuse's checkout, before anything is started."""
    wanted = ("cdk.json", "app.py", "examples/rag_app/app.py", "node_modules/aws-cdk")
    missing = [name for name in wanted if not (project / name).exists()]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} not found here; run this in spendfuse's own folder, "
            "after `make setup`"
        )


def put_up(
    sandbox: Sandbox,
    project: Path,
    report: Report,
    *,
    monthly_limit_usd: str,
    with_app: bool,
) -> Deployed:
    """Bootstrap the account and deploy into it, as on AWS."""
    folder = sandbox.folder.path
    sandbox.client("secretsmanager").create_secret(
        Name=SLACK_SECRET, SecretString=sandbox.inbox.slack_url
    )
    cdk.bootstrap(sandbox, project=project)
    report.done("bootstrap", "cdk bootstrap: the account is ready for deployments")
    stacks = cdk.deploy(
        sandbox,
        project=project,
        context={"monthly_limit_usd": monthly_limit_usd},
        output=folder / "cdk.out",
    )
    report.done("deploy", f"cdk deploy --all: {', '.join(_deployed_stacks(sandbox))}")
    if with_app:
        stacks |= cdk.deploy(sandbox, APP, project=project, output=folder / "rag_app.out")
        report.done("deploy app", "cdk deploy: an app to protect, its API and two API keys")
    outputs = {key: value for stack in stacks.values() for key, value in stack.items()}
    return Deployed(sandbox, outputs)


def _deployed_stacks(sandbox: Sandbox) -> list[str]:
    answer = sandbox.client("cloudformation").describe_stacks()
    names = [stack["StackName"] for stack in answer["Stacks"]]
    return sorted(name for name in names if name.startswith(f"{DEPLOYMENT}-"))
