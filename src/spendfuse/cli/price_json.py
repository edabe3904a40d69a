"""The JSON of ``spendfuse prices``: money is text in plain notation, days are ISO dates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from spendfuse.cli.price_layout import percent, plain
from spendfuse.clock import utc_text
from spendfuse.metering.catalogue import PER, Rate, Rates
from spendfuse.metering.price import Cost, Price
from spendfuse.metering.price_changes import Change
from spendfuse.metering.price_check import ProviderCheck
from spendfuse.metering.price_diff import RateDiff, is_free
from spendfuse.metering.price_history import Hours, Stretch, any_price
from spendfuse.metering.price_list import ListedPrice


def cost_json(cost: Cost, model: str, at: datetime) -> dict[str, Any]:
    price = cost.price
    return {
        "provider": price.provider,
        "model": model,
        "matched": price.model,
        "tier": price.tier,
        "at": utc_text(at),
        "cost_usd": plain(cost.usd),
        "cost_nano_usd": cost.nano_usd,
        "parts": [
            {
                "unit": part.name,
                "count": part.count,
                "usd_per": plain(part.usd_per),
                "per": part.per,
                "usd": plain(part.usd),
            }
            for part in cost.parts()
        ],
        "price_from": _day(price.valid_from),
        "price_version": price.version,
        "source": price.source,
    }


def show_json(
    model: str, stretches: Sequence[Stretch], now: Stretch, at: datetime
) -> dict[str, Any]:
    price = any_price(now.prices)
    return {
        "provider": price.provider,
        "model": model,
        "matched": price.model,
        "at": utc_text(at),
        **_stretch_json(now),
        "price_version": price.version,
        "source": price.source,
        "history": [_stretch_json(each) for each in stretches],
    }


def _stretch_json(stretch: Stretch) -> dict[str, Any]:
    return {
        "from": _day(stretch.from_day),
        "until": _day(stretch.until_day),
        "hours": _hours_json(stretch.hours),
        "prices": {way: _price_json(price) for way, price in stretch.prices.items()},
    }


def _price_json(price: Price) -> dict[str, Any]:
    return {"free": True} if is_free(price) else _rates_json(price.rates)


def _rates_json(rates: Rates) -> dict[str, Any]:
    return {unit: _rate_json(unit, rate) for unit, rate in rates.items()}


def _rate_json(unit: str, rate: Rate) -> dict[str, Any]:
    return {
        "usd": plain(rate.usd),
        "per": PER[unit],
        "tiers": [{"above_input_tokens": start, "usd": plain(usd)} for start, usd in rate.tiers],
    }


def list_json(listed: Iterable[ListedPrice], at: datetime, version: str) -> dict[str, Any]:
    return {
        "at": utc_text(at),
        "price_version": version,
        "models": [
            {
                "provider": each.provider,
                "model": each.model,
                "prices": None if each.price is None else _price_json(each.price),
            }
            for each in listed
        ],
    }


def check_json(
    checks: Sequence[ProviderCheck], table: str, at: datetime, version: str
) -> dict[str, Any]:
    return {
        "at": utc_text(at),
        "price_version": version,
        "against": table,
        "providers": {
            each.provider: {
                "compared": each.compared,
                "same": each.same,
                "differing": each.differing_models,
                "missing": each.missing_models,
                "without_price": each.without_price,
                "unknown": each.unknown,
            }
            for each in checks
        },
        "differences": [
            {
                "provider": check.provider,
                "model": each.model,
                "matched": each.matched or None,
                "processing": each.processing,
                **_diff_json(each.rate, "ours", "theirs"),
            }
            for check in checks
            for each in check.differing
        ],
    }


def diff_json(changes: Iterable[Change], header: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **header,
        "changes": [
            {
                "provider": change.provider,
                "model": change.model,
                "from": _day(change.from_day),
                "until": _day(change.until_day),
                "hours": _hours_json(change.hours),
                "prices": {
                    way: [_diff_json(each, "before", "after") for each in diffs]
                    for way, diffs in change.diffs.items()
                },
            }
            for change in changes
        ],
    }


def _diff_json(diff: RateDiff, before: str, after: str) -> dict[str, Any]:
    return {
        "unit": diff.unit,
        "above_input_tokens": diff.above,
        before: None if diff.before is None else plain(diff.before),
        after: None if diff.after is None else plain(diff.after),
        "change_percent": None if diff.percent is None else percent(diff.percent),
    }


def _hours_json(hours: Sequence[Hours]) -> list[dict[str, str]]:
    return [{"from": f"{begin:%H:%M}", "until": f"{end:%H:%M}"} for begin, end in hours]


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
