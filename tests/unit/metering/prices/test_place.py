"""A place that costs more is told by the response, and priced."""

from __future__ import annotations

from decimal import Decimal

import pytest
from unit.metering.prices.listed import NOW

from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.responses import read_response


@pytest.mark.parametrize(
    ("place", "usd"),
    [("us", "5.5"), ("global", "5"), ("not_available", "5"), (None, "5")],
)
def test_inference_in_the_united_states_alone_costs_a_tenth_more(
    book: PriceBook, place: str | None, usd: str
) -> None:
    message = {
        "type": "message",
        "id": "msg_01",
        "role": "assistant",
        "model": "claude-opus-4-6",
        "content": [],
        "usage": {"input_tokens": 1_000_000, "output_tokens": 0, "inference_geo": place},
    }

    read = read_response(message)
    cost = book.price(read.provider, read.model, read.usage, at=NOW)
    assert cost.usd == Decimal(usd)


def test_bedrocks_own_place_is_in_its_id_and_not_counted_twice(book: PriceBook) -> None:
    message = {
        "type": "message",
        "id": "msg_bdrk_01",
        "model": "us.anthropic.claude-opus-4-6-v1",
        "content": [],
        "usage": {"input_tokens": 1_000_000, "output_tokens": 0, "inference_geo": "us"},
    }

    read = read_response(message)
    assert book.price(read.provider, read.model, read.usage, at=NOW).usd == Decimal("5.5")
