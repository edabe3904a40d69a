"""The bill adds up, and what it is made from shows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse import aws_prices
from spendfuse.aws_prices import Price
from spendfuse.upkeep.bill import Bill, Line, monthly_bill
from spendfuse.upkeep.cost_table import RECORDS, USERS, USUAL, bill_of
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import Counted, Workload

MONTH = Workload(
    requests=1_000_000,
    users=1_000,
    records_per_pack=200,
    users_per_pack=100,
    counted=Counted(1, 0, 0),
)


def bill(**over: Any) -> Bill:
    return monthly_bill(replace(MONTH, **over), USUAL, Deployment(), Measured())


def line(bill: Bill, what: str) -> Line:
    (found,) = (each for each in bill.lines if each.what == what)
    return found


def test_lines_add_up_to_the_month_to_the_nano_dollar() -> None:
    month = bill()

    assert month.monthly_usd == sum(each.usd for each in month.lines)
    assert month.monthly_usd == month.fixed_usd + month.by_requests_usd
    assert month.per_million_requests_usd == month.by_requests_usd


def test_without_requests_nothing_is_caused_by_them() -> None:
    idle = bill(requests=0, users=0, users_per_pack=1)

    assert idle.by_requests_usd == 0
    assert idle.per_million_requests_usd is None
    assert idle.monthly_usd == idle.fixed_usd > 20


def test_two_hundred_records_of_a_hundred_users_cost_less_than_half_a_dollar_a_million() -> None:
    for records in (each for each in RECORDS if each >= 200):
        for users in (each for each in USERS if each <= 100):
            per_million = bill_of(10_000_000, 10_000, records, users).per_million_requests_usd

            assert per_million is not None
            assert per_million <= Decimal("0.50")


@pytest.mark.parametrize("requests", [1_000_000, 10_000_000, 1_000_000_000])
@pytest.mark.parametrize("users", [100, 1_000, 10_000])
def test_that_holds_from_a_million_requests_of_ten_thousand_users_on(
    requests: int, users: int
) -> None:
    per_million = bill_of(requests, users, 200, 100).per_million_requests_usd

    assert per_million is not None
    assert per_million <= Decimal("0.50")


def test_a_put_metric_data_for_each_request_would_cost_ten_dollars_a_million() -> None:
    assert aws_prices.METRIC_REQUEST.of(1_000_000) == 10


def test_a_pack_above_64_kb_is_sent_and_received_as_two_requests() -> None:
    small, large = bill(records_per_pack=100), bill(records_per_pack=200)

    # Sent, received, deleted.
    assert line(small, "usage queue: send, receive, delete").quantity == 10_000 * 3
    assert line(large, "usage queue: send, receive, delete").quantity == 5_000 * 5


def test_the_stream_wakes_nobody_more_than_four_times_a_second() -> None:
    crowded = bill(requests=100_000_000, records_per_pack=1, users_per_pack=1)

    waking = line(crowded, "watch_budgets: woken by the stream")
    assert waking.quantity == 4 * 730 * 3600


def test_each_model_is_eight_metrics() -> None:
    more = line(bill(models=4), "custom metrics").quantity

    assert more - line(bill(models=3), "custom metrics").quantity == 8


def test_alarms_that_are_off_cost_nothing() -> None:
    off = replace(USUAL, alarm_metrics=0, composite_alarms=0)
    lines = monthly_bill(MONTH, off, Deployment(), Measured()).lines

    assert not [each for each in lines if "alarm" in each.what]


@given(st.integers(1, 10**12), st.integers(1, 500))
def test_no_request_makes_the_bill_smaller(requests: int, records: int) -> None:
    few = bill(requests=requests, users=1, users_per_pack=1, records_per_pack=records)
    more = bill(requests=2 * requests, users=1, users_per_pack=1, records_per_pack=records)

    assert few.monthly_usd <= more.monthly_usd


def test_a_price_is_exact_for_any_quantity() -> None:
    price = Price("Lambda", "request", Decimal("0.20"), 1_000_000, "")

    assert price.of(1) == Decimal("0.0000002")
    assert price.of(10**18) == 2 * 10**11


def test_each_price_says_where_it_is_from() -> None:
    prices = [each for each in vars(aws_prices).values() if isinstance(each, Price)]

    assert len(prices) > 20
    assert all("http" in each.source or "remembered" in each.source for each in prices)
