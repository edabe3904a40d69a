"""Our compiled prices against the library's own arithmetic, for all of its models."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from math import ceil

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.prices.listed import NOW
from unit.metering.prices.usages import plain_usages, usages

from spendfuse.metering.genai_prices import UNITS, genai_catalogue
from spendfuse.metering.lookup import row_at
from spendfuse.metering.price import compiled
from spendfuse.metering.price_book import PriceBook, PriceError
from spendfuse.metering.usage import Usage

CATALOGUE = genai_catalogue()
PAIRS = [
    (theirs, model, ours)
    for theirs, provider in zip(providers, CATALOGUE.providers, strict=True)
    for model, ours in zip(theirs.models, provider.models(), strict=True)
]
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001


def theirs_of(usage: Usage) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        cache_audio_read_tokens=usage.cached_audio_tokens,
        cache_image_read_tokens=usage.cached_image_tokens,
        input_image_tokens=usage.input_image_tokens,
        output_image_tokens=usage.output_image_tokens,
    )


def ours(model: types.ModelInfo, at: datetime, usage: Usage) -> int | None:
    found = next(mine for _, each, mine in PAIRS if each is model)
    rates = row_at(found, at).rates
    try:
        return compiled(rates, provider="x", model="m", version="v", source="").nano_usd(usage)
    except PriceError:
        return None


@pytest.mark.parametrize("provider", providers, ids=lambda each: each.id)
def test_every_model_of_the_library_costs_what_the_library_says(provider: types.Provider) -> None:
    usage = Usage(input_tokens=123_457, cached_input_tokens=11_003, output_tokens=1_009)

    for model in provider.models:
        nano = ours(model, NOW, usage)
        if nano is not None:
            expected = model.calc_price(
                theirs_of(usage), provider, genai_request_timestamp=NOW
            ).total_price
            assert nano == pytest.approx(ceil(expected * 10**9), abs=1), model.id


@given(st.integers(0, len(PAIRS) - 1), plain_usages() | usages(), TIMES)
def test_any_usage_of_any_model_at_any_time_costs_what_the_library_says(
    index: int, usage: Usage, at: datetime
) -> None:
    provider, model, _ = PAIRS[index]
    nano = ours(model, at, usage)

    if nano is not None:
        price = model.calc_price(theirs_of(usage), provider, genai_request_timestamp=at)
        # Prices of more than nine decimals are rounded up to whole nano-dollars / SCALE a unit.
        assert 0 <= nano - ceil(price.total_price * 10**9) <= 10


@given(
    plain_usages(),
    st.sampled_from(["gpt-5", "gpt-5.5", "gpt-4.1", "o4-mini", "gpt-5.6-sol"]),
    st.sampled_from(["flex", "priority", "batch"]),
)
def test_variants_cost_what_the_library_says(usage: Usage, model: str, tier: str) -> None:
    book = PriceBook(CATALOGUE)
    context = {"processing": tier} if tier == "batch" else {"service_tier": tier}
    try:
        cost = book.price("openai", model, usage, at=NOW, tier=tier)
    except PriceError as error:
        assert "has no flex price" in str(error)  # noqa: PT017
        return

    price = genai_prices.calc_price(
        theirs_of(usage),
        model,
        provider_id="openai",
        genai_request_timestamp=NOW,
        price_context=context,
    )
    assert cost.nano_usd == ceil(price.total_price * 10**9)


def test_each_unit_of_the_library_is_one_that_we_count_or_leave_out_knowingly() -> None:
    known = {
        key
        for provider in providers
        for model in provider.models
        for each in (
            [model.prices]
            if isinstance(model.prices, types.ModelPrice)
            else [row.prices for row in model.prices]
        )
        for key, value in vars(each).items()
        if value is not None
    }

    # Of one provider of speech, which bills texts by the message.
    assert known - UNITS.keys() == {"input_text_messages_kcount"}


def test_the_librarys_hours_are_in_utc() -> None:
    for provider in providers:
        for model in provider.models:
            for row in model.prices if isinstance(model.prices, list) else []:
                constraint = row.constraint
                if isinstance(constraint, types.TimeOfDateConstraint):
                    assert constraint.start_time.utcoffset().total_seconds() == 0
                    assert constraint.end_time.utcoffset().total_seconds() == 0


def test_the_library_and_we_agree_that_money_is_decimal() -> None:
    assert type(PriceBook(CATALOGUE).price("openai", "gpt-4o", Usage(), at=NOW).usd) is Decimal
