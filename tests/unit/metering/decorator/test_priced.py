"""Middleware and decorator with the real meter behind them: what ends up in the record."""

import asyncio
import json
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from metering_sinks import KeptRecords
from unit.metering.decorator.told import a_response

from spendfuse.metering import CostTracker, PriceBook, UsageMiddleware, track_llm_cost

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
# 100 tokens at $2.50 and 10 at $10.00 a million.
NANO = 100 * 2500 + 10 * 10_000


@pytest.fixture(scope="module")
def book():
    return PriceBook.standard()


@pytest.fixture
def sink():
    return KeptRecords()


@pytest.fixture
def tracker(book, sink):
    attributes = {"environment": "test"}
    return CostTracker(sinks=[sink], prices=book, attributes=attributes, now=lambda: NOW)


def asked(tracker, header):
    app = FastAPI()
    app.add_middleware(UsageMiddleware, tracker=tracker)

    @app.post("/chat")
    async def chat(request: Request, response: Response):
        request.state.user_id = "u1"
        response.headers["X-LLM-Usage"] = header
        return {"response": "content"}

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post("/chat?query=secret")

    response = asyncio.run(main())
    assert response.json() == {"response": "content"}
    assert "x-llm-usage" not in response.headers


def a_header(**values):
    usage = {"model": "gpt-4o", "prompt_tokens": 100, "completion_tokens": 10}
    return json.dumps(usage | values)


def test_the_seeds_route_becomes_a_priced_record(tracker, sink):
    asked(tracker, a_header())

    (record,) = sink.records
    assert (record.model, record.provider, record.cost_nano_usd) == ("gpt-4o", "openai", NANO)
    assert record.attributes == {"user": "u1", "endpoint": "/chat", "environment": "test"}
    assert record.at == NOW


def test_an_unknown_model_is_recorded_without_a_price_and_without_an_error(tracker, sink):
    asked(tracker, a_header(model="gpt-4o-mini-turbo-xl"))

    (record,) = sink.records
    assert record.cost_nano_usd is None
    assert record.usage.input_tokens == 100
    assert tracker.health().unpriced == 1


def test_a_malformed_header_is_counted_and_its_text_is_not_logged(tracker, sink, caplog):
    asked(tracker, a_header(prompt_tokens="my secret"))

    assert sink.records == []
    assert tracker.health().refused == 1
    assert "X-LLM-Usage" in caplog.text
    assert "secret" not in caplog.text


def test_a_decorated_call_is_priced(tracker, sink):
    track_llm_cost("summary", tracker=tracker)(a_response)()

    (record,) = sink.records
    assert record.cost_nano_usd == NANO
    assert record.attributes == {"query_type": "summary", "environment": "test"}
    assert record.latency_ms is not None


def test_a_call_that_fails_before_it_is_answered_costs_nothing(tracker, sink):
    @track_llm_cost("summary", tracker=tracker)
    def failing():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        failing()

    (record,) = sink.records
    assert (record.status, record.error_type) == ("error", "TimeoutError")
    assert (record.model, record.cost_nano_usd) == ("unknown", 0)
    assert tracker.health().unpriced == 0


def test_a_stream_that_is_dropped_before_it_told_its_usage_is_not_said_to_be_free(tracker, sink):
    @track_llm_cost("summary", tracker=tracker, model="gpt-4o")
    def stream():
        yield "a"
        yield "b"

    next(stream())

    (record,) = sink.records
    assert (record.status, record.cost_nano_usd) == ("cancelled", None)
    assert tracker.health().unpriced == 1
