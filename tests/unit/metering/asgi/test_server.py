"""The middleware on a real server, with clients that leave in the middle of a stream."""

import asyncio
import contextlib
import json
import socket
import threading

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from hypercorn.asyncio import serve
from hypercorn.config import Config
from unit.metering.integrations.recording import Recording

from spendfuse.metering import report_usage
from spendfuse.metering.asgi import UsageMiddleware

USAGE = json.dumps({"model": "gpt-4o", "prompt_tokens": 1})
WAIT_SECONDS = 20


def streaming_app(tracker, cleaned_up):
    app = FastAPI()
    app.add_middleware(UsageMiddleware, tracker=tracker)

    @app.get("/stream/{chunks}")
    async def stream(chunks: int):
        async def tokens():
            try:
                for number in range(chunks):
                    yield f"data: {number}\n\n"
                    await asyncio.sleep(0)
                report_usage("finished", {"completion_tokens": chunks})
            finally:
                report_usage("in-the-end", {"prompt_tokens": 1})
                cleaned_up.set()

        return StreamingResponse(tokens(), headers={"X-LLM-Usage": USAGE})

    return app


@contextlib.contextmanager
def serving(app):
    """Serve on 127.0.0.1 in a thread, and yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config()
        config.bind = [f"fd://{listener.fileno()}"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 1
        stop = threading.Event()

        async def stopped():
            await asyncio.to_thread(stop.wait)

        thread = threading.Thread(
            target=lambda: asyncio.run(serve(app, config, shutdown_trigger=stopped))
        )
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join(WAIT_SECONDS)
            listener.detach()


@pytest.fixture
def tracker():
    return Recording()


def test_a_stream_that_is_read_to_its_end_is_ok(tracker):
    cleaned_up = threading.Event()
    with serving(streaming_app(tracker, cleaned_up)) as url:
        response = httpx.get(f"{url}/stream/20", timeout=WAIT_SECONDS)

    assert response.text.endswith("data: 19\n\n")
    assert "x-llm-usage" not in response.headers
    assert {(call.model, call.status) for call in tracker.calls} == {
        ("finished", "ok"),
        ("in-the-end", "ok"),
        ("gpt-4o", "ok"),
    }


def test_a_client_who_leaves_in_the_middle_is_recorded_as_cancelled(tracker):
    cleaned_up = threading.Event()
    with serving(streaming_app(tracker, cleaned_up)) as url:
        with httpx.stream("GET", f"{url}/stream/100000000", timeout=WAIT_SECONDS) as response:
            assert next(response.iter_raw()).startswith(b"data: 0")
        assert cleaned_up.wait(WAIT_SECONDS)

    assert {(c.model, c.status, c.attribution.attributes["endpoint"]) for c in tracker.calls} == {
        ("in-the-end", "cancelled", "/stream/{chunks}"),
        ("gpt-4o", "cancelled", "/stream/{chunks}"),
    }
