"""Functions: their environment, their time, and what is in their folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stacks.preflight.assembly import Resource, mapping, shown
from stacks.preflight.rule import Rule

FUNCTION = "AWS::Lambda::Function"
_QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_ENVIRONMENT_BYTES = 4096
_REFERENCE_BYTES = 200
"""What a name, URL or ARN may come to that is only known when it is deployed."""
_TIMEOUT_SECONDS = 900
_COMPILED = (".so", ".pyd", ".dylib")


def _environment(function: Resource) -> Iterator[str]:
    variables = mapping(mapping(function.properties.get("Environment")).get("Variables"))
    longest = {
        key: value if isinstance(value, str) else "x" * _REFERENCE_BYTES
        for key, value in variables.items()
    }
    size = len(json.dumps(longest, separators=(",", ":")).encode())
    if size > _ENVIRONMENT_BYTES:
        yield (
            f"its environment may come to {size} bytes; Lambda takes {_ENVIRONMENT_BYTES}, "
            "measured as JSON (InvalidParameterValueException): move values into the asset"
        )


def _timeout(function: Resource) -> Iterator[str]:
    seconds = function.number("Timeout")
    # Functions on instances of one's own may run longer.
    if (
        seconds is not None
        and not 1 <= seconds <= _TIMEOUT_SECONDS
        and "CapacityProviderConfig" not in function.properties
    ):
        yield (
            f"may run for {shown(seconds)} s; Lambda takes 1 to {_TIMEOUT_SECONDS} "
            "(InvalidParameterValueException): let it go on in a second invocation"
        )


def _can_be_imported(asset: Path) -> Iterator[str]:
    for file in sorted(asset.rglob("*")):
        if file.name.endswith(_COMPILED):
            yield (
                f"{file.relative_to(asset)}: is compiled for this machine, and Lambda imports it "
                "on arm64 Linux (Runtime.ImportModuleError); take a library in pure Python"
            )


RULES = (
    Rule("function environment", _QUOTAS, (FUNCTION,), _environment),
    Rule("function timeout", _QUOTAS, (FUNCTION,), _timeout),
)


def asset_problems(asset: Path) -> Iterator[str]:
    """Yield what in a Lambda's folder can't be imported on AWS."""
    yield from _can_be_imported(asset)
