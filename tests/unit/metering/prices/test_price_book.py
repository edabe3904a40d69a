"""What the book keeps: prices from their date, whatever the order; bounded; in threads; as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.prices.listed import NOW
from unit.metering.prices.usages import plain_usages

from spendfuse.metering.catalogue import Row
from spendfuse.metering.genai_prices import genai_catalogue
from spendfuse.metering.price_book import (
    MAX_KEPT,
    PriceBook,
    PriceError,
    UnknownModelError,
)
from spendfuse.metering.usage import Usage

IN = Usage(input_tokens=1_000_000)
BEFORE, AFTER = datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC), datetime(2025, 6, 10, tzinfo=UTC)
TURNS = [
    ("openai", "o3", BEFORE, "10"),
    ("openai", "o3", AFTER, "2"),
    ("deepseek", "deepseek-v4-pro", datetime(2026, 11, 20, 5, 59, 59, tzinfo=UTC), "0.66"),
    ("deepseek", "deepseek-v4-pro", datetime(2026, 11, 20, 6, tzinfo=UTC), "1.32"),
    ("deepseek", "deepseek-v4-pro", datetime(2026, 11, 21, 9, 59, 59, tzinfo=UTC), "1.32"),
    ("deepseek", "deepseek-v4-pro", datetime(2026, 11, 21, 10, tzinfo=UTC), "0.66"),
    ("deepseek", "deepseek-chat", datetime(2025, 5, 1, 23, 59, 59, tzinfo=UTC), "0.135"),
    ("deepseek", "deepseek-chat", datetime(2025, 5, 2, 0, 29, 59, tzinfo=UTC), "0.135"),
    ("deepseek", "deepseek-chat", datetime(2025, 5, 2, 0, 30, tzinfo=UTC), "0.27"),
    ("mistral", "mistral-large-latest", datetime(2025, 12, 1, tzinfo=UTC), "2"),
    ("mistral", "mistral-large-latest", datetime(2025, 12, 2, tzinfo=UTC), "0.5"),
    ("google", "gemini-3.8-flash", datetime(2026, 12, 31, tzinfo=UTC), "0.75"),
    ("google", "gemini-3.8-flash", datetime(2027, 1, 1, tzinfo=UTC), "1.5"),
]
BOOK = PriceBook.standard()
SNAPSHOT = PriceBook.from_json(BOOK.to_json())


@given(st.lists(st.sampled_from(TURNS), max_size=20))
def test_a_price_holds_from_its_date_in_whatever_order_it_is_asked_for(
    asked: list[tuple[str, str, datetime, str]],
) -> None:
    for provider, model, at, usd in asked:
        assert BOOK.price(provider, model, IN, at=at).usd == Decimal(usd)


DATED = [
    (provider, model)
    for provider, model in BOOK.names()
    if provider in {"openai", "anthropic", "google", "aws", "deepseek", "mistral", "x-ai"}
    and any(BOOK.turns(provider, model, at=NOW))
]
MOMENTS = st.datetimes(datetime(2024, 6, 1), datetime(2027, 2, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.sampled_from(DATED), st.lists(MOMENTS, min_size=2, max_size=8), st.booleans())
def test_what_is_kept_holds_for_no_moment_longer_than_it_should(
    name: tuple[str, str], moments: list[datetime], batch: bool
) -> None:
    for at in moments:
        try:
            kept = BOOK.price(*name, Usage(), at=at, batch=batch).price
        except PriceError:
            continue
        anew = BOOK._lookup.held(*name, at=at, tier=None, batch=batch).price
        assert (kept.rates, kept.valid_from) == (anew.rates, anew.valid_from)


@pytest.mark.parametrize("first", range(0, 72, 3))
def test_an_hours_price_is_kept_for_those_hours_of_that_day(first: int) -> None:
    book = PriceBook(genai_catalogue())
    start = datetime(2026, 11, 19, tzinfo=UTC)
    asked = [start + timedelta(minutes=30 * half) for half in range(144)]
    book.price("deepseek", "deepseek-v4-pro", IN, at=start + timedelta(hours=first))
    kept = dict(book._held)

    for at in asked:
        book._held = dict(kept)
        usd = "1.32" if 1 <= at.hour < 4 or 6 <= at.hour < 10 else "0.66"
        assert book.price("deepseek", "deepseek-v4-pro", IN, at=at).usd == Decimal(usd)


@pytest.mark.parametrize(
    ("begin", "end", "held"),
    [(6, 10, {6, 7, 8, 9}), (22, 2, {22, 23, 0, 1}), (0, 1, {0})],
)
def test_hours_hold_from_their_begin_until_their_end_also_past_midnight(
    begin: int, end: int, held: set[int]
) -> None:
    row = Row({}, hours=(time(begin), time(end)))

    assert {hour for hour in range(24) if row.holds(NOW.replace(hour=hour))} == held


def test_a_time_is_the_same_in_every_zone(book: PriceBook) -> None:
    there = timezone(timedelta(hours=9))

    for _, model, at, usd in TURNS[:2]:
        assert book.price("openai", model, IN, at=at.astimezone(there)).usd == Decimal(usd)


def test_what_is_kept_is_bounded() -> None:
    small = PriceBook(genai_catalogue())
    for name in ("x" * 100_000, "openai/" + "gpt-4o" * 1000):
        with pytest.raises(UnknownModelError):
            small.price("", name, IN, at=NOW)
    assert len(small._unknown) == 0
    for number in range(MAX_KEPT + 50):
        with pytest.raises(UnknownModelError):
            small.price("openai", f"gpt-none-{number}", IN, at=NOW)
    for number in range(MAX_KEPT + 50):
        small.price("openai", " " * (number // 10) + "gpt-4o" + " " * (number % 10), IN, at=NOW)

    assert len(small._unknown) == MAX_KEPT
    assert len(small._held) == MAX_KEPT
    assert small.price("openai", "gpt-4o", IN, at=NOW).usd == Decimal("2.5")


def test_an_unknown_model_stays_unknown_and_is_found_out_once(book: PriceBook) -> None:
    for _ in range(3):
        with pytest.raises(UnknownModelError) as raised:
            book.price("openai", "gpt-nobody", IN, at=NOW)

    assert (raised.value.provider, raised.value.model) == ("openai", "gpt-nobody")


def test_a_price_is_looked_up_once_while_it_holds() -> None:
    book = PriceBook(genai_catalogue())
    before, again, after = (
        book.price("openai", "o3", IN, at=at).price
        for at in (BEFORE, BEFORE - timedelta(days=9), AFTER)
    )

    assert again is before
    assert after is not before
    assert book.price("openai", "o3", IN, at=AFTER + timedelta(days=30)).price is after


def test_a_missing_tier_is_an_error_each_time(book: PriceBook) -> None:
    for _ in range(2):
        with pytest.raises(PriceError, match="no flex price"):
            book.price("openai", "gpt-4o", IN, at=NOW, tier="flex")


def test_threads_that_ask_at_once_get_their_own_answers() -> None:
    shared = PriceBook.standard()
    wrong: list[str] = []

    def ask(offset: int) -> None:
        for number in range(400):
            provider, model, at, usd = TURNS[(number * 7 + offset) % len(TURNS)]
            got = shared.price(provider, model, IN, at=at).usd
            if got != Decimal(usd):
                wrong.append(f"{model} {at}: {got}")

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.parametrize(("provider", "model"), BOOK.names("aws"))
def test_a_snapshot_prices_each_model_of_aws_as_the_book_does(provider: str, model: str) -> None:
    for usage in (IN, Usage(input_tokens=300_000, cached_input_tokens=7, output_tokens=9)):
        for at in (NOW, datetime(2026, 7, 1, tzinfo=UTC)):
            for batch in (False, True):
                asked = {"usage": usage, "at": at, "batch": batch}
                ours = _answer(BOOK, provider, model, asked)
                assert _answer(SNAPSHOT, provider, model, asked) == ours


def _answer(book: PriceBook, provider: str, model: str, asked: dict[str, Any]) -> object:
    try:
        cost = book.price(provider, model, **asked)
    except PriceError as error:
        return str(error)
    price = cost.price
    return cost.nano_usd, price.model, price.valid_from, price.source, price.version, cost.parts()


@given(
    plain_usages(),
    st.sampled_from(["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "openai.gpt-5.6-sol"]),
)
def test_a_snapshot_prices_any_usage_as_the_book_does(usage: Usage, model: str) -> None:
    for at in (NOW, datetime(2026, 7, 1, tzinfo=UTC)):
        there = SNAPSHOT.price("aws", model, usage, at=at)
        assert there.nano_usd == BOOK.price("aws", model, usage, at=at).nano_usd


def test_a_snapshot_is_the_same_text_each_time() -> None:
    text = BOOK.to_json()

    assert PriceBook.standard().to_json() == text
    assert PriceBook.from_json(text).to_json() == text
    assert json.loads(text)["catalogue"]["providers"][0]["id"] == "aws"
    assert SNAPSHOT.version == BOOK.version


def test_a_snapshot_of_more_providers_keeps_hours_and_fallbacks() -> None:
    text = BOOK.to_json(["aws", "azure", "openai", "deepseek"])
    there = PriceBook.from_json(text)

    for provider, model, at, usd in TURNS[:9]:
        assert there.price(provider, model, IN, at=at).usd == Decimal(usd)
    assert there.price("azure", "gpt-4o", IN, at=NOW, batch=True).usd == Decimal("1.25")


def test_a_snapshot_does_not_know_the_providers_that_it_left_out() -> None:
    with pytest.raises(UnknownModelError):
        SNAPSHOT.price("mistral", "mistral-small-latest", IN, at=NOW)


def test_a_snapshot_is_read_without_any_library() -> None:
    code = """
import json, sys
for name in ("genai_prices", "yaml", "pydantic", "httpx"):
    sys.modules[name] = None
from datetime import datetime, timezone
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.usage import Usage
book = PriceBook.from_json(sys.stdin.read())
at = datetime(2026, 11, 20, tzinfo=timezone.utc)
print(book.price("aws", "amazon.nova-micro-v1:0", Usage(input_tokens=1000), at=at).nano_usd)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=BOOK.to_json(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "35000"


def test_the_versions_of_the_library_and_of_our_prices_are_on_every_price() -> None:
    library, ours = BOOK.version.split("+")

    assert library.startswith("genai-prices-0.")
    assert datetime.strptime(ours, "%Y.%m.%d").replace(tzinfo=UTC) > datetime(
        2026, 1, 1, tzinfo=UTC
    )
    assert BOOK.price_of("openai", "gpt-4o", at=NOW).version == BOOK.version


def test_a_cost_shows_itself(book: PriceBook) -> None:
    cost = book.price("openai", "gpt-4o", Usage(input_tokens=1), at=NOW)

    assert repr(cost) == "Cost(0.0000025 USD, openai gpt-4o)"
