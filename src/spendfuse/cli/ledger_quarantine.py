"""``spendfuse ledger quarantine``: look at the records that did not count, and send them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from spendfuse.cli.budget_report import minute
from spendfuse.cli.budget_text import shell_text
from spendfuse.cli.context import Context
from spendfuse.cli.ledger_queues import DeadLetters, dead_letters, output, send
from spendfuse.cli.ledger_text import count, cut, harmless
from spendfuse.cli.options import json_option, print_json
from spendfuse.cli.price_layout import GAP, width
from spendfuse.clock import utc_text
from spendfuse.errors import InputError, SpendfuseError, UnavailableError
from spendfuse.ledger.dynamodb_quarantine import DynamoQuarantine
from spendfuse.ledger.pack import LATEST_USAGE
from spendfuse.ledger.quarantine import Quarantined

_MOST_LISTED = 50
_WIDEST = 160
"""Columns of a record where the output is no terminal: a person looks at it all the same."""
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
    found = list(_store(context).of_days(context.now(), days))
    shown = [each for each in found if with_retried or each.retried_at is None]
    listing = _Listing(shown, most, len(found) - len(shown), _origins(found), days)
    dead = _dead_letters(context)
    if as_json:
        print_json(_list_json(context, listing, dead))
    else:
        queue_arn = context.outputs().get("UsageQueueArn", "ARN-OF-THE-USAGE-QUEUE")
        click.echo("\n".join([*_list_lines(listing), *_dead_letter_lines(dead, queue_arn)]))


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
    chosen = _chosen(list(store.of_days(context.now(), days)), ids, pack_id)
    packs, refused = _packs(chosen, context.now())
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


def _store(context: Context) -> DynamoQuarantine:
    table = output(context.outputs(), "LedgerTableName")
    return DynamoQuarantine(context.client("dynamodb"), table)


def _chosen(
    found: Sequence[Quarantined], ids: Sequence[str], pack_id: str | None
) -> list[Quarantined]:
    """Return the records to be sent.

    Raises:
        click.BadParameter: an id is none of them.
    """
    known = {each.id for each in found}
    missing = [each for each in ids if each not in known]
    if missing:
        raise click.BadParameter(
            f"{', '.join(map(harmless, missing))}: no such record lies in quarantine; "
            "`spendfuse ledger quarantine list --all` shows those of the same days"
        )
    if ids:
        return [each for each in found if each.id in ids]
    waiting = [each for each in found if each.retried_at is None]
    if pack_id is not None:
        waiting = [each for each in waiting if each.pack_id == pack_id]
    return waiting


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
        click.echo(GAP + cut(f"{each.id}: {each.reason}", _columns() - len(GAP)))
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


@dataclass(frozen=True)
class _Listing:
    records: Sequence[Quarantined]
    most: int | None
    hidden: int
    """Records that were sent again, and are left out."""
    origins: Mapping[str, str]
    """Which record a retry's pack carried, by the pack's id."""
    days: int


def _origins(found: Sequence[Quarantined]) -> dict[str, str]:
    return {each.retry_id: each.id for each in found}


def _dead_letters(context: Context) -> DeadLetters | None:
    """Return what the queue gave up on; None, and a line about it, where that can't be read."""
    try:
        url = output(context.outputs(), "UsageDeadLetterQueueUrl")
        return dead_letters(context.client("sqs"), url)
    except SpendfuseError as error:
        click.echo(str(error), err=True)
        return None


def _list_json(context: Context, listing: _Listing, dead: DeadLetters | None) -> dict[str, Any]:
    return {
        "deployment": context.deployment,
        "at": utc_text(context.now()),
        "days": listing.days,
        "waiting": sum(each.retried_at is None for each in listing.records),
        "records": [
            {
                "id": each.id,
                "pack_id": each.pack_id,
                "position": each.position,
                "day": each.day,
                "quarantined_at": utc_text(each.quarantined_at) if each.quarantined_at else None,
                "reason": each.reason,
                "record": each.record,
                "retried_at": utc_text(each.retried_at) if each.retried_at else None,
                "retry_of": listing.origins.get(each.pack_id),
            }
            for each in listing.records[: listing.most]
        ],
        "dead_letters": None if dead is None else dead.messages,
    }


def _list_lines(listing: _Listing) -> Iterator[str]:
    waiting = sum(each.retried_at is None for each in listing.records)
    verb = "wait" if waiting > 1 else "waits"
    days = count(listing.days, "day")
    many = count(waiting, "record") if waiting else "No record"
    yield f"{many} {verb} in quarantine, of the last {days}."
    most = listing.most or _MOST_LISTED
    for each in listing.records[:most]:
        yield ""
        yield from _record_lines(each, listing.origins)
    if len(listing.records) > most:
        yield ""
        yield f"And {len(listing.records) - most:,} older; --most prints more."
    if listing.hidden:
        yield ""
        yield f"Not shown: {count(listing.hidden, 'record')} that went out again; --all has them."


def _record_lines(record: Quarantined, origins: Mapping[str, str]) -> Iterator[str]:
    at = minute(record.quarantined_at) if record.quarantined_at else record.day
    room = _columns() - len(GAP)
    yield f"{at}{GAP}{harmless(record.id)}"
    if record.pack_id in origins:
        yield f"{GAP}rejected again; it was {harmless(origins[record.pack_id])}"
    if record.retried_at:
        yield f"{GAP}sent again {minute(record.retried_at)}"
    yield GAP + cut(record.reason, room)
    yield GAP + cut(record.record, room)


def _dead_letter_lines(dead: DeadLetters | None, queue_arn: str) -> Iterator[str]:
    if dead is None:
        return
    yield ""
    if not dead.messages:
        yield "The usage queue's dead-letter queue is empty."
        return
    verb = "lies" if dead.messages == 1 else "lie"
    yield (
        f"About {count(dead.messages, 'message')} that could not be read, kept or counted {verb} "
        "in the usage queue's dead-letter queue."
    )
    yield "See why (docs/ledger.md), then send them through the queue again:"
    yield f"{GAP}aws sqs start-message-move-task --source-arn {shell_text(dead.queue_arn)} \\"
    yield f"{GAP * 2}--destination-arn {shell_text(queue_arn)}"


def _columns() -> int:
    return min(width(), _WIDEST)
