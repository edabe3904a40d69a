from __future__ import annotations

import asyncio
import gc
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from unit.metering.integrations.anthropic_samples import (
    BLOCK_START,
    MESSAGES,
    MODEL,
    START,
    delta,
    events,
    message,
)
from unit.metering.integrations.provider_stand_in import (
    HANG_UP,
    Answer,
    ProviderStandIn,
    event_stream_answer,
    frame,
    json_answer,
    provider_stand_in,
    sse_answer,
)
from unit.metering.integrations.recording import Recording

from spendfuse.metering.attribution import attributed
from spendfuse.metering.integrations.abandoned import abandoned
from spendfuse.metering.integrations.anthropic import metered
from spendfuse.metering.usage import NOTHING_USED, Usage

ASKED: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": MESSAGES}
MESSAGE_USAGE = Usage(
    input_tokens=100, output_tokens=20, cached_input_tokens=50, cache_write_tokens=20
)
BROKEN_OFF = Usage(input_tokens=100, output_tokens=3, cached_input_tokens=50, cache_write_tokens=20)


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def tracker() -> Recording:
    return Recording()


@pytest.fixture
def client(provider: ProviderStandIn, tracker: Recording) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="k", base_url=provider.base, max_retries=0) as bare:
        yield metered(bare, tracker, feature="search")


def async_client(provider: ProviderStandIn, tracker: Recording) -> anthropic.AsyncAnthropic:
    bare = anthropic.AsyncAnthropic(api_key="k", base_url=provider.base, max_retries=0)
    return metered(bare, tracker, feature="search")


def is_estimated(tracker: Recording) -> bool:
    return tracker.call.attribution.fields.get("estimated") is True


