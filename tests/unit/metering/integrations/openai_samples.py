"""Answers as OpenAI gives them."""

from __future__ import annotations

from typing import Any

MODEL = "gpt-4o-2024-08-06"
MESSAGES: Any = [{"role": "user", "content": "What is a fuse?"}]
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 8},
}


def chat(**changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "It melts."}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": USAGE,
        **changes,
    }


def chunk(text: str | None, **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}}
    choice["finish_reason"] = "stop" if text is None else None
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        **changes,
    }


LAST = chunk(None)
USAGE_ALONE = chunk(None, choices=[], usage=USAGE)


def response(**changes: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": "completed",
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "It melts.", "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 8},
        },
        **changes,
    }


def response_events() -> list[dict[str, Any]]:
    empty = response(status="in_progress", usage=None, output=[])
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    item = {**response()["output"][0], "content": [], "status": "in_progress"}
    events = [
        {"type": "response.created", "response": empty},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", "part": part, **place},
        {"type": "response.output_text.delta", "delta": "It ", "logprobs": [], **place},
        {"type": "response.output_text.delta", "delta": "melts.", "logprobs": [], **place},
        {"type": "response.output_text.done", "text": "It melts.", "logprobs": [], **place},
        {"type": "response.completed", "response": response()},
    ]
    return [{"sequence_number": number, **event} for number, event in enumerate(events)]


EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}
TRANSCRIPTION = {"text": "A fuse.", "usage": {"type": "duration", "seconds": 12.3}}
IMAGE = {
    "created": 1,
    "data": [{"b64_json": "aGk="}],
    "usage": {
        "input_tokens": 30,
        "output_tokens": 1000,
        "total_tokens": 1030,
        "input_tokens_details": {"text_tokens": 20, "image_tokens": 10},
    },
}
