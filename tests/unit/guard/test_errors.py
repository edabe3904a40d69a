"""What a refusal says to people: what is left, and when it fits."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from spendfuse.guard.errors import (
    BudgetExceededError,
    BudgetFigures,
    FuseTrippedError,
    GuardDownError,
    RateExceededError,
    RefusedError,
)
from spendfuse.money import nano_usd

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def exceeded(asked, spent, held="0", *, wait: int | None = 60, resets_at=MIDNIGHT, value=""):
    amounts = [nano_usd(Decimal(each)) for each in ("10", spent, held)]
    period = "total" if resets_at is None else "2026-11-22"
    figures = BudgetFigures("search", value, period, *amounts, resets_at, is_short=True)
    return BudgetExceededError(figures, nano_usd(Decimal(asked)), retry_after_seconds=wait)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            exceeded("0.50", "9.75"),
            (
                "$0.50 is asked for, and $0.25 is left of $10.00 for 2026-11-22 ($9.75 spent); "
                "the budget starts anew on 2026-11-23 at 00:00 UTC"
            ),
        ),
        (
            exceeded("0.50", "9.00", "0.75"),
            (
                "$0.50 is asked for, and $0.25 is left of $10.00 for 2026-11-22 ($9.00 spent, "
                "$0.75 held by running requests); it may fit when some of those have ended"
            ),
        ),
        (
            exceeded("0.50", "12"),
            (
                "$0.50 is asked for, and nothing is left of $10.00 for 2026-11-22 ($12.00 spent); "
                "the budget starts anew on 2026-11-23 at 00:00 UTC"
            ),
        ),
        (
            exceeded("0.50", "10", wait=None, resets_at=None),
            (
                "$0.50 is asked for, and nothing is left of $10.00 in all ($10.00 spent); "
                "no room until a limit is raised"
            ),
        ),
        (
            exceeded("0.50", "9", "0.75", wait=5, resets_at=None),
            (
                "$0.50 is asked for, and $0.25 is left of $10.00 in all ($9.00 spent, $0.75 "
                "held by running requests); it may fit when some of those have ended"
            ),
        ),
        (
            exceeded("11", "0", wait=None),
            (
                "$11.00 is asked for, and $10.00 is left of $10.00 for 2026-11-22 ($0.00 spent); "
                "it never fits: ask for less"
            ),
        ),
        (
            # A fit budget takes less than was asked for.
            exceeded("0.50", "9.75", "0.25", wait=5, resets_at=None),
            (
                "$0.50 is asked for, and nothing is left of $10.00 in all ($9.75 spent, $0.25 "
                "held by running requests); it may fit when some of those have ended"
            ),
        ),
        (
            exceeded("11", "2", "8", wait=5),
            (
                "$11.00 is asked for, and nothing is left of $10.00 for 2026-11-22 ($2.00 spent, "
                "$8.00 held by running requests); it may fit when some of those have ended"
            ),
        ),
        (
            exceeded("0.500000002", "9.499999999"),
            (
                "$0.500000002 is asked for, and $0.500000001 is left of $10.00 for 2026-11-22 "
                "($9.50 spent); the budget starts anew on 2026-11-23 at 00:00 UTC"
            ),
        ),
    ],
)
def test_a_budget_says_what_is_left_and_when_it_fits(error, text):
    assert str(error) == f"budget search: {text}"


def test_a_users_name_breaks_no_line_of_a_log():
    assert "of 'u\\n2026 INFO'" in str(exceeded("1", "10", value="u\n2026 INFO"))
    assert "of Zoë Müller:" in str(exceeded("1", "10", value="Zoë Müller"))


@pytest.mark.parametrize(
    ("wait", "advice"), [(12, "try again in 12 s"), (None, "it never fits: ask for less")]
)
def test_a_rate_says_when_it_fits(wait, advice):
    error = RateExceededError("burst", "u1", 10**9, 2 * 10**9, retry_after_seconds=wait)

    assert str(error) == (
        f"rate burst of u1: $2.00 is asked for, which does not fit into $1.00 a minute; {advice}"
    )
    assert error.body()["limit_usd_per_minute"] == "1"


def test_a_reason_is_for_the_log_and_not_for_clients():
    error = GuardDownError("search", "valkey://10.0.0.7 can't be reached")

    assert "10.0.0.7" in str(error)
    assert error.body() == {
        "error": "guard_down",
        "message": "budget search can't be checked for now; try again in a moment",
        "budget": "search",
    }


def test_a_tripped_fuse_says_since_when():
    body = FuseTrippedError("main", trip_id="t1", since=MIDNIGHT).body()

    assert body == {
        "error": "fuse_tripped",
        "message": "the fuse main is tripped since 2026-11-23T00:00:00.000Z; no LLM call is made "
        "until it is restored (spendfuse fuse status)",
        "fuse": "main",
        "trip_id": "t1",
        "since": "2026-11-23T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    "error",
    [
        exceeded("0.50", "9.75"),
        RateExceededError("burst", "u-17", 5 * 10**9, 10**9, retry_after_seconds=7),
        FuseTrippedError("spendfuse", trip_id="t-1", since=MIDNIGHT),
        GuardDownError("search", "10.0.0.7 refused the connection"),
        RefusedError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_crosses_processes(error: RefusedError):
    # A pool of processes breaks at an exception that can't be made again.
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), other.body()) == (str(error), error.body())
        assert other.retry_after_seconds == error.retry_after_seconds
