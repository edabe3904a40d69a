"""``spendfuse budgets``: see what is spent and left, and change limits while all is running."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from spendfuse.budget import Override
from spendfuse.cli.budget_book import Book, caller, check_value, open_book
from spendfuse.cli.budget_change import (
    Change,
    change_of,
    done_lines,
    title,
    undo_line,
    warning_lines,
)
from spendfuse.cli.budget_json import list_json, show_json
from spendfuse.cli.budget_report import list_lines, show_lines
from spendfuse.cli.context import Context
from spendfuse.cli.options import json_option, one_line_reason, print_json
from spendfuse.config.fields import limit_usd
from spendfuse.config.scopes import is_attribute_text
from spendfuse.money import display_usd, nano_usd

_AnyCommand = TypeVar("_AnyCommand", bound=Callable[..., Any])


class _Dollars(click.ParamType[Decimal]):
    name = "dollars"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            return limit_usd(value)
        except ValueError as error:
            self.fail(f"got {value!r}; {error}", param, ctx)


def _file_option(command: _AnyCommand) -> _AnyCommand:
    return click.option(
        "--file",
        type=click.Path(path_type=Path),
        help="Take the budgets from this file, and not those that are deployed.",
    )(command)


def _for_option(command: _AnyCommand) -> _AnyCommand:
    return click.option(
        "--for", "value", metavar="VALUE", help="The one user, say, of a budget per user."
    )(command)


def _yes_option(command: _AnyCommand) -> _AnyCommand:
    return click.option(
        "--yes", is_flag=True, help="Do it, even if requests are refused or the fuse may trip."
    )(command)


@click.group()
def budgets() -> None:
    """See the budgets and what is left of them, and change limits.

    \b
    Example:
        spendfuse budgets list
        spendfuse budgets set llm 1500 --reason "launch week"
        spendfuse budgets unset llm
    """


@budgets.command("list")
@json_option
@_file_option
@click.pass_obj
def list_budgets(context: Context, as_json: bool, file: Path | None) -> None:
    """Show each budget: what it counts, its limit in force, and what is spent of it.

    \b
    Example:
        spendfuse budgets list
        spendfuse budgets list --json
        spendfuse budgets list --file budgets.json
    """
    book = _opened(context, file)
    if as_json:
        print_json(list_json(book))
    else:
        click.echo("\n".join(list_lines(book)))


@budgets.command()
@click.argument("name")
@_for_option
@click.option("--period", "key", metavar="KEY", help="Another one: 2026-11, 2026-W47, 2026-11-21.")
@json_option
@_file_option
@click.pass_obj
def show(
    context: Context,
    *,
    name: str,
    value: str | None,
    key: str | None,
    as_json: bool,
    file: Path | None,
) -> None:
    """Show the budget NAME: its limit and where that comes from, its spend, its rungs.

    \b
    Example:
        spendfuse budgets show llm
        spendfuse budgets show llm --period 2026-10
        spendfuse budgets show user-day --for u-17
    """
    book = _opened(context, file)
    budget = book.budget(name)
    whose, period = check_value(budget, value), book.period(budget, key)
    if as_json:
        print_json(show_json(book, budget, whose, period))
    else:
        click.echo("\n".join(show_lines(book, budget, whose, period)))


@budgets.command("set")
@click.argument("name")
@click.argument("limit", metavar="LIMIT_USD", type=_Dollars())
@_for_option
@click.option(
    "--reason", required=True, callback=one_line_reason, help="Why; it stands beside the limit."
)
@_yes_option
@_file_option
@click.pass_obj
def set_limit(
    context: Context,
    *,
    name: str,
    limit: Decimal,
    value: str | None,
    reason: str,
    yes: bool,
    file: Path | None,
) -> None:
    """Set the limit of the budget NAME to LIMIT_USD dollars a period, until it is unset.

    It beats cdk.json, and a deployment does not change it. Without --for, a budget per user
    gives each user this limit. A limit that is spent already, or makes a rung due that trips,
    needs --yes.

    \b
    Example:
        spendfuse budgets set llm 1500 --reason "launch week"
        spendfuse budgets set user-day 50 --for u-17 --reason "runs the evaluation"
    """
    book = _opened(context, file)
    budget = book.budget(name)
    change = change_of(book, budget, check_value(budget, value), nano_usd(limit))
    _confirm(change, yes=yes)
    book.overrides.put(
        Override(
            budget=budget.name,
            value=change.value,
            limit_nano_usd=change.limit_nano_usd,
            by=caller(context),
            reason=reason,
            at=book.now,
        )
    )
    click.echo("\n".join([*done_lines(change), undo_line(change)]))


@budgets.command()
@click.argument("name")
@_for_option
@_yes_option
@_file_option
@click.pass_obj
def unset(context: Context, name: str, value: str | None, yes: bool, file: Path | None) -> None:
    """Take back the limit that was set for the budget NAME; cdk.json's holds again.

    \b
    Example:
        spendfuse budgets unset llm
        spendfuse budgets unset user-day --for u-17
    """
    book = _opened(context, file)
    orphan = next((each for each in book.orphans() if each[:2] == (name, value or "")), None)
    if orphan is not None:
        book.overrides.remove(orphan.budget, orphan.value)
        amount = display_usd(orphan.limit_nano_usd)
        click.echo(f"Removed {amount}, set for a budget that {book.source} does not have.")
        return
    if _remove_unreadable(book, name, value or ""):
        click.echo("Removed a limit that could not be read, and so was not in force.")
        return
    budget = book.budget(name)
    whose = check_value(budget, value)
    kept = {key: each for key, each in book.limits.overrides.items() if key != (name, whose)}
    limit = book.limits._replace(overrides=kept).limit_nano_usd(budget, whose)
    change = change_of(book, budget, whose, limit)
    if len(kept) == len(book.limits.overrides):
        click.echo(f"{title(change)}: no limit was set; it is {display_usd(limit)}. Nothing to do.")
        return
    _confirm(change, yes=yes)
    book.overrides.remove(budget.name, whose)
    click.echo("\n".join(done_lines(change)))


def _remove_unreadable(book: Book, name: str, value: str) -> bool:
    """Remove a row that was passed over; it may be there and in nobody's list."""
    is_key = is_attribute_text(name) and (not value or is_attribute_text(value))
    is_known = (name, value) in book.limits.overrides
    return is_key and not is_known and book.overrides.remove(name, value)


def _opened(context: Context, file: Path | None) -> Book:
    book = open_book(context, file)
    if book.note:
        click.echo(book.note, err=True)
    return book


def _confirm(change: Change, *, yes: bool) -> None:
    """Go on where nobody would be surprised, or where somebody said yes."""
    if not change.is_drastic:
        return
    click.echo("\n".join(warning_lines(change)))
    if not yes:
        raise click.ClickException("nothing was changed; add --yes to do it")
