"""The JSON of ``spendfuse budgets``: dollars are text, times are RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

from spendfuse.budget import Budget, Override, Rate
from spendfuse.cli.budget_book import Book
from spendfuse.cli.budget_report import used_percent
from spendfuse.cli.price_layout import plain
from spendfuse.clock import utc_text
from spendfuse.money import usd
from spendfuse.period import Period


def list_json(book: Book) -> dict[str, Any]:
    return {
        **_header(book),
        "budgets": [
            _budget_json(book, each, "", each.period_at(book.now)) for each in book.limits.budgets
        ],
        "rates": [_rate_json(each) for each in book.limits.rates],
        "orphans": [
            {"budget": each.budget, "value": each.value or None, **_override_json(each)}
            for each in book.orphans()
        ],
    }


def show_json(book: Book, budget: Budget, value: str, period: Period) -> dict[str, Any]:
    return {**_header(book), **_budget_json(book, budget, value, period)}


def _header(book: Book) -> dict[str, Any]:
    return {
        "deployment": book.deployment,
        "at": utc_text(book.now),
        "source": book.source,
        "version": book.version,
    }


def _budget_json(book: Book, budget: Budget, value: str, period: Period) -> dict[str, Any]:
    limit, spent = book.limit(budget, value), book.spent(budget, period, value)
    override = book.decisive(budget, value)
    used = None if spent is None else used_percent(spent, limit)
    return {
        "name": budget.name,
        "match": dict(budget.match),
        "per": budget.per,
        "value": value or None,
        "period": budget.period,
        "zone": budget.zone,
        "period_key": period.key,
        "resets_at": None if period.kind == "total" else utc_text(period.end),
        "mode": budget.mode,
        "when_down": budget.when_down,
        "local_share_percent": budget.local_share_percent,
        "limit_usd": _usd(limit),
        "limit_from": "configuration" if override is None else "override",
        "configured_limit_usd": _usd(budget.limit_nano_usd),
        "override": None if override is None else _override_json(override),
        "spent_usd": None if spent is None else _usd(spent),
        "left_usd": None if spent is None else _usd(limit - spent),
        "used_percent": None if used is None else plain(used),
        "rungs": [
            {
                "percent": rung.percent,
                "threshold_usd": _usd(rung.threshold_nano_usd(limit)),
                "channels": list(rung.channels),
                "trips": rung.trips,
                "is_reached": spent is not None and spent >= rung.threshold_nano_usd(limit),
            }
            for rung in budget.ladder
        ],
        "values": [
            {"value": each.value, **_override_json(each)} for each in book.of_values(budget)
        ],
    }


def _override_json(override: Override) -> dict[str, Any]:
    return {
        "limit_usd": _usd(override.limit_nano_usd),
        "by": override.by,
        "reason": override.reason,
        "at": utc_text(override.at) if override.at else None,
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {
        "name": rate.name,
        "match": dict(rate.match),
        "per": rate.per,
        "usd_per_minute": _usd(rate.nano_usd_per_minute),
    }


def _usd(nano: int) -> str:
    return plain(usd(nano))
