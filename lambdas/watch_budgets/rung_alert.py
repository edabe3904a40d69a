"""The alert of a rung: where the ledger's figures become news, and an order to the fuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from spendfuse.alerts.alert import Alert, Severity
from spendfuse.budget import Budget
from spendfuse.definitions import Definitions
from spendfuse.fuse_state import KeySpend, TripOrder
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.rungs import DueRung
from spendfuse.money import display_usd
from spendfuse.period import Period

_WARNING_FROM, _CRITICAL_FROM = 80, 100


def rung_alert(
    due: DueRung,
    budget: Budget,
    period: Period,
    spent: Delta,
    *,
    definitions: Definitions,
    dearest_keys: tuple[KeySpend, ...],
    now: datetime,
) -> Alert:
    """Return the alert of a due rung; one that trips carries the order, unless it is history."""
    trips = due.rung.trips and now < period.end
    return Alert(
        id="/".join(("rung", definitions.deployment, budget.name, period.key, str(due.key))),
        deployment=definitions.deployment,
        source="ledger",
        severity=_severity(due.rung.percent),
        headline=_headline(due, budget, period),
        at=now,
        channels=due.rung.channels,
        details=_details(due, spent, dearest_keys),
        budget=budget.name,
        period=period.key,
        percent=due.rung.percent,
        spent_nano_usd=spent.nano_usd,
        limit_nano_usd=budget.limit_nano_usd,
        trip=_order(due, budget, period, definitions, dearest_keys) if trips else None,
    )


def without_order(alert: Alert, budget: Budget, spent: Delta) -> Alert:
    """Return an alert whose order came to nothing before it was sent: it informs all the same."""
    used, limit = display_usd(spent.nano_usd), display_usd(budget.limit_nano_usd)
    why = f"The fuse is not tripped for this any more: by now {used} of {limit} is spent"
    return replace(alert, trip=None, details=(*alert.details, why))


def _severity(percent: int) -> Severity:
    if percent >= _CRITICAL_FROM:
        return "critical"
    return "warning" if percent >= _WARNING_FROM else "info"


def _headline(due: DueRung, budget: Budget, period: Period) -> str:
    limit = display_usd(budget.limit_nano_usd)
    if due.key.allowance:
        return f"{budget.name}: the allowance after the restore is spent ({period.key}, {limit})"
    return f"{budget.name}: {due.rung.percent} % of {limit} is spent ({period.key})"


def _details(due: DueRung, spent: Delta, dearest_keys: tuple[KeySpend, ...]) -> tuple[str, ...]:
    details = [f"{spent.requests:,} requests so far"]
    if due.passed:
        percents = ", ".join(f"{percent} %" for percent in due.passed)
        details.append(f"{percents} of this limit {'is' if len(due.passed) == 1 else 'are'} passed")
    if spent.unpriced:
        details.append(f"{spent.unpriced:,} of them could not be priced and are not in the sum")
    if dearest_keys and due.rung.trips:
        top = dearest_keys[0]
        details.append(f"Dearest API key: {top.key_id}, {display_usd(top.nano_usd)}")
    return tuple(details)


def _order(
    due: DueRung,
    budget: Budget,
    period: Period,
    definitions: Definitions,
    dearest_keys: tuple[KeySpend, ...],
) -> TripOrder:
    return TripOrder(
        fuse=definitions.fuse.name,
        budget=budget.name,
        period=period.key,
        percent=due.rung.percent,
        limit_nano_usd=budget.limit_nano_usd,
        allowance=due.key.allowance,
        keys=dearest_keys,
    )
