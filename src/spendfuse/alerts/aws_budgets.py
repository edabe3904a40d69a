"""AWS Budgets' own messages: plain text, with neither a percentage nor a period in it.

A budget's name may hold any word of the text but no colon, so only whole lines of the form
``Key: value`` are believed, each at most once. What does not read like that in every line
we need is no notice, and reaches people as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from spendfuse.errors import InputError
from spendfuse.money import nano_usd
from spendfuse.period import Period

_MONTHS = {
    "January": 1,
    "February": 2,
    "March": 3,
    "April": 4,
    "May": 5,
    "June": 6,
    "July": 7,
    "August": 8,
    "September": 9,
    "October": 10,
    "November": 11,
    "December": 12,
}
_LINE_END = re.compile(r"\r\n|\r|\n")
# Digits are bounded: eighteen before the point is beyond every bill, even a false one.
_DOLLARS = re.compile(r"\$([0-9]{1,3}(?:,[0-9]{3}){0,5}|[0-9]{1,18})(\.[0-9]{1,9})?", re.ASCII)
_TITLE = re.compile(r"AWS Budget Notification ([A-Z][a-z]+) ([0-9]{1,2}), (20[0-9]{2})")
_ACCOUNT = re.compile(r"AWS Account ([0-9]{12})")
_SPAN = re.compile(r"budget is greater than \$[0-9,.]+ (per day|for the current [a-z]+)")


@dataclass(frozen=True, slots=True)
class BudgetsNotice:
    """What one AWS Budgets message says, and no more."""

    aws_name: str
    account: str
    actual: bool
    """Spent, not forecast."""
    daily: bool
    """Of a daily budget, which reports on yesterday."""
    budgeted_nano_usd: int
    threshold_nano_usd: int
    amount_nano_usd: int
    """What is spent, or forecast for the whole period."""
    date: date
    """The day in the message's title."""

    @property
    def percent(self) -> int | None:
        """The rung, which AWS leaves out; None under a budget of nothing."""
        if self.budgeted_nano_usd == 0:
            return None
        return (self.threshold_nano_usd * 200 + self.budgeted_nano_usd) // (
            self.budgeted_nano_usd * 2
        )

    @property
    def period(self) -> Period:
        """The period it speaks of, in UTC: the title's month, or the day before the title's."""
        title_day = datetime.combine(self.date, time.min, UTC)
        if self.daily:
            return Period.containing("day", title_day - timedelta(days=1))
        return Period.containing("month", title_day)

    @property
    def period_key(self) -> str:
        """The key of that period, e.g. 2026-11 or 2026-11-20."""
        return self.period.key


def budgets_notice(text: str) -> BudgetsNotice:
    """Read the text of an AWS Budgets message.

    Raises:
        InputError: not such a message, or one about something other than dollars.
    """
    lines = [line.strip() for line in _LINE_END.split(text.strip().removeprefix("\ufeff"))]
    account = _ACCOUNT.fullmatch(lines[1] if len(lines) > 1 else "")
    if account is None:
        raise InputError("the second line does not name an AWS account")
    values = _values(lines)
    kind = _value(values, "Alert Type").upper()
    if kind not in {"ACTUAL", "FORECASTED"}:
        raise InputError(f"unknown alert type {kind!r}")
    return BudgetsNotice(
        aws_name=_value(values, "Budget Name"),
        account=account[1],
        actual=kind == "ACTUAL",
        daily=_is_daily(lines),
        budgeted_nano_usd=_nano(_value(values, "Budgeted Amount")),
        threshold_nano_usd=_nano(_after_greater_than(_value(values, "Alert Threshold"))),
        amount_nano_usd=_nano(_value(values, f"{kind} Amount")),
        date=_date(lines[0]),
    )


def _values(lines: list[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon:
            # The case of "ACTUAL Amount" has changed over the years.
            values.setdefault(key.lower(), []).append(value.strip())
    return values


def _value(values: Mapping[str, list[str]], key: str) -> str:
    found = values.get(key.lower(), [])
    if len(found) != 1 or not found[0]:
        raise InputError(f"expected one line {key!r}, found {len(found)}")
    return found[0]


def _after_greater_than(threshold: str) -> str:
    # A budget may also warn of too little use ("<"); that is no spend to act on.
    if not threshold.startswith(">"):
        raise InputError(f"the threshold {threshold!r} is no upper one")
    return threshold[1:].strip()


def _nano(text: str) -> int:
    match = _DOLLARS.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is no amount in dollars")
    return nano_usd(Decimal(match[1].replace(",", "") + (match[2] or "")))


def _date(title: str) -> date:
    match = _TITLE.fullmatch(title)
    try:
        if match is None:
            raise ValueError(title)
        return date(int(match[3]), _MONTHS[match[1]], int(match[2]))
    except (ValueError, KeyError) as error:
        raise InputError(f"the title {title!r} has no date") from error


def _is_daily(lines: list[str]) -> bool:
    """Return whether the sentence speaks of a day; refuse quarters and years.

    The name stands in the sentence before the phrase and may imitate it: the last counts.
    """
    prose = " ".join(line for line in lines if line.startswith("You requested"))
    phrases: list[str] = _SPAN.findall(prose)
    span = phrases[-1] if phrases else "for the current month"
    if span not in {"per day", "for the current month"}:
        raise InputError(f"a budget {span} is neither daily nor monthly")
    return span == "per day"
