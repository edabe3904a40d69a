from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.integrations.openai_samples import chunk

from spendfuse.metering.integrations import estimated
from spendfuse.metering.integrations.estimated import (
    estimated_tokens,
    event_bytes,
    request_bytes,
    text_bytes,
)


def choice(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


@pytest.mark.parametrize(
    ("event", "added"),
    [
        (choice(content="melts"), 5),
        (choice(content="schmölze"), 9),
        (choice(reasoning_content="hmm"), 3),
        (choice(refusal="no"), 2),
        (choice(tool_calls=[{"index": 0, "id": "call_1", "function": {"arguments": "{}"}}]), 2),
        ({"choices": [{"index": 0, "text": "melts"}]}, 5),
        (chunk(None), 0),
        ({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "melts"}, 5),
        ({"type": "response.output_text.done", "text": "It melts."}, 0),
        ({"type": "response.audio.delta", "delta": "UklGRg=="}, 0),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "melts"}}, 5),
        ({"type": "content_block_delta", "delta": {"partial_json": "{}"}}, 2),
        ({"type": "content_block_delta", "delta": {"thinking": "hmm"}}, 3),
        ({"contentBlockDelta": {"delta": {"text": "melts"}, "contentBlockIndex": 0}}, 5),
        ({"contentBlockDelta": {"delta": {"toolUse": {"input": "{}"}}}}, 2),
        ({"contentBlockDelta": {"delta": {"reasoningContent": {"text": "hmm"}}}}, 3),
        ({"metadata": {"usage": {"inputTokens": 1}}}, 0),
        (SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content="hm"))]), 2),
        (None, 0),
        ("melts", 0),
    ],
)
def test_an_events_own_words_are_counted(event: object, added: int) -> None:
    assert event_bytes(event) == added


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "melts"}]}, 5),
        ({"input": ["ab", "cd"], "model": "e"}, 4),
        ({"system": [{"type": "text", "text": "ab"}], "messages": []}, 2),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "x" * 99}}]}]}, 0),
        ({"messages": [{"content": [{"image": {"source": {"bytes": b"x" * 99}}}]}]}, 0),
        ({"tools": [{"name": "melts", "input_schema": {"required": ["amperes"]}}]}, 12),
        (None, 0),
    ],
)
def test_a_requests_text_is_counted_and_its_pictures_are_not(body: object, size: int) -> None:
    assert request_bytes(body) == size


def test_a_request_that_never_ends_is_not_walked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimated, "_MAX_VALUES", 50)
    endless: list[Any] = ["a"]
    endless.insert(0, endless)

    assert 0 < request_bytes(endless) <= 50


@given(st.text())
def test_any_text_has_a_size(text: str) -> None:
    assert text_bytes(text) >= len(text)
    assert estimated_tokens(text_bytes(text)) * estimated.BYTES_PER_TOKEN >= text_bytes(text)
