"""What metering adds to a call through each SDK, and to an event of a stream, without a network.

The tracker does nothing: what pricing and tracking cost is the business of other figures. The
SDK's own cost of the same call stands beside.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

from benchmarks.figures import Figure, write

PROCESSES = 5
ROUNDS = 12
CALLS = 100
STREAMS = 4
CHUNKS = 500

_MESSAGES: Any = [{"role": "user", "content": "What is a fuse?"}]
_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "It melts."},
        }
    ],
    "usage": _USAGE,
}
_CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "delta": {"content": "melts"}, "finish_reason": None}],
}
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "It melts."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 100, "output_tokens": 20},
}
_DELTA = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "melts"},
}
_CONVERSE = {"usage": {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120}}

Call = Callable[[], object]


class Case(NamedTuple):
    """Two calls whose difference is what metering adds."""

    bare: Call
    metered: Call
    sdk: Call | None = None
    """The SDK's own work for the same, down to its transport."""
    calls: int = CALLS
    parts: int = 1


class Untracked:
    """A tracker that does nothing."""

    def track_quietly(self, _reported: object, /) -> None: ...

    def refuse(self, _reason: str, /) -> None: ...


def _microseconds(call: Call, calls: int) -> float:
    """Return the CPU time of one call, the least of some rounds."""
    call()
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            call()
        least = min(least, time.process_time() - began)
    return least / calls * 1e6


def _transport(answer: object, events: list[dict[str, Any]]) -> Any:
    import httpx2  # noqa: PLC0415

    whole = json.dumps(answer).encode()
    lines = [f"event: {each.get('type')}\ndata: {json.dumps(each)}\n\n" for each in events]
    stream = "".join(lines).encode()

    def handle(request: Any) -> Any:
        is_stream = b'"stream":true' in request.content
        kind = "text/event-stream" if is_stream else "application/json"
        content = stream if is_stream else whole
        return httpx2.Response(200, headers={"content-type": kind}, content=content)

    return httpx2.MockTransport(handle)


