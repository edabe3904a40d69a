"""Options that several groups of commands have."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from spendfuse.clock import parse_utc
from spendfuse.errors import InputError

_MAX_REASON = 200
_TEXT_OF_A_DAY = 10
_AnyCommand = TypeVar("_AnyCommand", bound=Callable[..., Any])


class _Moment(click.ParamType[datetime]):
    """A day, which means its first moment in UTC, or a time with a zone."""

    name = "day or time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            return parse_utc(f"{text}T00:00:00Z" if len(text) <= _TEXT_OF_A_DAY else text)
        except InputError:
            self.fail(
                "expected a day (UTC) such as 2025-05-01, or a time with a zone such as "
                f"2025-05-01T12:00:00Z, got {text!r}",
                param,
                ctx,
            )


MOMENT = _Moment()


def json_option(command: _AnyCommand) -> _AnyCommand:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, indent=1))


def one_line_reason(_: click.Context, __: click.Parameter, value: str) -> str:
    """Check a reason that is kept beside what it explains."""
    reason = value.strip()
    if not reason or not reason.isprintable():
        raise click.BadParameter('write one line that says why, such as "launch week"')
    if len(reason) > _MAX_REASON:
        raise click.BadParameter(f"it has {len(reason)} characters; write {_MAX_REASON} at most")
    return reason
