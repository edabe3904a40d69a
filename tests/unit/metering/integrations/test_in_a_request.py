"""A wrapped client inside a request: the record knows the request's user and endpoint, once."""

from __future__ import annotations

import httpx
import openai
from fastapi import FastAPI
from fastapi.testclient import TestClient
from metering_sinks import KeptRecords

from spendfuse.metering import CostTracker, PriceBook, UsageMiddleware, track_llm_cost
from spendfuse.metering.integrations.openai import metered

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "42"},
        }
    ],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}


def answered(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=ANSWER, request=request)


def test_a_wrapped_clients_call_has_the_requests_user_and_endpoint() -> None:
    sink = KeptRecords()
    tracker = CostTracker(sinks=[sink], prices=PriceBook.standard())
    transport = httpx.MockTransport(answered)
    client = metered(
        openai.OpenAI(api_key="none", http_client=httpx.Client(transport=transport)),
        tracker,
        team="search",
    )
    app = FastAPI()
    app.add_middleware(UsageMiddleware, tracker=tracker, user=lambda _: "u1")

    @app.post("/chat/{chat_id}")
    def chat(chat_id: str) -> str:
        return ask(chat_id)

    @track_llm_cost(query_type="answer", tracker=tracker)
    def ask(question: str) -> str:
        answer = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": question}]
        )
        return answer.choices[0].message.content or ""

    assert TestClient(app).post("/chat/7").json() == "42"

    (record,) = sink.records
    assert record.attributes == {
        "user": "u1",
        "endpoint": "/chat/{chat_id}",
        "team": "search",
        "query_type": "answer",
    }
    # $2.50 and $10.00 a million.
    assert record.cost_nano_usd == 1000 * 2500 + 100 * 10_000
