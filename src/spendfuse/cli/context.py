"""Which deployment a command speaks to, and how it reaches it.

The order is flag, then environment variable, then cdk.json, then default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from spendfuse.clock import utc_now
from spendfuse.errors import SettingsError, UnavailableError

STACKS = ("alerts", "fuse", "ledger")
SANDBOX_FOLDER = Path("build/sandbox")
_CLIENT_CONFIG = ClientConfig(
    connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 5}
)


class Aws(Protocol):
    """Makes boto3 clients."""

    def __call__(self, service: str) -> Any: ...


@dataclass
class Context:
    """What every command gets; tests make their own."""

    deployment: str
    aws: Aws
    now: Callable[[], datetime] = utc_now
    _clients: dict[str, Any] = field(default_factory=dict)
    _outputs: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a client of the chosen account and region; the same one each time."""
        if service not in self._clients:
            self._clients[service] = self.aws(service)
        return self._clients[service]

    def outputs(self) -> Mapping[str, str]:
        """Return what the deployed stacks say of themselves.

        Raises:
            SettingsError: a stack is not there; names it.
        """
        if not self._outputs:
            for stack in STACKS:
                self._outputs |= self._stack_outputs(f"{self.deployment}-{stack}")
        return self._outputs

    def _stack_outputs(self, name: str) -> dict[str, str]:
        try:
            (stack,) = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise UnavailableError(f"the stack {name} can't be read: {error}") from error
            raise SettingsError(
                f"there is no stack {name}; deploy with `cdk deploy --all`, or name the "
                "deployment with --deployment and its region with --region"
            ) from error
        except BotoCoreError as error:
            raise SettingsError(f"AWS can't be reached: {_with_remedy(error)}") from error
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def output(outputs: Mapping[str, str], key: str) -> str:
    """Return what a deployed stack says of itself.

    Raises:
        SettingsError: it does not say it (yet).
    """
    if key not in outputs:
        raise SettingsError(f"the deployed stacks have no output {key}; deploy this version first")
    return outputs[key]


def deployment_in(cdk_json: Path) -> str | None:
    """Return the deployment's name as the nearest cdk.json has it, if there is one."""
    try:
        name = json.loads(cdk_json.read_text(encoding="utf-8"))["context"]["spendfuse"]["name"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return name if isinstance(name, str) else None


def account(profile: str | None, region: str | None) -> Aws:
    """Return how to reach AWS itself; nothing is asked of it before the first client."""

    def client(service: str) -> Any:
        try:
            session = boto3.Session(profile_name=profile, region_name=region)
            return session.client(service, config=_CLIENT_CONFIG)
        except BotoCoreError as error:
            raise SettingsError(_with_remedy(error)) from error

    return client


_CREDENTIALS = "Configure credentials, for example with `aws configure` or AWS_PROFILE"
_LOGIN = "Log in again, for example with `aws sso login`"
_REGION = "Set --region or AWS_REGION, such as eu-central-1"
_REMEDIES: tuple[tuple[type[BotoCoreError], str], ...] = (
    (ProfileNotFound, "Name an existing one with --profile; `aws configure list-profiles` has all"),
    (NoRegionError, _REGION),
    (InvalidRegionError, _REGION),
    (NoCredentialsError, _CREDENTIALS),
    (PartialCredentialsError, _CREDENTIALS),
    (CredentialRetrievalError, _CREDENTIALS),
    (SSOError, _LOGIN),
    (TokenRetrievalError, _LOGIN),
)


def _with_remedy(error: BotoCoreError) -> str:
    """Return botocore's sentence, and what to do about it where that is known."""
    sentence = str(error).rstrip(". ")
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), None)
    return f"{sentence}. {remedy}" if remedy else sentence


def sandbox(folder: Path) -> Aws:
    """Return how to reach the sandbox that runs in ``folder``."""

    def client(service: str) -> Any:
        # Here, because commands that speak to AWS itself do without the sandbox's libraries.
        from spendfuse.sandbox.machine import Sandbox  # noqa: PLC0415

        return Sandbox.attach(folder).client(service)

    return client
