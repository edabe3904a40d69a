"""When AWS's own billing message blows the fuse, and in words why not when it does not. Pure.

Billing sees what the ledger does not, hours later, and has been wrong by a factor of 10⁹. So it
trips only on a monthly, actual, plausible message about one of our own budgets. Its months are
UTC's: where the linked budget counts months in another zone, the order holds while it is the same
month in both. Its orders are always for allowance 0: they say nothing about what was spent since a
restore.
"""

from __future__ import annotations

from dataclasses import dataclass

from spendfuse.definitions import AwsBudget, Definitions
from spendfuse.fuse_state import TripOrder
from spendfuse.money import NANO_PER_USD, display_usd

_CENT = NANO_PER_USD // 100


@dataclass(frozen=True, slots=True)
class BillingFacts:
    """What a billing message says, and where it came in."""

    topic_arn: str
    aws_name: str
    account: str
    actual: bool
    daily: bool
    threshold_nano_usd: int
    amount_nano_usd: int
    period: str
    """The key of the month that the message is about."""


@dataclass(frozen=True, slots=True)
class BillingRefusal:
    reason: str


def billing_order(
    facts: BillingFacts, definitions: Definitions, *, trips_topic_arn: str, month: str
) -> TripOrder | BillingRefusal:
    """Return the order that a billing message amounts to, or why it is none.

    Args:
        facts: the message's.
        definitions: what is deployed.
        trips_topic_arn: our own topic; its account is the account that must be named.
        month: the key of the current month.
    """
    own = definitions.aws_budget(facts.aws_name)
    if own is None:
        return BillingRefusal(f"{facts.aws_name!r} is no AWS Budget of this deployment")
    percent = _trip_percent(own)
    reason = _sender_trouble(facts, trips_topic_arn) or _kind_trouble(facts, own, month)
    if not reason and percent is None:
        reason = f"the AWS Budget {facts.aws_name!r} has no rung that trips"
    if reason or percent is None:
        return BillingRefusal(reason)
    reason = _amount_trouble(facts, own, percent, definitions.fuse.plausible_multiple)
    if reason:
        return BillingRefusal(reason)
    return TripOrder(
        fuse=definitions.fuse.name,
        budget=own.budget,
        period=facts.period,
        percent=percent,
        limit_nano_usd=own.limit_nano_usd,
    )


def _trip_percent(own: AwsBudget) -> int | None:
    return min((rung.percent for rung in own.ladder if rung.trips), default=None)


def _sender_trouble(facts: BillingFacts, trips_topic_arn: str) -> str:
    if facts.topic_arn != trips_topic_arn:
        return f"it came from the topic {facts.topic_arn!r} and not from the one for trips"
    account = trips_topic_arn.split(":")[4]
    if facts.account != account:
        return f"it is about the account {facts.account}, and this is {account}"
    return ""


def _kind_trouble(facts: BillingFacts, own: AwsBudget, month: str) -> str:
    if not facts.actual:
        return "it is a forecast; only what was spent trips"
    if facts.daily or own.period != "month":
        return "it is about a day, which AWS reports when it is over"
    if facts.period != month:
        return f"it is about {facts.period}, and now is {month}"
    return ""


def _amount_trouble(facts: BillingFacts, own: AwsBudget, percent: int, multiple: int) -> str:
    threshold, amount = facts.threshold_nano_usd, facts.amount_nano_usd
    rung = -(-own.limit_nano_usd * percent // 100)
    # The message's amounts are rounded to the cent.
    if threshold + _CENT <= rung:
        return f"its threshold {display_usd(threshold)} is below the rung {display_usd(rung)}"
    if amount < threshold:
        return f"its amount {display_usd(amount)} is below its threshold {display_usd(threshold)}"
    if amount > multiple * own.limit_nano_usd:
        return (
            f"its amount {display_usd(amount)} is more than {multiple} times the limit "
            f"{display_usd(own.limit_nano_usd)}: not plausible"
        )
    return ""
