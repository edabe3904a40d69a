"""What ``cdk deploy -c ...`` lays over the block in cdk.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def overlaid(base: Any, over: Any) -> Any:
    """Return ``base`` with ``over`` on top.

    Objects are merged key by key; lists of named objects name by name (new names are added
    at the end); anything else is replaced.
    """
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = overlaid(base[key], value) if key in base else value
        return merged
    if _is_named(base) and _is_named(over):
        additions = {each["name"]: each for each in over}
        merged_list = [overlaid(each, additions.pop(each["name"], {})) for each in base]
        return merged_list + list(additions.values())
    return over


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in value
    )