SURFACES = {
    "messages": lambda c: c.messages.create(**ASKED),
    "beta messages": lambda c: c.beta.messages.create(**ASKED),
    "parsed messages": lambda c: c.messages.parse(**ASKED),
    "raw": lambda c: c.messages.with_raw_response.create(**ASKED),
    "a copy with options": lambda c: c.with_options(timeout=9).messages.create(**ASKED),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_counts_once(
    surface: str, client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(message()))
    with attributed(team="ads"):
        SURFACES[surface](client)

    call = tracker.call
    assert type(client) is anthropic.Anthropic
    assert (call.provider, call.model, call.usage) == ("anthropic", MODEL, MESSAGE_USAGE)
    assert call.attribution.attributes == {"team": "ads", "feature": "search"}
    assert not tracker.refused


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_counts_once_when_awaited(
    surface: str, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(message()))

    async def run() -> None:
        async with async_client(provider, tracker) as client:
            await SURFACES[surface](client)

    asyncio.run(run())

    assert tracker.call.usage == MESSAGE_USAGE
    assert not tracker.refused


def test_counting_tokens_costs_nothing(
    client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer({"input_tokens": 9}))
    client.messages.count_tokens(model="claude-haiku-4-5", messages=MESSAGES)

    assert not tracker.calls


def test_each_turn_of_the_tool_runner_is_a_call(
    client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    @anthropic.beta_tool
    def melts(amperes: int) -> str:
        """Tell whether it melts.

        Args:
            amperes: The current.
        """
        return str(amperes > 5)

    use = {"type": "tool_use", "id": "toolu_1", "name": "melts", "input": {"amperes": 9}}
    provider.script += [
        json_answer(message(content=[use], stop_reason="tool_use")),
        json_answer(message()),
    ]
    client.beta.messages.tool_runner(**ASKED, tools=[melts]).until_done()

    assert [call.usage for call in tracker.calls] == [MESSAGE_USAGE, MESSAGE_USAGE]


STREAMS = {
    "create": lambda c: list(c.messages.create(**ASKED, stream=True)),
    "beta": lambda c: list(c.beta.messages.create(**ASKED, stream=True)),
    "raw": lambda c: list(c.messages.with_raw_response.create(**ASKED, stream=True).parse()),
}


@pytest.mark.parametrize("how", STREAMS)
def test_a_stream_is_counted_at_its_end(
    how: str, client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(*events(), named=True))

    seen = STREAMS[how](client)

    assert [event.type for event in seen] == [event["type"] for event in events()]
    assert (tracker.call.usage, tracker.call.status) == (MESSAGE_USAGE, "ok")
    assert tracker.call.model == MODEL
    assert not tracker.refused


def test_the_sdks_own_stream_helper_is_metered(
    client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(*events(), named=True))

    with client.messages.stream(**ASKED) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()

    assert texts == ["It ", "melts."]
    assert final.usage.output_tokens == 20
    assert tracker.call.usage == MESSAGE_USAGE


def test_an_async_stream_helper_is_metered(provider: ProviderStandIn, tracker: Recording) -> None:
    provider.script.append(sse_answer(*events(), named=True))

    async def run() -> str:
        async with (
            async_client(provider, tracker) as client,
            client.messages.stream(**ASKED) as stream,
        ):
            return await stream.get_final_text()

    assert asyncio.run(run()) == "It melts."
    assert tracker.call.usage == MESSAGE_USAGE


@pytest.mark.parametrize("reader", ["parse", "bytes", "lines"])
def test_a_streaming_response_is_metered_however_it_is_read(
    reader: str, client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(*events(), named=True))
    with client.messages.with_streaming_response.create(**ASKED, stream=True) as answer:
        if reader == "parse":
            list(answer.parse())
        elif reader == "bytes":
            list(answer.iter_bytes())
        else:
            list(answer.iter_lines())

    assert (tracker.call.usage, tracker.call.status) == (MESSAGE_USAGE, "ok")


def cut_short(provider: ProviderStandIn) -> threading.Event:
    go_on = threading.Event()
    begun = [START, BLOCK_START, delta("It "), delta("melts.")]
    provider.script.append(sse_answer(*begun, go_on, named=True))
    return go_on


def read_four(stream: Iterator[Any]) -> None:
    for _ in range(4):
        next(stream)


@pytest.mark.parametrize("how", ["close", "with", "helper", "drop"])
def test_a_stream_left_early_has_used_its_input_and_what_came(
    how: str, client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    if how == "helper":
        with client.messages.stream(**ASKED) as helped:
            for event in helped:
                if event.type == "text" and event.text == "melts.":
                    break
    else:
        stream = client.messages.create(**ASKED, stream=True)
        read_four(stream)
        if how == "close":
            stream.close()
        elif how == "with":
            with stream:
                pass
        del stream
        gc.collect()
    go_on.set()

    assert abandoned().wait(10)
    assert tracker.call.status == "cancelled"
    assert (tracker.call.model, tracker.call.usage) == (MODEL, BROKEN_OFF)
    assert is_estimated(tracker)


def test_a_dropped_stream_gives_its_connection_back_at_once(
    client: anthropic.Anthropic, provider: ProviderStandIn
) -> None:
    go_on = cut_short(provider)
    stream = client.messages.create(**ASKED, stream=True)
    next(stream)
    response = stream.response
    gc.disable()
    try:
        del stream

        assert response.is_closed
    finally:
        gc.enable()
        go_on.set()


@pytest.mark.parametrize("ends_with", ["hang up", "error event"])
def test_a_stream_that_breaks_off_is_an_error_with_what_came(
    ends_with: str, client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    begun = [START, BLOCK_START, delta("It "), delta("melts.")]
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    last = HANG_UP if ends_with == "hang up" else error
    provider.script.append(sse_answer(*begun, last, named=True))

    with pytest.raises(Exception) as raised:  # noqa: PT011 (httpx's, or the SDK's)
        list(client.messages.create(**ASKED, stream=True))

    call = tracker.call
    assert (call.status, call.error_type) == ("error", type(raised.value).__name__)
    assert call.usage == BROKEN_OFF


def test_a_cancelled_stream_is_counted_as_cancelled(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)

    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async def run() -> None:
        async with async_client(provider, tracker) as client:
            stream = await client.messages.create(**ASKED, stream=True)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(stream), 0.5)

    asyncio.run(run())
    go_on.set()

    call = tracker.call
    assert (call.status, call.error_type) == ("cancelled", "CancelledError")
    assert call.usage == BROKEN_OFF


def test_an_error_is_recorded_and_reraised_untouched(
    client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    provider.script.append(json_answer(body, status=529))

    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**ASKED)

    call = tracker.call
    assert (call.status, call.error_type) == ("error", type(raised.value).__name__)
    assert call.usage == NOTHING_USED


def test_the_sdks_retries_are_one_call(provider: ProviderStandIn, tracker: Recording) -> None:
    provider.script += [
        json_answer({}, status=500, retry_after_ms="1"),
        json_answer(message()),
    ]
    with anthropic.Anthropic(api_key="k", base_url=provider.base, max_retries=2) as bare:
        metered(bare, tracker).messages.create(**ASKED)

    assert len(provider.asked) == 2
    assert tracker.call.usage == MESSAGE_USAGE


def test_a_call_that_timed_out_may_be_billed_its_input(
    client: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = threading.Event()
    provider.script.append(Answer([go_on, b"{}"]))

    with pytest.raises(anthropic.APITimeoutError):
        client.messages.create(**ASKED, timeout=0.2)
    go_on.set()

    assert (tracker.call.status, tracker.call.error_type) == ("error", "APITimeoutError")
    assert tracker.call.usage == Usage(input_tokens=5)


BEDROCK_MODEL = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture
def bedrock(provider: ProviderStandIn, tracker: Recording) -> Iterator[anthropic.AnthropicBedrock]:
    with anthropic.AnthropicBedrock(
        aws_access_key="AKIA",
        aws_secret_key="s",
        aws_region="eu-west-1",
        base_url=provider.base,
        max_retries=0,
    ) as bare:
        yield metered(bare, tracker)


def test_on_bedrock_the_regions_id_is_billed(
    bedrock: anthropic.AnthropicBedrock, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(message(id="msg_bdrk_1")))
    bedrock.messages.create(**ASKED | {"model": BEDROCK_MODEL})

    assert type(bedrock) is anthropic.AnthropicBedrock
    assert provider.asked[0].path.endswith("/invoke")
    assert (tracker.call.provider, tracker.call.model) == ("aws", BEDROCK_MODEL)
    assert tracker.call.usage == MESSAGE_USAGE


def test_bedrocks_binary_event_stream_is_metered(
    bedrock: anthropic.AnthropicBedrock, provider: ProviderStandIn, tracker: Recording
) -> None:
    frames = [
        frame("chunk", {"bytes": b64encode(json.dumps(event).encode()).decode()})
        for event in events()
    ]
    provider.script.append(event_stream_answer(*frames))

    seen = list(bedrock.messages.create(**ASKED | {"model": BEDROCK_MODEL}, stream=True))

    assert len(seen) == len(frames)
    assert (tracker.call.model, tracker.call.usage) == (BEDROCK_MODEL, MESSAGE_USAGE)


def test_vertex_is_billed_by_google(provider: ProviderStandIn, tracker: Recording) -> None:
    provider.script.append(json_answer(message(id="msg_vrtx_1")))
    with anthropic.AnthropicVertex(
        region="eu", project_id="p", access_token="t", base_url=provider.base, max_retries=0
    ) as bare:
        metered(bare, tracker).messages.create(**ASKED)

    assert tracker.call.provider == "google"
    assert tracker.call.usage == MESSAGE_USAGE
