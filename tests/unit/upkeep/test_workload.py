"""Months that can't be are refused, with what to change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.budget import Budget
from spendfuse.errors import InputError
from spendfuse.upkeep.workload import (
    Counted,
    Workload,
    counted,
    different_users,
    usual_records_per_pack,
)


def a_month(**over: Any) -> Workload:
    usual: dict[str, Any] = {
        "requests": 1_000_000,
        "users": 100,
        "records_per_pack": 200,
        "users_per_pack": 50,
        "counted": Counted(1, 0, 0),
    }
    return Workload(**{**usual, **over})


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"requests": -1}, "requests: write 0 or more, got -1"),
        ({"records_per_pack": 0}, "records per pack: write 1 or more, got 0"),
        ({"requests": 10**14}, "are more than 10,000,000,000,000"),
        ({"requests": 10}, "users: 100 can't be more than the requests, 10"),
        (
            {"records_per_pack": 49},
            "users per pack: 50 can't be more than the records per pack, 49; lower it, or raise",
        ),
        ({"users": 49}, "users per pack: 50 can't be more than the users, 49"),
        ({"keys_per_pack": 201}, "keys per pack: 201 can't be more than the records per pack"),
        ({"models": 51}, "models: 51 are more than the 50 that get metrics"),
    ],
)
def test_a_month_that_can_t_be_says_what_to_change(over: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        a_month(**over)

    assert sentence in str(raised.value)


def test_a_month_without_requests_has_no_packs() -> None:
    month = a_month(requests=0, users=0, users_per_pack=1)

    assert (month.packs, month.postings) == (0, 0)


def test_the_last_pack_of_a_month_may_be_smaller() -> None:
    month = a_month(requests=401, packs_per_posting=2)

    assert (month.packs, month.postings) == (3, 2)


def test_budgets_are_told_apart_by_whom_they_count() -> None:
    budgets = [
        Budget("llm", 1, "month"),
        Budget("search", 1, "month", match={"team": "search"}),
        Budget("user", 1, "day", per="user"),
        Budget("team", 1, "day", per="team"),
    ]

    assert counted(budgets) == Counted(totals=2, per_user=1, per_other=1)


@pytest.mark.parametrize(
    ("requests", "processes", "records"),
    [(0, 1, 1), (1_000_000, 1, 1), (26_280_000, 1, 11), (26_280_000, 10, 2), (10**12, 1, 500)],
)
def test_what_comes_while_the_sink_lingers_goes_together(
    requests: int, processes: int, records: int
) -> None:
    usual = usual_records_per_pack(
        requests, processes=processes, linger_seconds=1.0, max_records=500
    )

    assert usual == records


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_no_more_users_are_met_than_there_are_or_than_records(users: int, records: int) -> None:
    met = different_users(users, records)

    assert 0 <= met <= min(users, records)
    assert bool(met) == bool(users and records)


def test_few_of_many_users_meet_themselves() -> None:
    assert different_users(10_000, 200) == 199
    assert different_users(100, 100) == 64
