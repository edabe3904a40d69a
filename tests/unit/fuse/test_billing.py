from __future__ import annotations

from dataclasses import replace

import pytest

from spendfuse.budget import Budget, Rung
from spendfuse.definitions import AwsBudget, Definitions, FuseDefinition
from spendfuse.fuse.billing import BillingFacts, BillingRefusal, billing_order
from spendfuse.fuse_state import TripOrder
from spendfuse.money import NANO_PER_USD

TOPIC = "arn:aws:sns:eu-west-1:123456789012:trips"
USD = NANO_PER_USD
LADDER = (Rung(80, ("email",)), Rung(100, ("email", "slack"), trips=True))
AWS = AwsBudget("llm-1a2b3c4d", "all", 1000 * USD, "month", LADDER)
DEFINITIONS = Definitions(
    deployment="llm",
    budgets=(Budget("all", 900 * USD, "month", LADDER),),
    aws_budgets=(
        AWS,
        replace(AWS, aws_name="daily-1a2b3c4d", period="day"),
        replace(AWS, aws_name="telling-1a2b3c4d", ladder=LADDER[:1]),
        replace(AWS, aws_name="odd-1a2b3c4d", limit_nano_usd=33_333_333_333),
    ),
    fuse=FuseDefinition("llm", "armed", ("api_gateway",), 10, 10),
)
FACTS = BillingFacts(
    topic_arn=TOPIC,
    aws_name="llm-1a2b3c4d",
    account="123456789012",
    actual=True,
    daily=False,
    threshold_nano_usd=1000 * USD,
    amount_nano_usd=1012 * USD,
    period="2026-11",
)


def judged(**changes):
    return billing_order(
        replace(FACTS, **changes), DEFINITIONS, trips_topic_arn=TOPIC, month="2026-11"
    )


def test_a_monthly_actual_message_at_the_tripping_rung_is_an_order():
    assert judged() == TripOrder("llm", "all", "2026-11", 100, 1000 * USD)


def test_an_order_from_billing_is_always_for_allowance_0():
    order = judged()

    assert isinstance(order, TripOrder)
    assert order.allowance == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aws_name": "all-of-aws"}, "no AWS Budget of this deployment"),
        ({"aws_name": "telling-1a2b3c4d"}, "no rung that trips"),
        ({"topic_arn": TOPIC.replace("trips", "alerts")}, "the topic"),
        ({"topic_arn": ""}, "the topic"),
        ({"account": "210987654321"}, "the account 210987654321"),
        ({"actual": False}, "forecast"),
        ({"daily": True}, "about a day"),
        ({"aws_name": "daily-1a2b3c4d"}, "about a day"),
        ({"period": "2026-10"}, "now is 2026-11"),
        ({"period": "2026-12"}, "now is 2026-11"),
        ({"threshold_nano_usd": 800 * USD}, "below the rung $1,000.00"),
        ({"amount_nano_usd": 999 * USD}, "below its threshold"),
        ({"amount_nano_usd": 10_001 * USD}, "not plausible"),
        ({"amount_nano_usd": 10**9 * USD}, "not plausible"),
    ],
)
def test_what_is_not_ours_not_spent_or_not_plausible_trips_nothing(changes, reason):
    refusal = judged(**changes)

    assert isinstance(refusal, BillingRefusal)
    assert reason in refusal.reason


def test_the_plausible_ceiling_itself_still_trips():
    assert isinstance(judged(amount_nano_usd=10_000 * USD), TripOrder)


def test_a_threshold_that_aws_rounded_to_the_cent_is_at_its_rung():
    # 33.333333333 dollars: AWS writes $33.33.
    order = judged(
        aws_name="odd-1a2b3c4d", threshold_nano_usd=33_330_000_000, amount_nano_usd=40 * USD
    )

    assert isinstance(order, TripOrder)
