"""What the commands of ``spendfuse prices`` share: their options, and how they fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from spendfuse.cli.options import MOMENT, print_json
from spendfuse.errors import SpendfuseError
from spendfuse.metering.price_book import UnknownModelError
from spendfuse.metering.responses import usage_from
from spendfuse.metering.usage import Usage, UsageError

EXIT_UNKNOWN_MODEL = 4
"""Apart from 1, so that a script can tell a new model from a wrong usage."""
_MOST_CHARACTERS = 100_000
_AnyCommand = TypeVar("_AnyCommand", bound=Callable[..., Any])


class _UnknownModel(click.ClickException):
    exit_code = EXIT_UNKNOWN_MODEL


class _PriceCommand(click.Command):
    """Keeps stdout one JSON object under --json, for an error too; its sentence is on stderr."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpendfuseError as error:
            told: dict[str, Any] = {"error": str(error)}
            kind: type[click.ClickException] = click.ClickException
            if isinstance(error, UnknownModelError):
                told["nearest"] = list(error.nearest)
                kind = _UnknownModel
            if ctx.params.get("as_json"):
                print_json(told)
            raise kind(str(error)) from error


class PriceGroup(click.Group):
    command_class = _PriceCommand


def overrides_option(command: _AnyCommand) -> _AnyCommand:
    return click.option(
        "--overrides",
        type=click.Path(path_type=Path),
        envvar="SPENDFUSE_PRICES",
        help="Your price overrides, a YAML file. Else SPENDFUSE_PRICES names it.",
    )(command)


def at_option(command: _AnyCommand) -> _AnyCommand:
    return click.option(
        "--at", type=MOMENT, help="A day (UTC), or a time with a zone. Default: now."
    )(command)


def given_usage(text: str, provider: str) -> Usage:
    return usage_from(_usage_json(_usage_text(text)), provider=provider, strict=True)


def _usage_text(text: str) -> str:
    if text != "-" and not text.startswith("@"):
        return text
    name = "stdin" if text == "-" else text[1:]
    try:
        with _opened(name, is_stdin=text == "-") as file:
            read = file.read(_MOST_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"the usage in {name} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the usage in {name} is no text in UTF-8: {error.reason}") from error
    if len(read) > _MOST_CHARACTERS:
        raise UsageError(f"the usage in {name} is longer than {_MOST_CHARACTERS:,} characters")
    return read


def _opened(name: str, *, is_stdin: bool) -> AbstractContextManager[TextIO]:
    if is_stdin and sys.stdin is not None:
        return nullcontext(sys.stdin)
    if is_stdin or not name:
        raise UsageError("there is no usage to read; name a file with @, or write JSON")
    return Path(name).open(encoding="utf-8")


def _usage_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the usage is no JSON: {error}; write it as "
            """'{"input_tokens": 2000, "output_tokens": 300}', or name a file with @"""
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is given twice: JSON would take the last of them in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"the usage has {twice[:60]!r} twice; write it once")
    return found
