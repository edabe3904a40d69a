"""Answers as Anthropic gives them."""

from __future__ import annotations

from typing import Any

MODEL = "claude-haiku-4-5-20251001"
MESSAGES: Any = [{"role": "user", "content": "What is a fuse?"}]
USAGE = {
    "input_tokens": 30,
    "output_tokens": 20,
    "cache_read_input_tokens": 50,
    "cache_creation_input_tokens": 20,
    "service_tier": "standard",
}


def message(**changes: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": "It melts."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
        **changes,
    }


def delta(text: str) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


START = {
    "type": "message_start",
    "message": message(content=[], stop_reason=None, usage=USAGE | {"output_tokens": 1}),
}
BLOCK_START = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}
BLOCK_STOP = {"type": "content_block_stop", "index": 0}
MESSAGE_DELTA = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 20},
}
STOP = {"type": "message_stop"}


def events(*words: str) -> list[dict[str, Any]]:
    said = [delta(word) for word in words or ("It ", "melts.")]
    return [START, BLOCK_START, *said, BLOCK_STOP, MESSAGE_DELTA, STOP]
