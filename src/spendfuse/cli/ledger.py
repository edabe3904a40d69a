"""``spendfuse ledger``: what was counted, for whom, what was corrected, and what did not count."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import get_args

import click

from spendfuse.cli.budget_book import Book, caller, open_book
from spendfuse.cli.context import Context, output
from spendfuse.cli.ledger_adjust import (
    SignedDollars,
    adjustment_json,
    attributes,
    below_zero,
    check_time,
    effects,
    known_line,
    period_of,
    plan_lines,
    trail_lines,
    undo_line,
)
from spendfuse.cli.ledger_figures import figures, periods, ranking, shared_budget
from spendfuse.cli.ledger_json import show_json, top_json
from spendfuse.cli.ledger_quarantine import quarantine
from spendfuse.cli.ledger_report import show_lines, top_lines
from spendfuse.cli.options import MOMENT, json_option, one_line_reason, print_json
from spendfuse.clock import utc_text
from spendfuse.config.scopes import is_attribute_text
from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.ledger.adjustment import Adjustment
from spendfuse.ledger.dynamodb_adjustments import DynamoAdjustments, below_zero_text, check_same
from spendfuse.ledger.dynamodb_quarantine import DynamoQuarantine
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.tally import ShareBy

_MOST = 10
_ID_DIGITS = 12


@click.group()
def ledger() -> None:
    """See what was counted and for whom, correct it, and send again what did not count.

    \b
    Example:
        spendfuse ledger show
        spendfuse ledger top --by user
        spendfuse ledger adjust -12.50 --for team=search --reason "billed twice"
        spendfuse ledger quarantine list
    """


ledger.add_command(quarantine)


@ledger.command()
@click.option("--budget", "name", metavar="NAME", help="Just this one, with its API keys.")
@click.option("--period", "key", metavar="KEY", help="Another one: 2026-11, 2026-W47, 2026-11-21.")
@json_option
@click.pass_obj
def show(context: Context, name: str | None, key: str | None, as_json: bool) -> None:
    """Show what each budget has counted, and when usage came last.

    Budgets per user, say, have no total; `spendfuse budgets show` has those. With --period, the
    budgets that have such a period.

    \b
    Example:
        spendfuse ledger show
        spendfuse ledger show --budget llm --period 2026-10
        spendfuse ledger show --json
    """
    book = _opened(context)
    found = figures(
        book,
        periods(book, name, key),
        tallies=_tallies(context),
        quarantine=DynamoQuarantine(context.client("dynamodb"), _table(context)),
        with_all_keys=as_json,
    )
    if as_json:
        print_json(show_json(found))
    else:
        click.echo("\n".join(show_lines(found, is_one=name is not None)))


@ledger.command()
@click.option("--by", required=True, type=click.Choice(get_args(ShareBy)), help="Of what.")
@click.option("--budget", "name", metavar="NAME", help="Of this budget. Default: the root.")
@click.option("--period", "key", metavar="KEY", help="Another one: 2026-11, 2026-W47, 2026-11-21.")
@click.option("--most", type=click.IntRange(1, 1000), default=_MOST, show_default=True)
@json_option
@click.pass_obj
def top(
    context: Context, *, by: ShareBy, name: str | None, key: str | None, most: int, as_json: bool
) -> None:
    """Show the users, models or features that spent the most, and what all others came to.

    \b
    Example:
        spendfuse ledger top --by user
        spendfuse ledger top --by model --budget search --period 2026-10
        spendfuse ledger top --by feature --most 50 --json
    """
    book = _opened(context)
    budget = shared_budget(book, name)
    found = ranking(
        book, budget, book.period(budget, key), by, most=most, tallies=_tallies(context)
    )
    if as_json:
        print_json(top_json(found))
    else:
        click.echo("\n".join(top_lines(found)))


# Else click would take -12.50 for an option; the amount's type refuses those that are none.
@ledger.command(context_settings={"ignore_unknown_options": True})
@click.argument("nano", metavar="USD", type=SignedDollars())
@click.option(
    "--for",
    "whose",
    metavar="NAME=VALUE",
    multiple=True,
    callback=attributes,
    help="What such a record says, as team=search or model=gpt-4o. Can be given more than once.",
)
@click.option("--reason", required=True, callback=one_line_reason, help="Why; it is kept.")
@click.option("--at", type=MOMENT, help="When it was spent: a day (UTC) or a time. Default: now.")
@click.option("--id", "given_id", metavar="ID", help="A name, by which it counts once.")
@click.option("--yes", is_flag=True, help="Do it. Without it, only the plan is printed.")
@click.pass_obj
def adjust(
    context: Context,
    *,
    nano: int,
    whose: Mapping[str, str],
    reason: str,
    at: datetime | None,
    given_id: str | None,
    yes: bool,
) -> None:
    """Add USD dollars to what was counted, or take them away (-12.50).

    It counts as a record with these attributes would, on every budget that they match and in
    `top`, but is no request. It is written down with who posted it, when and why, and is never
    changed: to take it back, post the opposite. No total falls below 0.

    \b
    Example:
        spendfuse ledger adjust -12.50 --for team=search --for user=ana --reason "billed twice"
        spendfuse ledger adjust 80 --for model=gpt-4o --at 2026-10-31 --reason "invoice" --yes
        spendfuse ledger adjust -3 --reason "test traffic" --id invoice-4711 --yes
    """
    book = _opened(context)
    if book.counted is None:
        raise SettingsError(
            f"{context.deployment} has not written its budgets down yet (watch_budgets does it "
            "each minute); try again in a minute"
        )
    store = DynamoAdjustments(context.client("dynamodb"), _table(context))
    there = None if given_id is None else store.find(_checked_id(given_id))
    # A repeated command means the same time, though now is later.
    when = at or (there.at if there else book.now)
    check_time(when, book.now)
    adjustment = Adjustment(
        id=given_id or f"adj-{uuid.uuid4().hex[:_ID_DIGITS]}",
        nano_usd=nano,
        attributes=whose,
        at=when,
        reason=reason,
        posted_at=book.now,
    )
    if there is not None:
        check_same(there, adjustment)
        click.echo(known_line(there))
        return
    _show_plan(book, adjustment, store)
    if not yes:
        click.echo("Nothing was posted. Add --yes to do it.")
        return
    _post(book, replace(adjustment, by=caller(context)), store)


@ledger.command()
@click.option("--period", "key", metavar="KEY", help="Only those of it: 2026-11, 2026-11-21.")
@json_option
@click.pass_obj
def adjustments(context: Context, key: str | None, as_json: bool) -> None:
    """List what was adjusted: how much, for whom, why, by whom and when, newest first.

    \b
    Example:
        spendfuse ledger adjustments
        spendfuse ledger adjustments --period 2026-11 --json
    """
    period = None if key is None else period_of(key)
    store = DynamoAdjustments(context.client("dynamodb"), _table(context))
    trail = sorted(
        (each for each in store.all() if period is None or period.start <= each.at < period.end),
        key=lambda each: (each.posted_at, each.id),
        reverse=True,
    )
    if as_json:
        print_json(
            {
                "deployment": context.deployment,
                "at": utc_text(context.now()),
                "period_key": key,
                "adjustments": [adjustment_json(each) for each in trail],
            }
        )
    else:
        click.echo("\n".join(trail_lines(trail)))


def _opened(context: Context) -> Book:
    book = open_book(context, None)
    if book.note:
        click.echo(book.note, err=True)
    return book


def _table(context: Context) -> str:
    return output(context.outputs(), "LedgerTableName")


def _tallies(context: Context) -> DynamoTallies:
    return DynamoTallies(context.client("dynamodb"), _table(context))


def _checked_id(text: str) -> str:
    if not is_attribute_text(text) or not text.isprintable():
        raise click.BadParameter("--id: write 1 to 256 printable characters")
    return text


def _show_plan(book: Book, adjustment: Adjustment, store: DynamoAdjustments) -> None:
    """Print what would become of each counter.

    Raises:
        click.ClickException: one would fall below 0.
    """
    counted = store.counted(adjustment.added(book.limits.budgets))
    found = effects(book, adjustment, counted)
    click.echo("\n".join(plan_lines(book, adjustment, found)))
    short = below_zero(found)
    if short:
        raise click.ClickException(below_zero_text(adjustment.nano_usd, short))


def _post(book: Book, adjustment: Adjustment, store: DynamoAdjustments) -> None:
    try:
        is_new = store.post(adjustment, book.limits.budgets)
    except UnavailableError as error:
        raise UnavailableError(
            f"{error}; it may have been posted: run the same with --id {adjustment.id}, and it "
            "counts once"
        ) from error
    if not is_new:
        click.echo(f"{adjustment.id} was posted already. Nothing to do.")
        return
    click.echo(f"Posted as {adjustment.id}.")
    click.echo(
        "  Guards count for themselves and do not follow; where they refuse, raise the limit."
    )
    click.echo(undo_line(adjustment))
