"""Reads an overrides file; YAML, of which JSON is a part."""

from __future__ import annotations

from pathlib import Path

import yaml

from spendfuse.errors import SettingsError
from spendfuse.metering.overrides import Overrides, parsed

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C is ten times as fast; a wheel without it reads the same."""


def overrides_in(path: Path) -> Overrides:
    """Return the overrides in a file.

    Raises:
        SettingsError: it can't be read, is no YAML, or has mistakes; all of them.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 (both are safe)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the price overrides {path} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"the price overrides {path} are no YAML: {error}") from error
    return parsed(document, name=str(path))
