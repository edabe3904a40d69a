"""A file of budgets and rates: an app's own, or the cdk.json of a deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spendfuse.budget import Limits
from spendfuse.config.cross_checks import limit_mistakes
from spendfuse.config.limits import limits_of
from spendfuse.config.load import BLOCK, checked, effective
from spendfuse.config.mistakes import ROOT, Mistake, shown
from spendfuse.config.schema import LimitsBlock
from spendfuse.errors import SettingsError

_KEYS = tuple(LimitsBlock.model_fields)


def budgets_from_file(path: Path | str, *, stage: str | None = None) -> Limits:
    """Return the budgets and rates of a JSON file, with the keys that they have in cdk.json.

    Of a cdk.json only these are read and checked; the file may as well hold nothing but
    ``{"budgets": [...], "rates": [...]}``, and then needs no root budget.

    Args:
        path: the file.
        stage: the stage of a cdk.json to lay over it.

    Raises:
        SettingsError: names the file and every mistake in it.
    """
    raw = _read(Path(path))
    try:
        return _limits_of_cdk_json(raw, stage) if "context" in raw else _limits_of_budgets(raw)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _limits_of_cdk_json(raw: Mapping[str, Any], stage: str | None) -> Limits:
    context = raw["context"]
    block = context.get(BLOCK) if isinstance(context, Mapping) else None
    if not isinstance(block, Mapping):
        raise SettingsError(f'there is no "{BLOCK}" object in its context; got {shown(block)}')
    whole, mistakes = effective(block, stage)
    return _limits({key: whole[key] for key in _KEYS if key in whole}, mistakes)


def _limits_of_budgets(raw: Mapping[str, Any]) -> Limits:
    try:
        return _limits(raw, [])
    except SettingsError as error:
        # There is no such object in this file: its paths begin at the top.
        raise SettingsError(str(error).replace(f"  {ROOT}.", "  ")) from None


def _limits(block: Mapping[str, Any], mistakes: list[Mistake]) -> Limits:
    if not any(block.get(key) for key in _KEYS):
        mistakes.append(
            Mistake(
                f"{ROOT}.budgets",
                "there are none, and no rates; write at least one, such as "
                '{"name": "user-day", "per": "user", "period": "day", "limit_usd": 10}',
            )
        )
    mistakes += limit_mistakes(block)
    return limits_of(checked(LimitsBlock, block, mistakes))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f'{path} must hold an object, such as {{"budgets": [...]}}')
    return raw
