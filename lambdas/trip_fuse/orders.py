"""What a message on the topic ``trips`` amounts to: an order and its cause, or why it is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.envelopes import BudgetsNotice, Envelope
from spendfuse.definitions import Definitions
from spendfuse.fuse.billing import BillingFacts, BillingRefusal, billing_order
from spendfuse.fuse_state import TripOrder
from spendfuse.money import display_usd
from spendfuse.period import Period


@dataclass(frozen=True, slots=True)
class Order:
    trip: TripOrder
    cause: str
    limit_nano_usd: int
    """The budget's own limit, of which a restore allows a share: what is spent after a restore is
    counted by the ledger, also where AWS Budgets gave the order."""


@dataclass(frozen=True, slots=True)
class NoOrder:
    reason: str


def order_in(
    envelope: Envelope, definitions: Definitions, *, trips_topic_arn: str, now: datetime
) -> Order | NoOrder:
    """Return what the message orders. What is in doubt orders nothing; notify tells people."""
    if envelope.topic_arn != trips_topic_arn:
        return NoOrder(f"it came from the topic {envelope.topic_arn!r}")
    content = envelope.content
    if isinstance(content, Alert):
        return _from_our_alert(content, definitions)
    if isinstance(content, BudgetsNotice):
        return _from_billing(content, definitions, trips_topic_arn, now)
    return NoOrder(f"it is of a kind that never trips ({type(content).__name__})")


def _from_our_alert(alert: Alert, definitions: Definitions) -> Order | NoOrder:
    if alert.trip is None:
        return NoOrder("it is an alert that only informs")
    if alert.trip.fuse != definitions.fuse.name:
        return NoOrder(f"it is for the fuse {alert.trip.fuse!r}")
    # The watcher gave the order at the limit in force, which may have been set since.
    return Order(alert.trip, alert.headline, alert.trip.limit_nano_usd)


def _from_billing(
    notice: BudgetsNotice, definitions: Definitions, trips_topic_arn: str, now: datetime
) -> Order | NoOrder:
    facts = BillingFacts(
        topic_arn=trips_topic_arn,
        aws_name=notice.aws_name,
        account=notice.account,
        actual=notice.actual,
        daily=notice.daily,
        threshold_nano_usd=notice.threshold_nano_usd,
        amount_nano_usd=notice.amount_nano_usd,
        period=notice.period_key,
    )
    # AWS's months are UTC's, whatever the zone of the budget that they are linked to.
    month = Period.containing("month", now).key
    order = billing_order(facts, definitions, trips_topic_arn=trips_topic_arn, month=month)
    if isinstance(order, BillingRefusal):
        return NoOrder(order.reason)
    budget = definitions.budget(order.budget)
    limit_nano_usd = budget.limit_nano_usd if budget else order.limit_nano_usd
    amount, threshold = display_usd(facts.amount_nano_usd), display_usd(facts.threshold_nano_usd)
    cause = f"AWS Budgets: {facts.aws_name} is at {amount}, above {threshold}"
    return Order(order, cause, limit_nano_usd)
