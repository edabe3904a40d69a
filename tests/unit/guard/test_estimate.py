from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.guard.guards import Clock, book, held, limit

from spendfuse.errors import InputError
from spendfuse.guard import BudgetExceededError, Guard
from spendfuse.guard.estimate import Estimator
from spendfuse.metering import UnknownModelError
from spendfuse.metering.price import PriceError
from spendfuse.metering.price_book import PriceBook


def a_guard(*budgets, **options) -> Guard:
    return Guard(list(budgets or [limit(9)]), prices=book(), now=Clock(), **options)


def test_a_call_is_estimated_by_its_prompt_and_max_tokens() -> None:
    reservation = a_guard().reserve(model="gpt-4o", prompt=1000, max_tokens=500)

    # 1000 at $2.50 and 500 at $10.00 for a million.
    assert reservation.held_usd == Decimal("0.0075")
    assert (reservation.max_tokens, reservation.is_lowered) == (500, False)


@pytest.mark.parametrize(
    "prompt", ["What is a fuse?", [{"role": "user", "content": "What is a fuse?"}]]
)
def test_a_prompt_is_a_text_or_messages(prompt) -> None:
    few = a_guard().reserve(model="gpt-4o", prompt="", max_tokens=1)
    more = a_guard().reserve(model="gpt-4o", prompt=prompt, max_tokens=1)

    assert more.held_usd > few.held_usd


def test_a_model_is_named_by_text() -> None:
    with pytest.raises(InputError, match="model must be text, got 4"):
        a_guard().reserve(model=4, prompt="What is a fuse?")


def test_without_max_tokens_the_default_is_assumed() -> None:
    assert a_guard().reserve(model="gpt-4o", prompt=1000).max_tokens == 4096
    assert a_guard(default_max_tokens=300).reserve(model="gpt-4o", prompt=10).max_tokens == 300


def test_the_model_s_maximum_is_assumed_where_it_is_smaller() -> None:
    guard = a_guard(max_output_tokens={"gpt-4o": 200, "gpt-4o-mini": 10**6})

    assert guard.reserve(model="gpt-4o", prompt=10).max_tokens == 200
    assert guard.reserve(model="gpt-4o-2024-08-06", prompt=10).max_tokens == 200
    assert guard.reserve(model="gpt-4o-mini", prompt=10).max_tokens == 4096


def test_input_and_output_share_the_model_s_context() -> None:
    # gpt-4o takes 128,000 tokens of both.
    assert a_guard().reserve(model="gpt-4o", prompt=127_000).max_tokens == 1_000
    assert a_guard().reserve(model="gpt-4o", prompt=500_000).max_tokens == 1


def test_without_max_tokens_a_call_never_takes_all_that_is_left() -> None:
    guard = a_guard(limit(1_000_000))

    assert guard.reserve(model="gpt-4o", prompt=10).held_usd < 1


def test_an_embedding_puts_nothing_out() -> None:
    reservation = a_guard().reserve(model="text-embedding-3-small", prompt=1_000_000)

    assert reservation.max_tokens is None
    assert reservation.held_usd == Decimal("0.02")


def test_tiers_and_batches_have_their_own_price() -> None:
    guard = a_guard()
    ask = {"model": "gpt-4o", "prompt": 1000, "max_tokens": 1000}

    assert guard.reserve(**ask, batch=True).held_usd == guard.reserve(**ask).held_usd / 2
    assert guard.reserve(**ask, tier="priority").held_usd > guard.reserve(**ask).held_usd


def test_an_unknown_model_is_refused_and_nothing_is_held() -> None:
    guard = a_guard()

    with pytest.raises(UnknownModelError, match="gtp-4o"):
        guard.reserve(model="gtp-4o", prompt="hello")

    assert held(guard) == 0
    assert guard.health().reserved == 0


def test_a_model_without_a_price_for_tokens_is_refused() -> None:
    with pytest.raises(PriceError, match="no price"):
        a_guard().reserve(model="whisper-1", prompt="hello")


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"model": "gpt-4o"},
        {"prompt": "hello"},
        {"model": "gpt-4o", "max_tokens": 5},
        {"model": "gpt-4o", "prompt": -1},
        {"model": "gpt-4o", "prompt": True},
        {"model": "gpt-4o", "prompt": 1.5},
        {"model": "gpt-4o", "prompt": b"hello"},
        {"model": "gpt-4o", "prompt": 10**13},
        {"model": "gpt-4o", "prompt": 5, "max_tokens": 0},
        {"model": "gpt-4o", "prompt": 5, "max_tokens": -5},
        {"model": "gpt-4o", "prompt": 5, "max_tokens": "5"},
        {"model": "gpt-4o", "prompt": 5, "max_tokens": True},
        {"model": "gpt-4o", "prompt": 5, "max_tokens": 10**12},
        {"model": "gpt-4o", "prompt": 5, "tier": "fastest"},
        {"estimate_usd": "0.1", "model": "gpt-4o", "prompt": "hello"},
    ],
)
def test_a_call_that_can_t_be_changes_nothing(ask) -> None:
    guard = a_guard(limit(10**7))

    with pytest.raises(InputError):
        guard.reserve(**ask)

    assert held(guard) == 0


