"""The budgets in force: what is deployed, what was set over it, and what the ledger counted."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.budget import Budget, Limits, Override
from spendfuse.cli.context import Context
from spendfuse.config import budgets_from_file, stage_names
from spendfuse.config.fields import MAX_ATTRIBUTE_BYTES
from spendfuse.config.scopes import is_attribute_text
from spendfuse.definitions import AwsBudget, Definitions, definitions_from_json
from spendfuse.errors import InputError, SettingsError, SpendfuseError
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.period import Period

CDK_JSON = Path("cdk.json")
_NEAR = 0.5


@dataclass(frozen=True)
class Book:
    """The budgets of one deployment as they are now."""

    deployment: str
    limits: Limits
    source: str
    """The file that says what is in force where nothing was set: cdk.json, or the one named."""
    version: str | None
    """Of the definitions that are deployed; None before the deployment has written them."""
    note: str | None
    """What a reader must know about the source."""
    counted: frozenset[str] | None
    """The budgets that the ledger counts; None while that is not known."""
    aws_budgets: tuple[AwsBudget, ...]
    """Those that are deployed: their limits follow cdk.json alone."""
    ledger: DynamoLedger
    overrides: DynamoOverrides
    now: datetime

    def budget(self, name: str) -> Budget:
        """Return the budget of that name.

        Raises:
            click.BadParameter: there is none; names those near it.
        """
        found = self.limits.budget(name)
        if found is not None:
            return found
        if any(each.name == name for each in self.limits.rates):
            raise click.BadParameter(
                f"{name!r} is a rate, not a budget; its dollars a minute are set in {self.source}"
            )
        names = sorted(each.name for each in self.limits.budgets)
        near = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise click.BadParameter(
            f"there is no budget {name!r}; {hint}there are: {', '.join(names)}"
        )

    def period(self, budget: Budget, key: str | None) -> Period:
        """Return the budget's period of that key, or the one that runs.

        Raises:
            click.BadParameter: not a key of this budget's kind of period.
        """
        if key is None:
            return budget.period_at(self.now)
        try:
            return budget.period_of(key)
        except InputError as error:
            now = budget.period_at(self.now).key
            raise click.BadParameter(f"{error}; {budget.name} is in {now} now") from error

    def limit(self, budget: Budget, value: str = "") -> int:
        """Return the nano-dollars in force."""
        return self.limits.limit_nano_usd(budget, value)

    def override(self, budget: Budget, value: str = "") -> Override | None:
        """Return what was set for just this budget, or just this value of it."""
        return self.limits.overrides.get((budget.name, value))

    def decisive(self, budget: Budget, value: str = "") -> Override | None:
        """Return the override that the limit in force comes from, if it comes from one."""
        return self.override(budget, value) or self.override(budget)

    def of_values(self, budget: Budget) -> list[Override]:
        """Return the overrides of single values, by value."""
        overrides = self.limits.overrides.values()
        mine = (each for each in overrides if each.budget == budget.name and each.value)
        return sorted(mine, key=lambda each: each.value)

    def orphans(self) -> list[Override]:
        """Return the overrides of what is not among these budgets, or has no ``per`` any more."""
        budgets = {each.name: each for each in self.limits.budgets}
        return sorted(
            each
            for each in self.limits.overrides.values()
            if each.budget not in budgets or (each.value and budgets[each.budget].per is None)
        )

    def spent(self, budget: Budget, period: Period, value: str = "") -> int | None:
        """Return the nano-dollars that the ledger counted; None where it counts no such sum."""
        if budget.per is not None and not value:
            return None
        if self.counted is not None and budget.name not in self.counted:
            return None
        return self.ledger.spent(budget.name, period.key, value)


def open_book(context: Context, file: Path | None) -> Book:
    """Read the deployment's budgets; with ``file``, those of the file, and what was set over them.

    Raises:
        SettingsError: there is no such deployment, or a file has mistakes.
        UnavailableError: the ledger table can't be read.
    """
    outputs = context.outputs()
    if "LedgerTableName" not in outputs:
        raise SettingsError(
            "the deployed stacks have no output LedgerTableName; deploy this version first"
        )
    table, dynamodb = outputs["LedgerTableName"], context.client("dynamodb")
    overrides = DynamoOverrides(dynamodb, table)
    stored = overrides.limits()
    deployed = _deployed(stored.definitions_json)
    limits, note = deployed.limits if deployed else None, None
    if file is not None:
        limits = budgets_from_file(file, stage=_stage_in(file, context.deployment))
    elif limits is None:
        limits, note = (
            _from_cdk_json(context.deployment),
            (
                f"The deployment has not written its budgets down yet: these are {CDK_JSON}'s. "
                "watch_budgets does it each minute."
            ),
        )
    return Book(
        deployment=context.deployment,
        limits=limits._replace(overrides=stored.overrides),
        source=str(file or CDK_JSON),
        version=stored.version,
        note=note,
        counted=None if deployed is None else frozenset(each.name for each in deployed.budgets),
        aws_budgets=() if deployed is None else deployed.aws_budgets,
        ledger=DynamoLedger(dynamodb, table),
        overrides=overrides,
        now=context.now(),
    )


def _deployed(text: str | None) -> Definitions | None:
    try:
        return None if text is None else definitions_from_json(text)
    except SettingsError as error:
        raise SettingsError(
            "the budgets that the deployment has written down can't be read here "
            f"({error.__cause__!r}); use the version of spendfuse that was deployed, or deploy "
            "this one"
        ) from error


def caller(context: Context) -> str:
    """Return who is asking, as AWS knows them; ``unknown`` where it does not say."""
    try:
        return str(context.client("sts").get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError, SpendfuseError, KeyError):
        return "unknown"


def check_value(budget: Budget, value: str | None) -> str:
    """Return the value of ``--for``, empty where none was given.

    Raises:
        click.BadParameter: the budget is not one for each value, or no record has such a value.
    """
    if value is None:
        return ""
    if budget.per is None:
        raise click.BadParameter(f"{budget.name} is one budget for all; leave --for out")
    if not is_attribute_text(value):
        raise click.BadParameter(
            f"a {budget.per} of 1 to {MAX_ATTRIBUTE_BYTES} bytes is needed, as the records have it"
        )
    return value


def _from_cdk_json(deployment: str) -> Limits:
    stage = _stage_in(CDK_JSON, deployment)
    name = _name_in(CDK_JSON)
    if deployment != (name if stage is None else f"{name}-{stage}"):
        raise SettingsError(
            f"{deployment} has not written its budgets down yet (watch_budgets does it each "
            f"minute), and {CDK_JSON} here is of {name or 'no deployment'}; try again in a "
            "minute, or name the file with --file"
        )
    return budgets_from_file(CDK_JSON, stage=stage)


def _stage_in(file: Path, deployment: str) -> str | None:
    """Return the stage by which a cdk.json is this deployment, if it is one of its stages."""
    prefix = f"{_name_in(file)}-"
    stage = deployment.removeprefix(prefix)
    is_stage = deployment.startswith(prefix) and stage in stage_names(_context_of(file))
    return stage if is_stage else None


def _name_in(file: Path) -> str | None:
    block = _context_of(file).get("spendfuse")
    return block.get("name", "spendfuse") if isinstance(block, dict) else None


def _context_of(file: Path) -> Mapping[str, Any]:
    """Return the CDK context in a file; nothing where it is none, which its reader tells better."""
    try:
        context = json.loads(file.read_text(encoding="utf-8"))["context"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    return context if isinstance(context, dict) else {}