class Options(SimpleNamespace):
    """A request on its way through an SDK's client."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        super().__init__(
            method="post",
            url=url,
            json_data=body,
            extra_json=None,
            headers=None,
            post_parser=None,
        )


def _answering(sdk_client: Any, answer: object) -> Any:
    class Answering(sdk_client):  # type: ignore[misc]
        def request(self, *_: Any, **__: Any) -> object:
            return answer

    return Answering(api_key="k")


def _iterated(events: list[Any]) -> Call:
    return lambda: list(iter(events))


def _tapped(events: list[Any], *, hides_usage: bool = False) -> Call:
    from spendfuse.metering.integrations.call import MeteredCall  # noqa: PLC0415
    from spendfuse.metering.integrations.stream_watch import StreamWatch  # noqa: PLC0415
    from spendfuse.metering.integrations.taps import Tap  # noqa: PLC0415

    def read() -> list[Any]:
        call = MeteredCall(Untracked(), provider="openai", model="m", values={}, body={})
        return list(Tap(iter(events), StreamWatch(call, hides_usage=hides_usage)))

    return read


def _openai() -> dict[str, Case]:
    import openai  # noqa: PLC0415
    from openai.types.chat import ChatCompletion, ChatCompletionChunk  # noqa: PLC0415

    from spendfuse.metering.integrations.openai import metered  # noqa: PLC0415

    http = openai.DefaultHttpxClient(transport=_transport(_CHAT, [_CHUNK] * CHUNKS))
    sdk = openai.OpenAI(api_key="k", http_client=http)
    answer = ChatCompletion.model_validate(_CHAT)
    bare = _answering(openai.OpenAI, answer)
    body = {"model": "gpt-4o", "messages": _MESSAGES}

    def requests(client: Any) -> Call:
        return lambda: client.request(object, Options("/chat/completions", body))

    events = [ChatCompletionChunk.model_validate(_CHUNK)] * CHUNKS
    create = sdk.chat.completions.create
    return {
        "openai: a call": Case(
            requests(bare),
            requests(metered(bare, Untracked(), feature="search")),
            lambda: create(model="gpt-4o", messages=_MESSAGES),
        ),
        "openai: an event of a stream": Case(
            _iterated(events),
            _tapped(events, hides_usage=True),
            lambda: list(create(model="gpt-4o", messages=_MESSAGES, stream=True)),
            STREAMS,
            CHUNKS,
        ),
    }


def _anthropic() -> dict[str, Case]:
    import anthropic  # noqa: PLC0415
    from anthropic.types import Message, RawContentBlockDeltaEvent  # noqa: PLC0415

    from spendfuse.metering.integrations.anthropic import metered  # noqa: PLC0415

    http = anthropic.DefaultHttpxClient(transport=_transport(_MESSAGE, [_DELTA] * CHUNKS))
    sdk = anthropic.Anthropic(api_key="k", http_client=http)
    bare = _answering(anthropic.Anthropic, Message.model_validate(_MESSAGE))
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": _MESSAGES}

    def requests(client: Any) -> Call:
        return lambda: client.request(object, Options("/v1/messages", asked))

    events = [RawContentBlockDeltaEvent.model_validate(_DELTA)] * CHUNKS
    return {
        "anthropic: a call": Case(
            requests(bare),
            requests(metered(bare, Untracked(), feature="search")),
            lambda: sdk.messages.create(**asked),
        ),
        "anthropic: an event of a stream": Case(
            _iterated(events),
            _tapped(events),
            lambda: list(sdk.messages.create(**asked, stream=True)),
            STREAMS,
            CHUNKS,
        ),
    }


def _bedrock() -> dict[str, Case]:
    import boto3  # noqa: PLC0415
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415

    from spendfuse.metering.integrations.bedrock import metered  # noqa: PLC0415

    raw = json.dumps(_CONVERSE).encode()

    class Raw(io.BytesIO):
        def stream(self, **_: Any) -> Any:
            yield self.read()

    sdk = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",  # noqa: S106 (nobody's)
    )
    sdk.meta.events.register(
        "before-send.bedrock-runtime",
        lambda request, **_: AWSResponse(
            request.url, 200, {"content-type": "application/json"}, Raw(raw)
        ),
    )

    class Answering:
        def converse(self, **_: Any) -> object:
            return _CONVERSE

        converse_stream = invoke_model = invoke_model_with_response_stream = converse

    asked: Any = {"modelId": "eu.amazon.nova-lite-v1:0", "messages": []}
    bare = Answering()
    metered_client = metered(bare, Untracked(), feature="search")
    return {
        "bedrock: a call of Converse": Case(
            lambda: bare.converse(**asked),
            lambda: metered_client.converse(**asked),
            lambda: sdk.converse(**asked),
        )
    }


def _spans() -> dict[str, Case]:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    from spendfuse.metering.integrations.opentelemetry import GenAiSpanProcessor  # noqa: PLC0415

    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 64,
    }
    bare, metered = TracerProvider(), TracerProvider()
    metered.add_span_processor(GenAiSpanProcessor(Untracked()))

    def case(name: str, given: Any) -> Case:
        def span(provider: Any) -> Call:
            tracer = provider.get_tracer("any")
            return lambda: tracer.start_span(name, attributes=given).end()

        return Case(span(bare), span(metered), span(bare), CALLS * 10)

    return {
        "opentelemetry: an LLM span": case("chat", attributes),
        "opentelemetry: any other span": case("GET", {"http.request.method": "GET"}),
    }


def _litellm() -> dict[str, Case]:
    from spendfuse.metering.integrations.litellm_events import LitellmMeter  # noqa: PLC0415

    meter = LitellmMeter(Untracked(), {})
    now = datetime(2026, 11, 22)  # noqa: DTZ001 (litellm's are naive)
    event = {
        "model": "gpt-4o",
        "custom_llm_provider": "openai",
        "litellm_params": {"metadata": {"team": "ads"}},
    }
    call = Case(lambda: None, lambda: meter.succeeded(event, _CHAT, now, now), None, CALLS * 10)
    return {"litellm: a call, mostly off its thread": call}


def _measure() -> dict[str, tuple[float, float]]:
    """Return what metering adds, and what the SDK's own call costs, in microseconds."""
    found = {}
    for cases in (_openai(), _anthropic(), _bedrock(), _spans(), _litellm()):
        for name, case in cases.items():
            added = _microseconds(case.metered, case.calls) - _microseconds(case.bare, case.calls)
            own = 0.0 if case.sdk is None else _microseconds(case.sdk, min(case.calls, CALLS))
            found[name] = (added / case.parts, own / case.parts)
    return found


def run() -> None:
    """Measure in several processes, one after another, and report the medians."""
    command = [sys.executable, "-m", "benchmarks.integrations"]
    samples = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(PROCESSES)
    ]
    figures = []
    for name in samples[0]:
        added, own = (statistics.median(each[name][part] for each in samples) for part in (0, 1))
        peers = {"the SDK's own": round(own, 1)} if own else {}
        figures.append(Figure(name, "us", round(added, 2), peers))
    write("integrations", figures)


if __name__ == "__main__":
    print(json.dumps(_measure()))