def test_options_are_checked_at_the_start() -> None:
    with pytest.raises(InputError, match="default_max_tokens"):
        a_guard(default_max_tokens=0)
    with pytest.raises(InputError, match="gpt-4o"):
        a_guard(max_output_tokens={"gpt-4o": "many"})
    with pytest.raises(InputError, match="least_tokens"):
        a_guard(least_tokens=-1)


def test_a_fit_budget_lowers_max_tokens_to_what_is_left_and_says_so(caplog) -> None:
    caplog.set_level(logging.INFO)
    guard = a_guard(limit(0.01, mode="fit"))
    guard.reserve("0.002").settle("0.002")

    reservation = guard.reserve(model="gpt-4o", prompt=1000, max_tokens=4000)

    # $0.008 are left: $0.0025 for the input, and 550 tokens of output.
    assert (reservation.max_tokens, reservation.is_lowered) == (550, True)
    assert reservation.held_usd <= Decimal("0.008")
    assert held(guard) == 0.008
    assert guard.health().lowered == 1
    assert "lowered from 4000 to 550" in caplog.text


def test_a_fit_budget_lowers_what_was_assumed_too() -> None:
    reservation = a_guard(limit(0.01, mode="fit")).reserve(model="gpt-4o", prompt=1000)

    assert (reservation.max_tokens, reservation.is_lowered) == (750, True)


def test_a_fit_budget_refuses_below_the_least_that_is_of_use() -> None:
    # 16 tokens of output cost $0.00016, and the input $0.0025.
    enough = a_guard(limit(0.00266, mode="fit")).reserve(model="gpt-4o", prompt=1000)

    with pytest.raises(BudgetExceededError):
        a_guard(limit(0.00265, mode="fit")).reserve(model="gpt-4o", prompt=1000)
    with pytest.raises(BudgetExceededError):
        a_guard(limit(0.00266, mode="fit"), least_tokens=17).reserve(model="gpt-4o", prompt=1000)

    assert enough.max_tokens == 16


def test_fewer_tokens_than_the_least_are_asked_for_and_held() -> None:
    reservation = a_guard(limit(0.0026, mode="fit")).reserve(
        model="gpt-4o", prompt=1000, max_tokens=5
    )

    assert (reservation.max_tokens, reservation.is_lowered) == (5, False)


def test_a_strict_budget_refuses_what_a_fit_budget_would_lower() -> None:
    guard = a_guard(limit(9, "fit", mode="fit"), limit(0.01, "strict"))

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve(model="gpt-4o", prompt=1000)

    assert refused.value.figures.budget == "strict"


def test_an_estimate_in_dollars_can_t_be_lowered() -> None:
    guard = a_guard(limit(0.01, mode="fit"))

    with pytest.raises(BudgetExceededError):
        guard.reserve("0.02", max_tokens=500)

    assert guard.reserve("0.005", max_tokens=500).max_tokens == 500


def test_the_same_id_is_lowered_alike(caplog) -> None:
    guard = a_guard(limit(0.01, mode="fit"))
    ask = {"model": "gpt-4o", "prompt": 1000, "hold_id": "a"}

    first, second = guard.reserve(**ask), guard.reserve(**ask)

    assert first.max_tokens == second.max_tokens == 750
    assert guard.health().lowered == 1


@given(
    tokens=st.integers(0, 300_000),
    limit_tokens=st.integers(1, 100_000),
    nano=st.integers(0, 10**10),
)
def test_the_largest_max_tokens_that_fits_is_found(tokens, limit_tokens, nano) -> None:
    call = Estimator(book()).asked(
        "gemini-2.5-pro", "google", tokens, max_tokens=limit_tokens, at=Clock().at
    )
    most = call.tokens_within(nano)

    assert most == limit_tokens or call.nano_usd(most + 1) > nano
    assert most < 0 or call.nano_usd(most) <= nano


def test_the_price_book_is_opened_when_a_price_is_first_needed(monkeypatch) -> None:
    opened = []
    monkeypatch.setattr(PriceBook, "standard", lambda: opened.append(1) or book())
    guard = Guard([limit()])

    guard.reserve("0.1", model="gpt-4o")
    before = list(opened)
    guard.reserve(model="gpt-4o", prompt=5, max_tokens=5)
    guard.reserve(model="gpt-4o", prompt=5, max_tokens=5)

    assert (before, opened) == ([], [1])
