"""``spendfuse fuse``: look at the fuse, blow it by hand, and undo what it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.alerts.fuse_report import fuse_alert
from spendfuse.budget import Budget
from spendfuse.cli.context import Context, output
from spendfuse.clock import utc_text
from spendfuse.definitions import Definitions, definitions_from_json
from spendfuse.errors import SpendfuseError, UnavailableError
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse.judgement import FindBudget
from spendfuse.fuse.key import Key, KeyStore
from spendfuse.fuse.keys import KEY_STORES, open_key_stores
from spendfuse.fuse.plan import Plan, no_key_reason, plan_trip
from spendfuse.fuse.records import HELD, KeyRecord, Trip
from spendfuse.fuse.report import Report, allowance_line
from spendfuse.fuse.restore import RestoreFuse, RestorePlan
from spendfuse.fuse.trip import TripFuse
from spendfuse.fuse_state import MANUAL, FuseState, TripOrder
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.period import Period

EXIT_TRIPPED = 3
"""``status`` found the fuse tripped; apart from 1 and 2, so that a CI job can tell."""
_ROUNDS = 5
_MAX_REASON = 200
"""It stands in a message's headline, and in every key's record."""


@dataclass(frozen=True)
class _Fuse:
    """The deployed fuse, wired up."""

    name: str
    mode: str
    """As it was deployed: armed, dry-run or off."""
    store: DynamoFuse
    key_stores: tuple[KeyStore, ...]
    tell: Callable[[Report], None]
    now: Callable[[], datetime]
    spent: Callable[[str, str], int]
    find_budget: FindBudget

    def listed(self) -> list[Key]:
        return [key for store in self.key_stores for key in store.all_keys()]

    def restore(self) -> RestoreFuse:
        return RestoreFuse(
            self.store, self.key_stores, self.tell, self.now, self.spent, self.find_budget
        )


def _connect(context: Context) -> _Fuse:
    outputs = context.outputs()
    table, name, ledger_table, topic = (
        output(outputs, key)
        for key in ("FuseTableName", "FuseName", "LedgerTableName", "AlertsTopicArn")
    )
    dynamodb, sns = context.client("dynamodb"), context.client("sns")
    ledger = DynamoLedger(dynamodb, ledger_table)

    def tell(report: Report) -> None:
        alert = fuse_alert(report, context.deployment, context.now())
        try:
            sns.publish(TopicArn=topic, Message=alert.to_json())
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(
                f"it is done, but nobody could be told of it ({report.headline}): {error}"
            ) from error

    return _Fuse(
        name=name,
        mode=output(outputs, "FuseMode"),
        store=DynamoFuse(dynamodb, table, name),
        key_stores=open_key_stores(KEY_STORES, context.client),
        tell=tell,
        now=context.now,
        spent=ledger.spent,
        find_budget=_deployed_budgets(DynamoOverrides(dynamodb, ledger_table)),
    )


def _deployed_budgets(stored: DynamoOverrides) -> FindBudget:
    """Return the deployed budgets by name, read when the first is asked for.

    A restore is never held up for them: where they can't be read, periods are UTC's.
    """

    @cache
    def definitions() -> Definitions | None:
        try:
            text = stored.limits().definitions_json
            return definitions_from_json(text) if text is not None else None
        except SpendfuseError as error:
            click.echo(f"the deployed budgets can't be read, periods are UTC's: {error}", err=True)
            return None

    def find_budget(name: str) -> Budget | None:
        found = definitions()
        return found.budget(name) if found is not None else None

    return find_budget


@click.group()
def fuse() -> None:
    """See, blow and restore the fuse.

    \b
    Example:
        spendfuse fuse status
        spendfuse fuse trip --reason "leaked key" --yes
        spendfuse fuse restore --yes

    \b
    Exit codes:
        0  done, or nothing to do
        1  an error, or a key that could not be switched
        2  wrong usage
        3  status: the fuse is tripped
    """


@fuse.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """Show the fuse's state, what it disabled, and what a trip would touch.

    Exits with 3 while the fuse is tripped.

    \b
    Example:
        spendfuse fuse status
        spendfuse fuse status --json
    """
    connected = _connect(context)
    state, trips = connected.store.state(), connected.store.trips()
    records = connected.store.records()
    plan = plan_trip(connected.listed(), _manual_order(connected), records)
    cause = next((trip for trip in trips if trip.id == state.trip_id), None)
    held = list({each.ref: each for each in records if each.status in HELD}.values())
    if as_json:
        click.echo(json.dumps(_status_json(connected.mode, state, cause, held, plan), indent=1))
    else:
        click.echo("\n".join(_status_lines(connected.mode, state, cause, held, plan)))
    if state.state == "tripped":
        raise SystemExit(EXIT_TRIPPED)


def _reason(_: click.Context, __: click.Parameter, value: str) -> str:
    reason = value.strip()
    if not reason:
        raise click.BadParameter('it is blank; say why, such as "leaked key"')
    if len(reason) > _MAX_REASON:
        raise click.BadParameter(f"it has {len(reason)} characters; write {_MAX_REASON} at most")
    return reason


@fuse.command()
@click.option("--reason", required=True, callback=_reason, help="Why; people read it in the alert.")
@click.option("--yes", is_flag=True, help="Do it. Without it, only the plan is printed.")
@click.pass_obj
def trip(context: Context, reason: str, yes: bool) -> None:
    """Disable the fuse's API keys by hand, in whatever mode it is.

    \b
    Example:
        spendfuse fuse trip --reason "leaked key"
        spendfuse fuse trip --reason "leaked key" --yes
    """
    connected = _connect(context)
    order = _manual_order(connected)
    plan = plan_trip(connected.listed(), order, connected.store.records())
    if not plan.disable:
        click.echo("\n".join(_left_lines(plan)))
        reason_for_none = no_key_reason(plan, connected.name)
        # A fuse without any key of its own protects nothing, tripped or not: that is an error.
        if plan.left and connected.store.state().state == "tripped":
            click.echo(f"The fuse is tripped already, and {reason_for_none}: nothing to do.")
            return
        raise click.ClickException(f"nothing to disable: {reason_for_none}")
    click.echo("\n".join(_plan_lines(plan, "Disables")))
    if not yes:
        click.echo("Nothing was changed. Add --yes to do it.")
        return
    _trip_by_hand(connected, order, reason)


def _trip_by_hand(connected: _Fuse, order: TripOrder, reason: str) -> None:
    blow = TripFuse(connected.store, connected.key_stores, connected.tell, connected.now)
    done = blow(order, cause=f"by hand: {reason}")
    for _ in range(_ROUNDS):
        if done.finished or done.waits:
            break
        done = blow(order, cause=f"by hand: {reason}")
    records = [each for each in connected.store.records() if each.trip_id == order.id]
    disabled = [each for each in records if each.status == "disabled"]
    click.echo(f"Disabled {_count(len(disabled))}. To undo it: spendfuse fuse restore --yes")
    if not done.finished or done.trip.status != "done":
        for each in records:
            if each.status not in ("disabled", "gone", "left"):
                click.echo(f"  NOT disabled: {each.key}: {each.note or each.status}", err=True)
        raise click.ClickException("not all keys could be disabled; run the same command again")


@fuse.command()
@click.option("--yes", is_flag=True, help="Do it. Without it, only the plan is printed.")
@click.pass_obj
def restore(context: Context, yes: bool) -> None:
    """Enable the keys that the fuse disabled, and no others.

    In the middle of a period each budget that tripped gets an allowance above what it has
    spent; crossing it trips again.

    \b
    Example:
        spendfuse fuse restore
        spendfuse fuse restore --yes
    """
    use_case = _connect(context).restore()
    plan = use_case.plan()
    if plan.is_empty:
        click.echo(f"The fuse is {plan.state.state}, and it keeps no key disabled.")
        return
    click.echo("\n".join(_restore_lines(plan)))
    if not yes:
        click.echo("Nothing was changed. Add --yes to do it.")
        return
    done = use_case()
    click.echo(f"Enabled {_count(len(done.enabled))}. The fuse is armed.")
    for key in done.gone:
        click.echo(f"  deleted meanwhile: {key}")
    for key, note in done.failed:
        click.echo(f"  STILL DISABLED: {key}: {note}", err=True)
    if done.failed:
        raise click.ClickException("not all keys could be enabled; run the same command again")


def _manual_order(connected: _Fuse) -> TripOrder:
    """Return an order of its own: each time that a person says so is another cause."""
    now = connected.now()
    day = Period.containing("day", now).key
    return TripOrder(connected.name, MANUAL, day, 0, 0, allowance=int(now.timestamp()))


def _shown_state(mode: str, state: FuseState) -> str:
    """A fuse that is off is disarmed, unless somebody blew it by hand."""
    return "disarmed" if mode == "off" and state.state == "armed" else state.state


def _status_lines(
    mode: str, state: FuseState, cause: Trip | None, held: Sequence[KeyRecord], plan: Plan
) -> Iterator[str]:
    since = f" since {utc_text(state.since)}" if state.since else ""
    yield f"fuse {state.fuse}: {_shown_state(mode, state)}{since} (epoch {state.epoch})"
    if mode != "armed":
        yield f"mode {mode}: an order is reported and disables nothing"
    if cause is not None:
        yield f"last trip: {cause.cause}"
        yield f"  {cause.id}, {cause.status}, {utc_text(cause.opened_at)}"
    yield f"disabled by the fuse: {_count(len(held))}"
    yield from _key_lines([each.key for each in held])
    if held and state.state != "tripped":
        yield "  a restore broke off; run: spendfuse fuse restore --yes"
    for allowance in state.allowances.values():
        yield f"allowance {allowance.number}: {allowance_line(allowance)}"
    yield from _plan_lines(plan, "A trip now would disable")


def _status_json(
    mode: str, state: FuseState, cause: Trip | None, held: Sequence[KeyRecord], plan: Plan
) -> dict[str, Any]:
    return {
        "fuse": state.fuse,
        "mode": mode,
        "state": _shown_state(mode, state),
        "since": utc_text(state.since) if state.since else None,
        "epoch": state.epoch,
        "trip": None if cause is None else _trip_json(cause),
        "keys_disabled": [_key_json(each.key) for each in held],
        "allowances": [
            {
                "budget": each.budget,
                "period": each.period,
                "number": each.number,
                "until_nano_usd": each.until_nano_usd,
            }
            for each in state.allowances.values()
        ],
        "would_disable": [_key_json(key) for key in plan.disable],
        "left_alone": [{**_key_json(each.key), "reason": each.reason} for each in plan.left],
        "keys_without_the_tag": plan.foreign,
    }


def _trip_json(trip: Trip) -> dict[str, Any]:
    return {
        "id": trip.id,
        "cause": trip.cause,
        "status": trip.status,
        "opened_at": utc_text(trip.opened_at),
        "budget": None if trip.order.is_manual else trip.order.budget,
        "period": trip.order.period,
    }


def _key_json(key: Key) -> dict[str, str]:
    return {"store": key.store, "id": key.id, "name": key.name, "owner": key.owner}


def _restore_lines(plan: RestorePlan) -> Iterator[str]:
    yield f"Enables {_count(len(plan.keys))}:"
    yield from _key_lines(plan.keys)
    for allowance in plan.new_allowances:
        yield f"Allowance {allowance.number}: {allowance_line(allowance)}"


def _plan_lines(plan: Plan, verb: str) -> Iterator[str]:
    yield f"{verb} {_count(len(plan.disable))}{':' if plan.disable else ''}"
    yield from _key_lines(plan.disable)
    yield from _left_lines(plan)


def _left_lines(plan: Plan) -> Iterator[str]:
    for each in plan.left:
        yield f"Leaves alone {each.key}: {each.reason}"
    if plan.foreign:
        yield f"Leaves alone {_count(plan.foreign)} without this fuse's tag"


def _key_lines(keys: Sequence[Key]) -> Iterator[str]:
    rows = [(key.store, key.id, key.name, key.owner) for key in keys]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _count(keys: int) -> str:
    return f"{keys} API key" if keys == 1 else f"{keys} API keys"
