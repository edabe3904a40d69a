"""Who a call is for, and what becomes of values that no ledger takes."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.metering.attribution import (
    MAX_ATTRIBUTES,
    NOBODY,
    attribute_text,
    attributed,
    current_attribution,
    extended,
)


def test_inner_attributes_stand_on_the_outer_ones_and_end_with_their_block() -> None:
    with attributed(user="u1", team="search"):
        with attributed(feature="ask", team="docs", rag_chunks_used=4):
            inner = current_attribution()
        outer = current_attribution()

    assert inner.attributes == {"user": "u1", "team": "docs", "feature": "ask"}
    assert inner.fields == {"rag_chunks_used": 4}
    assert outer.attributes == {"user": "u1", "team": "search"}
    assert current_attribution() == NOBODY


def test_attributes_end_with_their_block_when_it_raises() -> None:
    with pytest.raises(RuntimeError), attributed(user="u1"):
        raise RuntimeError

    assert current_attribution() == NOBODY


def test_concurrent_tasks_keep_their_own_users() -> None:
    async def ask(user: str) -> str:
        with attributed(user=user):
            await asyncio.sleep(0)
            return current_attribution().attributes["user"]

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(ask(f"u{number}") for number in range(20)))

    assert asyncio.run(all_of_them()) == [f"u{number}" for number in range(20)]


def test_a_user_id_of_ten_kilobytes_is_cut_and_two_of_them_stay_apart() -> None:
    first, second = attribute_text("ü" * 10_000 + "1"), attribute_text("ü" * 10_000 + "2")

    assert len(first.encode()) <= 256
    assert first.startswith("üüü")
    assert first != second


@given(st.text(max_size=600))
def test_every_text_becomes_one_that_the_ledger_takes(text) -> None:
    cut = attribute_text(text)

    assert len(cut.encode()) <= 256
    assert cut == text or len(text.encode("utf-8", "replace")) > 256 or not _is_utf8(text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_a_lone_surrogate_is_replaced() -> None:
    attribute_text("a\ud800b").encode()

    assert attribute_text("a\ud800b") == "a?b"


def test_what_says_nothing_changes_nothing() -> None:
    given_before = extended(NOBODY, {"user": "u1"})

    assert extended(given_before, {"user": "", "team": None, "score": math.nan}) == given_before


def test_attributes_and_fields_are_bounded_in_number() -> None:
    many = extended(NOBODY, {f"k{number}": "v" for number in range(1000)})
    numbers = extended(NOBODY, {f"k{number}": number for number in range(1000)})

    assert len(many.attributes) == len(numbers.fields) == MAX_ATTRIBUTES
    assert "k0" in many.attributes


def test_the_name_of_an_attribute_is_cut_too() -> None:
    (name,) = extended(NOBODY, {"n" * 5000: "v"}).attributes

    assert len(name.encode()) <= 256
