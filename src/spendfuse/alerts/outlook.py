"""What an alert leaves open: what is left, until when, and what happens next.

Computed from the limit that the alert names, which an override may have changed since the
deployment, and from the deployed ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spendfuse.alerts.alert import Alert
from spendfuse.budget import Budget
from spendfuse.definitions import Definitions, FuseMode
from spendfuse.errors import InputError
from spendfuse.period import NEVER


@dataclass(frozen=True, slots=True)
class NextRung:
    """A rung that the spend has not reached."""

    percent: int
    threshold_nano_usd: int
    trips: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is left of a budget's period."""

    fuse_mode: FuseMode
    resets_at: datetime | None = None
    left_nano_usd: int | None = None
    """Negative once the limit is passed."""
    ahead: tuple[NextRung, ...] = ()
    """The rungs still to come, lowest first."""
    is_ladder_known: bool = False


def outlook(alert: Alert, definitions: Definitions) -> Outlook:
    """Return what is ahead of an alert's budget, as far as it is known."""
    mode = definitions.fuse.mode
    spent, limit = alert.spent_nano_usd, alert.limit_nano_usd
    left = None if spent is None or limit is None else limit - spent
    budget = definitions.budget(alert.budget) if alert.budget is not None else None
    if budget is None:
        return Outlook(mode, left_nano_usd=left)
    return Outlook(
        fuse_mode=mode,
        resets_at=_resets_at(budget, alert.period),
        left_nano_usd=left,
        ahead=_ahead(alert, budget),
        # AWS's ladder hangs on the invoice; its figures say nothing about the ledger's rungs.
        is_ladder_known=alert.source == "ledger" and None not in {spent, limit},
    )


def _resets_at(budget: Budget, period: str | None) -> datetime | None:
    try:
        end = budget.period_of(period or "").end
    except InputError:
        return None
    return None if end == NEVER else end


def _ahead(alert: Alert, budget: Budget) -> tuple[NextRung, ...]:
    spent, limit = alert.spent_nano_usd, alert.limit_nano_usd
    if alert.source != "ledger" or spent is None or limit is None:
        return ()
    rungs = (
        NextRung(rung.percent, rung.threshold_nano_usd(limit), rung.trips) for rung in budget.ladder
    )
    return tuple(
        rung
        for rung in rungs
        if rung.threshold_nano_usd > spent and rung.percent > (alert.percent or 0)
    )
