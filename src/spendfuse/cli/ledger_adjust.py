"""What an adjustment would do to each budget, said before it does it; and what was adjusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import click

from spendfuse.budget import Budget
from spendfuse.cli.budget_book import Book
from spendfuse.cli.budget_report import minute, used_text
from spendfuse.cli.budget_text import printable, shell_text
from spendfuse.cli.ledger_text import (
    attributes_text,
    folded,
    signed_usd,
    usd_json,
)
from spendfuse.cli.price_layout import GAP, NONE, plain, table
from spendfuse.clock import utc_text
from spendfuse.config.fields import MAX_ATTRIBUTE_BYTES, MAX_LIMIT_USD
from spendfuse.config.scopes import attribute, is_attribute_text
from spendfuse.errors import InputError
from spendfuse.ledger.adjustment import Adjustment
from spendfuse.ledger.counters import TOTAL, ItemKey
from spendfuse.ledger.pack import cut_id
from spendfuse.money import decimal_usd, display_usd, nano_usd, usd
from spendfuse.period import PERIOD_KINDS, Period

OLDEST = timedelta(days=400)
"""How far back may be corrected: the invoice of last year's month, and no mistyped year."""
_SHARED_BY = {"feature", "key_id", "model", "provider", "user"}
_HEADS = ("budget", "of", "period", "counted", "becomes", "limit", "used")
_AMOUNTS = (3, 4, 5, 6)


class SignedDollars(click.ParamType[int]):
    """An amount up or down, as nano-dollars."""

    name = "dollars"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if str(value).startswith("--"):
            # Options that are not known reach us, or -12.50 would be taken for one.
            raise click.NoSuchOption(str(value), ctx=ctx)
        try:
            amount = decimal_usd(value)
            if abs(amount) > MAX_LIMIT_USD:
                self.fail(f"got {value}; write ${MAX_LIMIT_USD:,} at most", param, ctx)
            nano = nano_usd(amount)
        except InputError as error:
            self.fail(f"{error}; write dollars such as 12.50, or -12.50", param, ctx)
        if nano == 0:
            self.fail("0 changes nothing; write dollars such as 12.50, or -12.50", param, ctx)
        return nano


