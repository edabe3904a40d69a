"""What a deployment enforces, as the JSON file that travels inside the Lambda asset.

``spendfuse.config`` makes it from cdk.json at synth; Lambdas read it with the standard
library alone. ``version`` is a hash of the rest, so two files with one version are equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spendfuse.budget import Budget, Limits, Rate, Rung
from spendfuse.errors import SettingsError
from spendfuse.period import PeriodKind

FILE_NAME = "definitions.json"
FuseMode = Literal["armed", "dry-run", "off"]


@dataclass(frozen=True, slots=True)
class AwsBudget:
    """One AWS Budget of ours, and the budget whose incidents its messages join."""

    aws_name: str
    """The deployed name, ``<name>-<8 hex>``."""
    budget: str
    limit_nano_usd: int
    period: PeriodKind
    ladder: tuple[Rung, ...]


@dataclass(frozen=True, slots=True)
class FuseDefinition:
    """The kill switch: which keys it may disable, and how."""

    name: str
    """Keys tagged ``spendfuse:fuse=<name>`` are its own."""
    mode: FuseMode
    key_stores: tuple[str, ...]
    allowance_percent: int
    """After a restore in mid-period: percent of the limit that may still be spent."""
    plausible_multiple: int
    """A billing message above this multiple of its limit is disbelieved."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything the Lambdas of one deployment need to know about budgets and fuse."""

    deployment: str
    budgets: tuple[Budget, ...]
    """The root budget first."""
    aws_budgets: tuple[AwsBudget, ...]
    fuse: FuseDefinition
    rates: tuple[Rate, ...] = ()

    @property
    def limits(self) -> Limits:
        """What the guard enforces, as it was configured."""
        return Limits(self.budgets, self.rates)

    @property
    def root(self) -> Budget:
        return self.budgets[0]

    def budget(self, name: str) -> Budget | None:
        """Return the budget of that name, or None where there is none (any more)."""
        return next((budget for budget in self.budgets if budget.name == name), None)

    def aws_budget(self, aws_name: str) -> AwsBudget | None:
        """Return our AWS Budget of that deployed name, or None for a foreign one."""
        return next((each for each in self.aws_budgets if each.aws_name == aws_name), None)

    @property
    def version(self) -> str:
        """Twelve hex digits, a hash over everything in it."""
        text = json.dumps(self._body(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the file's text; the same definitions give the same bytes."""
        return json.dumps({"version": self.version, **self._body()}, sort_keys=True, indent=1)

    def _body(self) -> dict[str, Any]:
        return asdict(self)


def definitions_from_json(text: str) -> Definitions:
    """Read what ``Definitions.to_json`` wrote.

    Raises:
        SettingsError: not such a file.
    """
    try:
        raw = json.loads(text)
        return Definitions(
            deployment=raw["deployment"],
            budgets=tuple(_budget(each) for each in raw["budgets"]),
            aws_budgets=tuple(_aws_budget(each) for each in raw["aws_budgets"]),
            fuse=FuseDefinition(
                **{**raw["fuse"], "key_stores": tuple(raw["fuse"]["key_stores"])},
            ),
            rates=tuple(Rate(**each) for each in raw.get("rates", ())),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{FILE_NAME} can't be read ({error!r}); it is made by `cdk synth` and must be "
            "deployed with the code that reads it"
        ) from error


def _ladder(raw: list[Mapping[str, Any]]) -> tuple[Rung, ...]:
    return tuple(Rung(each["percent"], tuple(each["channels"]), each["trips"]) for each in raw)


def _budget(raw: Mapping[str, Any]) -> Budget:
    return Budget(**{**raw, "ladder": _ladder(raw["ladder"])})


def _aws_budget(raw: Mapping[str, Any]) -> AwsBudget:
    return AwsBudget(**{**raw, "ladder": _ladder(raw["ladder"])})
