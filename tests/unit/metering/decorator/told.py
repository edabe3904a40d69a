"""What decorated functions return in these tests, and the clock that they are timed by."""

from __future__ import annotations

from typing import Any

from unit.metering.integrations.recording import Recording

from spendfuse.metering.decorator import track_llm_cost


def a_response(model: str = "gpt-4o", **counts: int) -> dict[str, Any]:
    """A chat completion as OpenAI sends it."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **counts}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": model, "usage": usage}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


class Meter(Recording):
    """A tracker that records, with the decorator that uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()

    def __call__(self, query_type: str | None = "rag", **options: Any) -> Any:
        return track_llm_cost(query_type, tracker=self, clock=self.clock, **options)

    @property
    def said(self) -> list[tuple[str, str, str | None]]:
        return [(call.model, call.status, call.error_type) for call in self.calls]

    @property
    def query_types(self) -> list[str]:
        return [call.attribution.attributes["query_type"] for call in self.calls]
