"""The JSON of ``spendfuse ledger show`` and ``top``: dollars are text, times RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

from spendfuse.cli.budget_book import Book
from spendfuse.cli.budget_report import used_percent
from spendfuse.cli.ledger_figures import Counted, Figures, Ranking
from spendfuse.cli.ledger_report import share_percent, whole_of
from spendfuse.cli.ledger_text import usd_json
from spendfuse.cli.price_layout import plain
from spendfuse.clock import utc_text
from spendfuse.ledger.counters import Delta


def show_json(figures: Figures) -> dict[str, Any]:
    series, now = figures.series, figures.book.now
    return {
        **_header(figures.book),
        "budgets": [_counted_json(figures.book, each) for each in figures.counted],
        "last_hour_usd": usd_json(series.last_hour(now)),
        "today_usd": usd_json(series.spent_on(now.date())),
        "minutes_since_usage": series.minutes_since_usage(now),
        "quarantine_today": {
            "records": figures.waiting.records,
            "packs": figures.waiting.packs,
            "is_all": figures.waiting.is_all,
        },
    }


def _counted_json(book: Book, counted: Counted) -> dict[str, Any]:
    budget, total, limit = counted.budget, counted.total, counted.limit_nano_usd
    used = used_percent(total.nano_usd, limit)
    return {
        "name": budget.name,
        "match": dict(budget.match),
        "period": budget.period,
        "zone": budget.zone,
        "period_key": counted.period.key,
        "spent_usd": usd_json(total.nano_usd),
        "limit_usd": usd_json(limit),
        "limit_from": "override" if book.override(budget) else "configuration",
        "used_percent": None if used is None else plain(used),
        "requests": total.requests,
        "unpriced": total.unpriced,
        "keys": [
            {"key_id": each.key_id, "usd": usd_json(each.nano_usd)} for each in counted.keys or ()
        ],
    }


def top_json(ranking: Ranking) -> dict[str, Any]:
    whole = whole_of(ranking)
    return {
        **_header(ranking.book),
        "budget": ranking.budget.name,
        "period_key": ranking.period.key,
        "by": ranking.by,
        "total_usd": usd_json(whole.nano_usd),
        "top": [
            {"value": value or None, **_share_json(delta, whole)}
            for value, delta in ranking.entries
        ],
        "others": _share_json(ranking.others, whole),
        "unshared_usd": usd_json(ranking.unshared_nano_usd),
    }


def _share_json(delta: Delta, whole: Delta) -> dict[str, Any]:
    share = share_percent(delta.nano_usd, whole)
    return {
        "usd": usd_json(delta.nano_usd),
        "share_percent": None if share is None else plain(share),
        "requests": delta.requests,
        "unpriced": delta.unpriced,
    }


def _header(book: Book) -> dict[str, Any]:
    return {"deployment": book.deployment, "at": utc_text(book.now), "version": book.version}
