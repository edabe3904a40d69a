"""Reads cdk.json for the commands that go by the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spendfuse.config import Config, load
from spendfuse.errors import SettingsError


def json_object(path: Path) -> dict[str, Any]:
    """Return the file's JSON object; an empty one where it is something else.

    Raises:
        SettingsError: the file can't be read, or is not JSON.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read: {error.strerror}; name it with --file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    return raw if isinstance(raw, dict) else {}


def context_in(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the CDK context of what was read from ``path``.

    Raises:
        SettingsError: it has none.
    """
    if "context" not in raw:
        raise SettingsError(f'{path} has no "context" object')
    if not isinstance(raw["context"], dict):
        raise SettingsError(f'"context" in {path} must be an object')
    return raw["context"]


def config_in(path: Path, stage: str | None) -> Config:
    """Return the deployment that cdk.json describes.

    Raises:
        SettingsError: every mistake in it, a line each.
    """
    return load(context_in(json_object(path), path) | {"stage": stage})
