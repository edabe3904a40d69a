"""Which endpoint a request called, as a name of which there are few.

The route's template where the framework tells it (Starlette, FastAPI and what stands on them);
otherwise the raw path, in which whatever looks like an id becomes ``{id}``. A process knows a
bounded number of endpoints. A query string is never part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spendfuse.metering.attribution import MAX_ATTRIBUTE_BYTES, attribute_text

OTHER = "(other)"
"""Stands for the endpoints beyond ``MAX_ENDPOINTS``: somebody may be making paths up."""
MAX_ENDPOINTS = 1000
_ID = re.compile(
    r"^(\d+"
    r"|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=\D*\d)[0-9a-fA-F]{8,}"
    r"|(?=\D*\d)[\w~-]{20,}"
    r"|.*@.*)$",
    re.DOTALL,
)
"""A number, a UUID, hex, a long random text, an address. ``v1`` and ``gpt-4o`` are none."""
_PARAMETER = re.compile(r"\{(\w+)(:\w+)?\}")


class Endpoints:
    """Names the endpoints of one app's requests."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._without_parameters: dict[tuple[str, str | None], str] = {}

    def of(self, scope: Mapping[str, Any]) -> str:
        """Return the endpoint of a request after it was routed."""
        path, template = str(scope.get("path", "")), _template(scope)
        if scope.get("path_params") or len(path) > MAX_ATTRIBUTE_BYTES:
            return self._bounded(_endpoint(scope, path, template))
        # Without parameters the same path is the same endpoint again.
        name = self._without_parameters.get((path, template))
        if name is None:
            name = self._bounded(_endpoint(scope, path, template))
            if len(self._without_parameters) < MAX_ENDPOINTS:
                self._without_parameters[path, template] = name
        return name

    def _bounded(self, endpoint: str) -> str:
        name = attribute_text(endpoint)
        if name not in self._names:
            if len(self._names) >= MAX_ENDPOINTS:
                return OTHER
            self._names.add(name)
        return name


def _template(scope: Mapping[str, Any]) -> str | None:
    route = scope.get("route")
    template = getattr(route, "path", None)
    # A mount has a path too, but there the app below begins.
    return template if isinstance(template, str) and hasattr(route, "endpoint") else None


def _endpoint(scope: Mapping[str, Any], path: str, template: str | None) -> str:
    parts = path.split("/")
    given = scope.get("path_params")
    values = {str(k): str(v) for k, v in given.items()} if isinstance(given, Mapping) else {}
    if template is None:
        return _without_ids(parts, values)
    own = {match[1] for match in _PARAMETER.finditer(template)}
    spanned = sum(values[name].count("/") for name in own & values.keys())
    # What stands above the route's own template is its router's prefix and its mounts.
    above = parts[: max(0, len(parts) - template.count("/") - spanned)]
    return _without_ids(above, {k: v for k, v in values.items() if k not in own}) + template


def _without_ids(parts: Sequence[str], values: Mapping[str, str]) -> str:
    names = {value: f"{{{name}}}" for name, value in values.items() if value}
    return "/".join(names.get(part) or _ID.sub("{id}", part) for part in parts)
