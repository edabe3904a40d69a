"""From a request to the ledger by the SDK alone: middleware, queue sink, the real Lambda."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from spendfuse.metering import CostTracker, report_usage
from spendfuse.metering.asgi import UsageMiddleware
from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.period import Period
from spendfuse.sandbox.demo.ledger import counted, wait_until_counted
from spendfuse.sandbox.demo.stage import Deployed
from spendfuse.sandbox.demo.story import BUDGET

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# List prices a million tokens: gpt-4o $2.50 and $10.00, claude-haiku-4-5 $1.00, $5.00 and $0.10
# for what was cached.
CHAT_NANO = 1200 * 2_500 + 300 * 10_000
STREAM_NANO = 100 * 1_000 + 900 * 100 + 50 * 5_000
REQUESTS = 60


def an_app(tracker: CostTracker) -> FastAPI:
    app = FastAPI()
    app.add_middleware(
        UsageMiddleware, tracker=tracker, user=lambda scope: scope["query_string"].decode()
    )

    @app.post("/chat")
    def chat(response: Response) -> dict[str, str]:
        usage = {"model": "gpt-4o", "prompt_tokens": 1200, "completion_tokens": 300}
        response.headers["X-LLM-Usage"] = json.dumps(usage)
        return {"answer": "42"}

    @app.post("/stream")
    def stream() -> dict[str, str]:
        usage = {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 50}
        report_usage("claude-haiku-4-5", usage, feature="stream")
        return {"answer": "42"}

    return app


def test_the_ledger_has_what_the_requests_cost_to_the_nano_dollar(
    stage: Deployed, tmp_path: Path
) -> None:
    month = Period.containing("month", datetime.now(UTC))
    periods = (month.key, month.previous.key)
    before = counted(stage, BUDGET, *periods)
    spec = {
        "kind": "sqs",
        "queue_url": stage.outputs["UsageQueueUrl"],
        "spill_folder": str(tmp_path / "spill"),
    }
    sinks = open_sinks([spec], Wiring(sqs=stage.sandbox.client("sqs")))
    tracker = CostTracker(sinks=sinks)
    client = TestClient(an_app(tracker))
    for number in range(REQUESTS):
        path = "/chat" if number % 2 else "/stream"
        answer = client.post(f"{path}?user-{number % 7}")
        assert answer.status_code == 200
        assert "x-llm-usage" not in answer.headers
    assert tracker.flush(timeout_seconds=30)
    tracker.close()
    after = wait_until_counted(
        stage, BUDGET, *periods, requests=before.requests + REQUESTS, timeout_seconds=60
    )

    assert after.requests == before.requests + REQUESTS
    assert after.nano_usd - before.nano_usd == REQUESTS // 2 * (CHAT_NANO + STREAM_NANO)
    assert tracker.health().sinks["sqs"].delivered == REQUESTS
