"""``spendfuse ledger quarantine``: look at the records that did not count, and send them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import click

from spendfuse.cli.context import Context, output
from spendfuse.cli.ledger_quarantine_report import (
    Read,
    columns,
    dead_letter_lines,
    list_json,
    list_lines,
    read,
)
from spendfuse.cli.ledger_queues import DeadLetters, dead_letters, send
from spendfuse.cli.ledger_text import count, cut, harmless
from spendfuse.cli.options import json_option, print_json
from spendfuse.cli.price_layout import GAP
from spendfuse.errors import InputError, SpendfuseError, UnavailableError
from spendfuse.ledger.dynamodb_quarantine import DynamoQuarantine
from spendfuse.ledger.pack import LATEST_USAGE
from spendfuse.ledger.quarantine import Quarantined

_MOST_LISTED = 50
_MAX_DAYS = 366


@click.group()
def quarantine() -> None:
    """See the records that did not count, and send them again.

    \b
    Example:
        spendfuse ledger quarantine list
        spendfuse ledger quarantine retry --all --yes
    """


_days_option = click.option(
    "--days",
    type=click.IntRange(1, _MAX_DAYS),
    default=LATEST_USAGE.days,
    show_default=True,
    help="How far to look back; older usage is not taken any more.",
)


@quarantine.command("list")
@_days_option
@click.option("--all", "with_retried", is_flag=True, help="Also those that were sent again.")
@click.option(
    "--most",
    type=click.IntRange(1),
    help=f"How many to print. Default: {_MOST_LISTED}; all with --json.",
)
@json_option
@click.pass_obj
def list_quarantine(
    context: Context, *, days: int, with_retried: bool, most: int | None, as_json: bool
) -> None:
    """Show the records that did not count, newest first, with the reason.

    And how many messages the usage queue gave up on.

    \b
    Example:
        spendfuse ledger quarantine list
        spendfuse ledger quarantine list --days 2 --all
        spendfuse ledger quarantine list --json
    """
    found = read(
        _store(context).of_days(context.now(), days),
        lambda each: with_retried or each.retried_at is None,
    )
    dead = _dead_letters(context)
    if as_json:
        print_json(list_json(context.deployment, context.now(), found, dead, days=days, most=most))
    else:
        queue_arn = context.outputs().get("UsageQueueArn", "ARN-OF-THE-USAGE-QUEUE")
        click.echo(
            "\n".join(
                [
                    *list_lines(found, days=days, most=most or _MOST_LISTED),
                    *dead_letter_lines(dead, queue_arn),
                ]
            )
        )


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--pack", "pack_id", metavar="ID", help="All waiting records of this pack.")
@click.option("--all", "retry_all", is_flag=True, help="All waiting records.")
@_days_option
@click.option("--yes", is_flag=True, help="Do it. Without it, only the plan is printed.")
@click.pass_obj
def retry(
    context: Context,
    *,
    ids: tuple[str, ...],
    pack_id: str | None,
    retry_all: bool,
    days: int,
    yes: bool,
) -> None:
    """Send records from quarantine through the usage queue once more.

    It helps where the reason has gone: a clock that was ahead, or a recorder that reads more by
    now. Each record counts once, however often it is sent. What is rejected again is listed
    again. An ID is <pack id>#<position>, as the list has it.

    \b
    Example:
        spendfuse ledger quarantine retry "7f3a9c#12"
        spendfuse ledger quarantine retry --pack 7f3a9c --yes
        spendfuse ledger quarantine retry --all --yes
    """
    if sum((bool(ids), pack_id is not None, retry_all)) != 1:
        raise click.UsageError("name records by their ids, or a pack with --pack, or say --all")
    store, queue_url = _store(context), output(context.outputs(), "UsageQueueUrl")
    found = read(store.of_days(context.now(), days), _choice(ids, pack_id))
    _check_all_there(found, ids)
    packs, refused = _packs(found.records, context.now())
    for record, why in refused:
        click.echo(f"{harmless(record.id)} can't be sent: {harmless(why)}", err=True)
    if not packs:
        if refused or ids or pack_id is not None:
            raise click.ClickException("there is nothing that can be sent")
        click.echo(f"No record of the last {count(days, 'day')} waits in quarantine.")
        return
    if not yes:
        _print_plan(list(packs))
        return
    _send(context, store, queue_url, packs)
    if not found.is_all:
        click.echo("There are more; run the same command again.")


def _store(context: Context) -> DynamoQuarantine:
    table = output(context.outputs(), "LedgerTableName")
    return DynamoQuarantine(context.client("dynamodb"), table)


def _choice(ids: Sequence[str], pack_id: str | None) -> Callable[[Quarantined], bool]:
    """Return whether a record is to be sent: one that is named, though it went out before."""
    if ids:
        return lambda each: each.id in ids
    return lambda each: each.retried_at is None and pack_id in (None, each.pack_id)


def _check_all_there(found: Read, ids: Sequence[str]) -> None:
    there = {each.id for each in found.records}
    missing = [each for each in ids if each not in there]
    if missing:
        raise click.BadParameter(
            f"{', '.join(map(harmless, missing))}: no such record lies in quarantine; "
            "`spendfuse ledger quarantine list --all` shows those of the same days"
        )


def _packs(
    records: Sequence[Quarantined], now: datetime
) -> tuple[dict[Quarantined, str], list[tuple[Quarantined, str]]]:
    """Return the packs to be sent, and what can't be sent with the reason."""
    packs: dict[Quarantined, str] = {}
    refused = []
    for each in records:
        try:
            packs[each] = each.retry_pack(now)
        except InputError as error:
            refused.append((each, str(error)))
    return packs, refused


def _print_plan(records: Sequence[Quarantined]) -> None:
    click.echo(f"Sends {count(len(records), 'record')}:")
    for each in records[:_MOST_LISTED]:
        click.echo(GAP + cut(f"{each.id}: {each.reason}", columns() - len(GAP)))
    if len(records) > _MOST_LISTED:
        click.echo(f"{GAP}and {len(records) - _MOST_LISTED:,} more")
    click.echo("Nothing was sent. Add --yes to do it.")


def _send(
    context: Context, store: DynamoQuarantine, queue_url: str, packs: Mapping[Quarantined, str]
) -> None:
    records, sent, failed = list(packs), 0, 0
    try:
        for position, failure in send(context.client("sqs"), queue_url, list(packs.values())):
            record = records[position]
            if failure is None:
                sent += 1
                store.mark_retried(record, context.now())
            else:
                failed += 1
                click.echo(f"{harmless(record.id)} was not sent: {harmless(failure)}", err=True)
    except UnavailableError as error:
        raise UnavailableError(
            f"{error}; {sent} of {len(records)} are sent, run the same again for the rest: "
            "each counts once"
        ) from error
    click.echo(
        f"Sent {count(sent, 'record')}. They count within seconds; what is rejected again is in "
        "`spendfuse ledger quarantine list`."
    )
    if failed:
        raise click.ClickException("not all records were sent; run the same command again")


def _dead_letters(context: Context) -> DeadLetters | None:
    """Return what the queue gave up on; None, and a line about it, where that can't be read."""
    try:
        url = output(context.outputs(), "UsageDeadLetterQueueUrl")
        return dead_letters(context.client("sqs"), url)
    except SpendfuseError as error:
        click.echo(str(error), err=True)
        return None
