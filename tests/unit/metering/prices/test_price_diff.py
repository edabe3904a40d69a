"""How two prices differ: by what is billed, not by what is listed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.prices.hand_made import book

from spendfuse.metering import Usage
from spendfuse.metering.catalogue import Rate
from spendfuse.metering.price import compiled
from spendfuse.metering.price_diff import price_diffs, rate_diffs
from spendfuse.metering.price_history import prices_at

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
amounts = st.decimals(min_value=0, max_value=100, places=3)
prices = st.fixed_dictionaries(
    {"input_tokens": amounts, "output_tokens": amounts},
    optional=dict.fromkeys(
        ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens"), amounts
    ),
)


def rates(listed: dict[str, Decimal]) -> dict[str, Rate]:
    return {unit: Rate(Decimal(usd)) for unit, usd in listed.items()}


@given(prices, prices)
def test_prices_differ_exactly_where_some_usage_costs_differently(
    before: dict[str, Decimal], after: dict[str, Decimal]
) -> None:
    usages = [
        Usage(input_tokens=10**6, output_tokens=10**6),
        Usage(input_tokens=10**6, cached_input_tokens=10**6),
        Usage(input_tokens=10**6, cache_write_tokens=10**6),
        Usage(output_tokens=10**6, reasoning_tokens=10**6),
        Usage(input_tokens=10**6),
    ]
    costs = [
        [compiled(rates(each), provider="", model="", version="", source="").nano_usd(usage)
         for usage in usages]
        for each in (before, after)
    ]  # fmt: skip

    assert bool(rate_diffs(rates(before), rates(after))) is (costs[0] != costs[1])


def test_a_part_without_a_price_of_its_own_has_that_of_its_whole() -> None:
    (diff,) = rate_diffs(
        rates({"input_tokens": Decimal(2)}),
        rates({"input_tokens": Decimal(2), "cached_input_tokens": Decimal(1)}),
    )

    assert (diff.unit, diff.before, diff.after, diff.percent) == ("cached_input_tokens", 2, 1, -50)


def test_a_tier_on_one_side_is_a_difference_above_it_alone() -> None:
    plain, tiered = Rate(Decimal(2)), Rate(Decimal(2), ((200_000, Decimal(4)),))
    (diff,) = rate_diffs({"input_tokens": plain}, {"input_tokens": tiered})

    assert (diff.above, diff.before, diff.after) == (200_000, 2, 4)


def test_from_200000_and_above_200000_are_one_tier() -> None:
    sides = [
        {"input_tokens": Rate(Decimal(2), ((start, Decimal(4)),))} for start in (199_999, 200_000)
    ]

    assert rate_diffs(*sides) == ()


@pytest.mark.parametrize(("after", "differ"), [("1000.9", False), ("1001.1", True), ("999", False)])
def test_within_the_tolerance_prices_are_the_same(after: str, differ: bool) -> None:
    sides = (rates({"input_tokens": Decimal(each)}) for each in ("1000", after))

    assert bool(rate_diffs(*sides, tolerance=Decimal("0.001"))) is differ


def test_what_is_free_costs_nothing_of_each_unit() -> None:
    free = book({"provider": "acme", "models": ["steady"], "free": True})
    before, after = (prices_at(each, "acme", "steady", NOW) for each in (book(), free))

    assert [(each.unit, each.after) for each in price_diffs(before, after)["standard"]] == [
        ("input_tokens", 0),
        ("output_tokens", 0),
    ]
