"""When AWS Budgets notifies, and the plain text that it sends, word for word as recorded.

The text has no percentage, no ARN and no period: whoever reads it has to work those out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from spendfuse.money import decimal_usd
from spendfuse.period import Period, PeriodKind

AlertType = Literal["ACTUAL", "FORECASTED"]
TimeUnit = Literal["DAILY", "MONTHLY", "QUARTERLY", "ANNUALLY"]

_CURRENT = {"MONTHLY": "month", "QUARTERLY": "quarter", "ANNUALLY": "year"}
_PERIODS: Mapping[str, PeriodKind] = {"DAILY": "day", "MONTHLY": "month"}
_CENT = Decimal("0.01")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Spend:
    """What AWS's billing knows about a budget at some time."""

    actual_usd: Decimal
    at: datetime
    forecast_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BudgetNotice:
    """What one notification says."""

    account: str
    budget: str
    time_unit: TimeUnit
    alert_type: AlertType
    limit_usd: Decimal
    threshold_usd: Decimal
    amount_usd: Decimal
    """Spent, or forecasted to be spent."""
    at: datetime


def due_notice(
    budget: Mapping[str, Any], notification: Mapping[str, Any], spend: Spend, account: str
) -> BudgetNotice | None:
    """Return what the notification says about this spend, or None if it says nothing."""
    limit = decimal_usd((budget.get("BudgetLimit") or {}).get("Amount", "0"))
    is_actual = notification["NotificationType"] == "ACTUAL"
    amount = spend.actual_usd if is_actual else spend.forecast_usd
    threshold = threshold_usd(notification, limit)
    if amount is None or not _exceeds(amount, threshold, notification["ComparisonOperator"]):
        return None
    return BudgetNotice(
        account=account,
        budget=budget["BudgetName"],
        time_unit=budget["TimeUnit"],
        alert_type="ACTUAL" if is_actual else "FORECASTED",
        limit_usd=limit,
        threshold_usd=threshold,
        amount_usd=amount,
        at=spend.at,
    )


def threshold_usd(notification: Mapping[str, Any], limit_usd: Decimal) -> Decimal:
    """Return the notification's threshold in dollars; a bare number is a percentage."""
    number = decimal_usd(notification["Threshold"])
    if notification.get("ThresholdType") == "ABSOLUTE_VALUE":
        return number
    return limit_usd * number / 100


def period_key(time_unit: str, at: datetime) -> str:
    """Return the period in which a notification that fires at this time has fired."""
    if time_unit in _PERIODS:
        # A daily budget reports the day that has ended.
        reported = at - timedelta(days=1) if time_unit == "DAILY" else at
        return Period.containing(_PERIODS[time_unit], reported).key
    at = at.astimezone(UTC)
    return f"{at.year}" if time_unit == "ANNUALLY" else f"{at.year}-Q{(at.month + 2) // 3}"


def _exceeds(amount: Decimal, threshold: Decimal, comparison: str) -> bool:
    if comparison == "LESS_THAN":
        return amount < threshold
    return amount == threshold if comparison == "EQUAL_TO" else amount > threshold


def subject(notice: BudgetNotice) -> str:
    """Return the message's subject."""
    return f"AWS Budgets: {notice.budget} has exceeded your alert threshold"


def text(notice: BudgetNotice) -> str:
    """Return the message; a daily budget's speaks of yesterday."""
    at = notice.at.astimezone(UTC)
    kind, amount = notice.alert_type, dollars(notice.amount_usd)
    return "\n".join(
        (
            f"AWS Budget Notification {_MONTHS[at.month - 1]} {at.day}, {at.year}",
            f"AWS Account {notice.account}",
            "",
            "Dear AWS Customer,",
            "",
            _sentence(notice),
            "",
            f"Budget Name: {notice.budget}",
            "Budget Type: Cost",
            f"Budgeted Amount: {dollars(notice.limit_usd)}",
            f"Alert Type: {kind}",
            f"Alert Threshold: > {dollars(notice.threshold_usd)}",
            f"{kind} Amount: {amount}",
            "",
            "[1] https://console.aws.amazon.com/costmanagement/home#/budgets",
            "",
        )
    )


def dollars(amount: Decimal) -> str:
    """Return ``$1,234.50``, to the cent as AWS does."""
    return f"${amount.quantize(_CENT, ROUND_HALF_UP):,}"


def _sentence(notice: BudgetNotice) -> str:
    return (
        f"You requested that we alert you when the {notice.alert_type} Cost associated with your "
        f"{notice.budget} budget is greater than {dollars(notice.threshold_usd)} {_span(notice)}. "
        f"{_finding(notice)} {dollars(notice.amount_usd)}. You can find additional details "
        "below and by accessing the AWS Budgets dashboard [1]."
    )


def _span(notice: BudgetNotice) -> str:
    if notice.time_unit == "DAILY":
        return "per day"
    return f"for the current {_CURRENT[notice.time_unit]}"


def _finding(notice: BudgetNotice) -> str:
    cost = f"the {notice.alert_type} Cost associated with this budget"
    if notice.time_unit == "DAILY" and notice.alert_type == "ACTUAL":
        return f"Yesterday, {cost} was"
    return f"{cost[0].upper()}{cost[1:]} is"
