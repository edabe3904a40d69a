"""What ``spendfuse ledger show`` and ``top`` say to people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from spendfuse.cli.budget_report import minute, period_text, used_percent, used_text
from spendfuse.cli.budget_text import limit_text, printable, scope_text
from spendfuse.cli.ledger_figures import MOST_WAITING, Counted, Figures, Ranking
from spendfuse.cli.ledger_text import count, cut, folded
from spendfuse.cli.price_layout import GAP, NONE, table, width
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.tally import ShareBy
from spendfuse.money import display_usd

_HEADS = ("budget", "period", "spent", "limit", "used", "requests", "unpriced")
_AMOUNTS = (2, 3, 4, 5, 6)
_TENTH = Decimal("0.1")
_WIDEST_NAME = 60
_NARROWEST_NAME = 12
_ERROR_MINUTES = 5
NOBODY: dict[ShareBy, str] = {
    "user": "nobody named",
    "model": "no model named",
    "feature": "no feature named",
}


def show_lines(figures: Figures, *, is_one: bool) -> Iterator[str]:
    """Yield the ledger as it is: one budget whole, or all, the fullest after the first."""
    if is_one:
        yield from _one_lines(figures, figures.counted[0])
    else:
        first, *others = figures.counted
        # Of a hundred, those that are nearly spent must not have to be looked for.
        others.sort(key=_used, reverse=True)
        rows = [_HEADS, *(_row(each) for each in (first, *others))]
        yield from table(list(folded(rows, indent="")), right=_AMOUNTS, indent="")
        yield from _key_lines(first, f"dearest API keys of {first.budget.name}")
    yield ""
    # Whatever budget and period stand above.
    yield "all usage"
    yield from table(list(_now_rows(figures)))


def _used(counted: Counted) -> Decimal:
    # Nothing is left of a limit of nothing.
    used = used_percent(counted.total.nano_usd, counted.limit_nano_usd)
    return Decimal("Infinity") if used is None else used


def _row(counted: Counted) -> tuple[str, ...]:
    total = counted.total
    return (
        counted.budget.name,
        counted.period.key,
        display_usd(total.nano_usd),
        display_usd(counted.limit_nano_usd),
        used_text(total.nano_usd, counted.limit_nano_usd),
        f"{total.requests:,}",
        f"{total.unpriced:,}",
    )


def _one_lines(figures: Figures, counted: Counted) -> Iterator[str]:
    budget, total, limit = counted.budget, counted.total, counted.limit_nano_usd
    override = figures.book.override(budget)
    instead = f", set instead of {limit_text(budget)}" if override else ""
    unpriced = f", {total.unpriced:,} of them without a price" if total.unpriced else ""
    yield f"budget {budget.name}: {scope_text(budget)}"
    yield from table(
        [
            ("period", period_text(counted.period)),
            ("spent", f"{display_usd(total.nano_usd)}, {used_text(total.nano_usd, limit)}"),
            ("limit", f"{display_usd(limit)}{instead}"),
            ("requests", f"{total.requests:,}{unpriced}"),
        ]
    )
    yield from _key_lines(counted, "dearest API keys")


def _key_lines(counted: Counted, title: str) -> Iterator[str]:
    if not counted.keys:
        return
    yield ""
    yield title
    yield from table(
        [
            (
                _name(each.key_id),
                display_usd(each.nano_usd),
                share_text(each.nano_usd, counted.total),
            )
            for each in counted.keys
        ],
        right=(1, 2),
    )


def _now_rows(figures: Figures) -> Iterator[tuple[str, str]]:
    series, now = figures.series, figures.book.now
    yield "last 60 minutes", f"{display_usd(series.last_hour(now))} metered"
    yield "today (UTC)", f"{display_usd(series.spent_on(now.date()))} metered"
    errors, requests = series.errors_of_last(_ERROR_MINUTES, now)
    if requests:
        yield (
            f"last {_ERROR_MINUTES} minutes",
            f"{count(requests, 'request')}, {count(errors, 'error')}",
        )
    yield "last usage", _since_text(figures)
    yield "quarantine", _waiting_text(figures)


def _since_text(figures: Figures) -> str:
    now = figures.book.now
    minutes = figures.series.minutes_since_usage(now)
    if minutes is None:
        # Totals are counted at once, and minutes added up once a minute.
        is_some = any(each.total.requests for each in figures.counted)
        return "just now: figures of it follow in a minute" if is_some else "none yet"
    at = minute(now - timedelta(minutes=minutes))
    return f"{at}, {_ago(minutes)}"


def _ago(minutes: int) -> str:
    if minutes == 0:
        return "this minute"
    hours, days = minutes // 60, minutes // (24 * 60)
    if days > 1:
        return f"{days} days ago"
    return f"{hours} hours ago" if hours > 1 else f"{count(minutes, 'minute')} ago"


def _waiting_text(figures: Figures) -> str:
    waiting = figures.waiting
    if not waiting.is_all:
        return f"{MOST_WAITING:,} records of today and more; `spendfuse ledger quarantine list`"
    if not waiting.records:
        return "nothing of today"
    records, packs = count(waiting.records, "record"), count(waiting.packs, "pack")
    return f"{records} of {packs} of today; `spendfuse ledger quarantine list`"


def top_lines(ranking: Ranking) -> Iterator[str]:
    """Yield who spent the most, and the rest; what a share is of is the budget's whole total."""
    budget, period = ranking.budget, ranking.period
    yield f"{budget.name} in {period_text(period)}, by {ranking.by}"
    if not ranking.entries and not ranking.counted.nano_usd:
        yield f"{GAP}nothing was counted"
        return
    whole = whole_of(ranking)
    rows: list[tuple[str, ...]] = [(ranking.by, "spent", "share", "requests")]
    rows += [_top_row(_value(ranking.by, value), delta, whole) for value, delta in ranking.entries]
    if ranking.unshared_nano_usd:
        rest = Delta(ranking.unshared_nano_usd)
        rows.append((*_top_row("counted before shares were kept", rest, whole)[:3], NONE))
    rows.append(_top_row("all others", ranking.others, whole))
    yield from table(rows, right=(1, 2, 3))


def whole_of(ranking: Ranking) -> Delta:
    """Return what the shares are shares of."""
    shared = ranking.shared
    return Delta(shared.nano_usd + ranking.unshared_nano_usd, shared.requests)


def _top_row(name: str, delta: Delta, whole: Delta) -> tuple[str, str, str, str]:
    return (
        name,
        display_usd(delta.nano_usd),
        share_text(delta.nano_usd, whole),
        f"{delta.requests:,}",
    )


def _value(by: ShareBy, value: str) -> str:
    return _name(value) if value else f"({NOBODY[by]})"


def _name(text: str) -> str:
    """Return a name on one line, cut where the amounts beside it would leave the terminal."""
    room = max(_NARROWEST_NAME, min(_WIDEST_NAME, width() - 40))
    return cut(text, room) if text.isprintable() else cut(printable(text), room)


def share_text(nano: int, whole: Delta) -> str:
    """Return ``12.3 %``, or a dash where there is nothing to have a share of."""
    share = share_percent(nano, whole)
    return NONE if share is None else f"{share} %"


def share_percent(nano: int, whole: Delta) -> Decimal | None:
    if whole.nano_usd <= 0:
        return None
    return (Decimal(100 * nano) / whole.nano_usd).quantize(_TENTH, ROUND_HALF_UP)
