"""A model's name alone: its maker's price, whatever resellers ask for a model of that name."""

from __future__ import annotations

import decimal
import os
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from spendfuse.errors import InputError
from spendfuse.metering import PriceBook, PriceError, UnknownModelError, Usage
from spendfuse.metering.genai_prices import genai_catalogue
from spendfuse.metering.overrides import parsed

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOOK = PriceBook.standard()
MAKERS = ("openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "cohere")


@pytest.mark.parametrize(
    ("model", "maker"),
    [
        (model, maker)
        for maker in MAKERS
        for _, model in BOOK.names(maker)
        # Google resells Anthropic's.
        if not (maker == "google" and model.startswith("claude"))
    ],
)
def test_a_makers_model_costs_what_the_maker_asks_or_is_unknown(model, maker) -> None:
    try:
        alone = BOOK.price_of("", model, at=NOW)
    except (UnknownModelError, PriceError):
        return
    named = BOOK.price_of(maker, model, at=NOW)

    assert alone.rates == named.rates


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-haiku-4-5", "grok-3-mini"]
)
def test_a_name_that_a_reseller_has_too_is_its_makers(model) -> None:
    price = BOOK.price_of("", model, at=NOW)

    assert price.provider in {"anthropic", "x-ai"}


def test_an_entry_that_names_alias_and_model_counts_once() -> None:
    document = {
        "schema": 1,
        "prices": [
            {"provider": "openai", "models": ["chat"], "like": "openai/gpt-4o"},
            {"provider": "openai", "models": ["chat", "gpt-4o"], "discount_percent": 10},
        ],
    }
    book = PriceBook(genai_catalogue(), [parsed(document, name="test")])

    # $2.50 less a tenth, once.
    assert book.price("openai", "chat", Usage(input_tokens=10**6), at=NOW).usd == Decimal("2.25")


def test_a_hostile_name_is_refused_in_no_time() -> None:
    began = time.process_time()
    for tail in (":001", "-v1", "-001", "-v1@20250101", "-0613", "-latest", ":1k", "-20250101-v1"):
        with pytest.raises(UnknownModelError):
            BOOK.price_of("", "claude-sonnet-4-5" + tail * 60 + "!", at=NOW)

    # Not a measurement: a pattern that doubles with each repetition never comes back.
    assert time.process_time() - began < 60


def test_the_apps_own_decimal_context_changes_no_money() -> None:
    usage = Usage(input_tokens=123_456_789, output_tokens=7)
    exact = BOOK.price("anthropic", "claude-sonnet-4-5", usage, at=NOW, batch=True)
    text = str(exact.usd)
    with decimal.localcontext() as context:
        context.prec = 6
        rough = PriceBook.standard().price(
            "anthropic", "claude-sonnet-4-5", usage, at=NOW, batch=True
        )

        assert str(rough.usd) == text
        assert [str(part.usd) for part in rough.parts()] == [
            str(part.usd) for part in exact.parts()
        ]


@pytest.mark.parametrize(
    "at",
    [
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime(1969, 12, 31, tzinfo=UTC),
    ],
)
def test_a_time_at_which_nobody_called_is_an_error(at) -> None:
    with pytest.raises(InputError, match="is no time of a call"):
        BOOK.price_of("deepseek", "deepseek-chat", at=at)


def test_a_forked_child_finds_the_books_lock_free() -> None:
    book = PriceBook.standard()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with book._lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    pid = os.fork()
    if pid == 0:  # pragma: no cover (another process)
        os._exit(0 if book._lock.acquire(timeout=5) else 1)
    _, status = os.waitpid(pid, 0)
    done.set()
    holder.join()

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    ("provider", "model", "day", "dollars"),
    [
        # A million in and one out: $3 and $12, then $1.10 and $4.40.
        ("openai", "o1-mini", datetime(2025, 1, 30, tzinfo=UTC), "15"),
        ("openai", "o1-mini", datetime(2025, 1, 31, tzinfo=UTC), "5.5"),
        # Above 128,000 tokens in: $7 and $21, then $2.50 and $10.
        ("google", "gemini-1.5-pro", datetime(2024, 9, 30, 23, 59, 59, tzinfo=UTC), "28"),
        ("google", "gemini-1.5-pro", datetime(2024, 10, 1, tzinfo=UTC), "12.5"),
    ],
)
def test_old_records_keep_the_prices_of_their_day(provider, model, day, dollars) -> None:
    usage = Usage(input_tokens=10**6, output_tokens=10**6)

    assert BOOK.price(provider, model, usage, at=day).usd == Decimal(dollars)
