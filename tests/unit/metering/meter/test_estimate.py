"""What a call will cost, before it is made: rather too high, and never a download."""

from __future__ import annotations

import hashlib
import socket
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.errors import InputError
from spendfuse.metering import PriceBook, UnknownModelError, UsageError
from spendfuse.metering.estimate import (
    TOKENS_PER_IMAGE,
    bytes_heuristic,
    estimate_cost,
    estimate_tokens,
)
from spendfuse.metering.tiktoken import FILES, counter

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.standard()


@given(st.text())
def test_three_bytes_count_for_a_token_begun_ones_whole(text) -> None:
    assert (bytes_heuristic(text) - 1) * 3 < len(text.encode("utf-8", "surrogatepass")) or not text
    assert bytes_heuristic(text) * 3 >= len(text.encode("utf-8", "surrogatepass"))


def test_messages_cost_their_content_and_their_marks() -> None:
    messages = [
        {"role": "system", "content": "123456"},
        {"role": "user", "content": [{"type": "text", "text": "123"}]},
    ]

    assert estimate_tokens(messages) == 2 + 4 + 1 + 4


def test_an_image_counts_as_an_image_and_not_as_its_base64() -> None:
    url = "data:image/png;base64," + "A" * 1_000_000
    part = {"type": "image_url", "image_url": {"url": url}}

    assert estimate_tokens([{"role": "user", "content": [part]}]) == TOKENS_PER_IMAGE + 4
    assert estimate_tokens([{"image": {"source": {"bytes": b"x" * 9999}}}]) == TOKENS_PER_IMAGE


def test_tools_and_tool_calls_are_counted_as_json() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "find"}]}

    assert estimate_tokens(call) == bytes_heuristic('{"tool_calls": [{"name": "find"}]}') + 4


@pytest.mark.parametrize("prompt", [None, 3, b"bytes"])
def test_what_is_no_prompt_is_refused(prompt) -> None:
    with pytest.raises(InputError, match="expected a text or messages, got "):
        estimate_tokens(prompt)


def test_an_estimate_is_all_input_fresh_and_all_output_used(book) -> None:
    cost = estimate_cost(book, "openai", "gpt-4o", 2000, at=NOW, max_tokens=300)

    # 2000 at $2.50 and 300 at $10.00 a million
    assert cost.usd == Decimal("0.005") + Decimal("0.003")


def test_without_max_tokens_four_thousand_are_assumed_and_not_the_models_maximum(book) -> None:
    cost = estimate_cost(book, "", "gpt-4o", "123", at=NOW)

    assert (cost.usage.input_tokens, cost.usage.output_tokens) == (1, 4096)


def test_an_embedding_puts_nothing_out(book) -> None:
    cost = estimate_cost(book, "openai", "text-embedding-3-small", 1000, at=NOW)

    assert cost.usd == Decimal("0.00002")


def test_the_estimate_of_an_unknown_model_is_an_error(book) -> None:
    with pytest.raises(UnknownModelError):
        estimate_cost(book, "openai", "gpt-4omni", "hello", at=NOW)


def test_a_max_tokens_that_can_not_be_is_an_error(book) -> None:
    with pytest.raises(UsageError, match="output_tokens must not be negative, got -1"):
        estimate_cost(book, "openai", "gpt-4o", 10, at=NOW, max_tokens=-1)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "claude-sonnet-4-5", "gpt2"])
@pytest.mark.parametrize("folder", ["", "cache"])
def test_nothing_is_downloaded_to_count_tokens(model, folder, tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("something went to the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    cache = tmp_path / "cache"
    cache.mkdir()
    # A file that was cut off is no encoding: tiktoken itself would fetch it again.
    name = hashlib.sha1(FILES["o200k_base"][0].encode(), usedforsecurity=False).hexdigest()
    (cache / name).write_bytes(b"IQ== 0\n")

    assert counter(model, {"TIKTOKEN_CACHE_DIR": folder and str(cache)}) is None