def attributes(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Read ``--for name=value`` options.

    Raises:
        click.BadParameter: no record has such an attribute, or one stands there twice.
    """
    found: dict[str, str] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.BadParameter(f"got {each!r}; write NAME=VALUE, such as team=search")
        try:
            attribute(name)
        except ValueError as error:
            raise click.BadParameter(f"got {each!r}; {error}") from error
        if not is_attribute_text(value):
            raise click.BadParameter(
                f"{name}: a value of 1 to {MAX_ATTRIBUTE_BYTES} bytes is needed, as the records "
                "have it"
            )
        if name in found:
            raise click.BadParameter(f"{name} stands there twice; a record has it once")
        found[name] = value
    return found


def check_time(at: datetime, now: datetime) -> None:
    """Refuse what has not been yet, and what is too long ago.

    Raises:
        click.BadParameter: says why.
    """
    if at > now:
        raise click.BadParameter(f"--at: {minute(at)} is yet to come; nothing was spent then")
    if now - at > OLDEST:
        raise click.BadParameter(
            f"--at: {minute(at)} is more than {OLDEST.days} days ago; no budget of then is kept"
        )


class Effect(NamedTuple):
    """One counter, before and after."""

    key: ItemKey
    budget: Budget
    value: str
    """The one user, say, of a budget per user; empty for all others."""
    before_nano_usd: int
    after_nano_usd: int

    @property
    def is_total(self) -> bool:
        return self.key.share == TOTAL

    @property
    def is_possible(self) -> bool:
        """Whether as much was counted as is to be taken away."""
        return self.after_nano_usd >= 0

    @property
    def of(self) -> str:
        if self.is_total:
            return "all"
        if self.value:
            return f"{self.budget.per} {self.value}"
        return f"API key {self.key.share.removeprefix('key#')}"


def effects(book: Book, adjustment: Adjustment, counted: Mapping[ItemKey, int]) -> list[Effect]:
    """Return what an adjustment does to each counter, in the budgets' order."""
    order = {each.name: number for number, each in enumerate(book.limits.budgets)}
    return [
        Effect(
            key=key,
            budget=budget,
            value=cut_id(budget.value_in(adjustment.attributes)),
            before_nano_usd=before,
            after_nano_usd=before + adjustment.nano_usd,
        )
        for key, before in sorted(counted.items(), key=lambda each: order[each[0].budget])
        for budget in [book.budget(key.budget)]
    ]


def plan_lines(book: Book, adjustment: Adjustment, found: Sequence[Effect]) -> Iterator[str]:
    """Yield what would become of each counter, and who would hear of it."""
    yield f"{title(adjustment)}: {printable(adjustment.reason)}"
    yield from table(
        list(folded([_HEADS, *(_row(book, each) for each in found)], columns=(0, 1))),
        right=(3, 4, 5, 6),
    )
    for each in found if all(each.is_possible for each in found) else ():
        if each.is_total:
            yield from _rung_lines(book, each)
    yield from _unmatched_lines(book, adjustment)


def title(adjustment: Adjustment) -> str:
    """Return ``-$12.50 at 2026-11-21 12:00 UTC for team=search``."""
    amount, whose = signed_usd(adjustment.nano_usd), attributes_text(adjustment.attributes)
    return f"{amount} at {minute(adjustment.at)} for {whose}"


def _row(book: Book, effect: Effect) -> tuple[str, ...]:
    has_limit = effect.is_total or bool(effect.value)
    limit = book.limit(effect.budget, effect.value)
    return (
        effect.budget.name,
        printable(effect.of),
        effect.key.period,
        display_usd(effect.before_nano_usd),
        display_usd(effect.after_nano_usd),
        display_usd(limit) if has_limit else NONE,
        used_text(effect.after_nano_usd, limit) if has_limit and effect.is_possible else NONE,
    )


def _rung_lines(book: Book, effect: Effect) -> Iterator[str]:
    limit, before, after = (
        book.limit(effect.budget),
        effect.before_nano_usd,
        effect.after_nano_usd,
    )
    is_now = effect.budget.period_at(book.now).key == effect.key.period
    for rung in effect.budget.ladder:
        at = max(rung.threshold_nano_usd(limit), 1)
        where = f"{GAP}{effect.budget.name}: {rung.percent} % ({display_usd(at)})"
        if before < at <= after:
            trips = rung.trips and is_now
            blows = ", and the fuse may trip and disable its API keys" if trips else ""
            yield f"{where} is reached: it tells {', '.join(rung.channels)}{blows}."
        elif rung.trips and after < at <= before and is_now:
            yield (
                f"{where} is reached no more; a fuse that tripped stays so until "
                "`spendfuse fuse restore`."
            )


def _unmatched_lines(book: Book, adjustment: Adjustment) -> Iterator[str]:
    known = set(_SHARED_BY)
    for each in book.limits.budgets:
        known |= {*each.match, *([each.per] if each.per else [])}
    for name in adjustment.attributes:
        if name not in known:
            yield f"{GAP}No budget looks at {printable(name)}: it is noted, no more."


def below_zero(found: Iterable[Effect]) -> dict[ItemKey, int]:
    """Return the counters from which more would be taken than they have, and what they have."""
    return {each.key: each.before_nano_usd for each in found if not each.is_possible}


def undo_line(adjustment: Adjustment) -> str:
    """Return the command that posts the opposite."""
    whose = "".join(
        f" --for {shell_text(f'{name}={value}')}" for name, value in adjustment.attributes.items()
    )
    return (
        f"{GAP}To take it back: spendfuse ledger adjust {plain(usd(-adjustment.nano_usd))}{whose} "
        f"--at {utc_text(adjustment.at)} --reason {shell_text(f'undo {adjustment.id}')}"
    )


def known_line(there: Adjustment) -> str:
    """Return that an adjustment was posted before."""
    return (
        f"{printable(there.id)} was posted already, on {minute(there.posted_at)} by "
        f"{who(there)}: {title(there)}. Nothing to do."
    )


def who(adjustment: Adjustment) -> str:
    # arn:aws:sts::123456789012:assumed-role/Admin/ann
    return printable(adjustment.by.rpartition(":")[2]) or "unknown"


def period_of(key: str) -> Period:
    """Return the calendar period (UTC) of a key, whatever its kind.

    Raises:
        click.BadParameter: it is none's.
    """
    for kind in PERIOD_KINDS:
        try:
            return Period.from_key(kind, key)
        except InputError:
            continue
    raise click.BadParameter(
        f"--period: {key!r} is no period's key; write 2026-11, 2026-W47 or 2026-11-21"
    )


def trail_lines(trail: Sequence[Adjustment]) -> Iterator[str]:
    """Yield what was adjusted, newest first."""
    if not trail:
        yield "No adjustment was posted."
        return
    for number, each in enumerate(trail):
        if number:
            yield ""
        yield f"{title(each)}"
        yield f"{GAP}{printable(each.reason)}"
        yield f"{GAP}posted {minute(each.posted_at)} by {who(each)}, id {printable(each.id)}"
    if len(trail) > 1:
        yield ""
        total = sum(each.nano_usd for each in trail)
        yield f"{len(trail):,} adjustments, {signed_usd(total)} together"


def adjustment_json(adjustment: Adjustment) -> dict[str, Any]:
    return {
        "id": adjustment.id,
        "usd": usd_json(adjustment.nano_usd),
        "attributes": dict(adjustment.attributes),
        "at": utc_text(adjustment.at),
        "reason": adjustment.reason,
        "by": adjustment.by,
        "posted_at": utc_text(adjustment.posted_at),
    }
