"""Reading a function's environment: every missing variable is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spendfuse.errors import SettingsError


def read(environment: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the named variables, keyed by their names in lower case.

    Raises:
        SettingsError: names every variable that is missing.
    """
    missing = [name for name in names if name not in environment]
    if missing:
        raise SettingsError(f"set {', '.join(missing)} in the function's environment")
    return {name.lower(): environment[name] for name in names}
