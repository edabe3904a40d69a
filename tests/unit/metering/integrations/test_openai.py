from __future__ import annotations

import asyncio
import gc
import io
import os
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from unit.metering.integrations.openai_samples import (
    EMBEDDING,
    IMAGE,
    LAST,
    MESSAGES,
    MODEL,
    TRANSCRIPTION,
    USAGE_ALONE,
    chat,
    chunk,
    response,
    response_events,
)
from unit.metering.integrations.provider_stand_in import (
    HANG_UP,
    Answer,
    ProviderStandIn,
    json_answer,
    provider_stand_in,
    sse_answer,
)
from unit.metering.integrations.recording import Recording

from spendfuse.metering.attribution import attributed
from spendfuse.metering.integrations import background
from spendfuse.metering.integrations.abandoned import abandoned
from spendfuse.metering.integrations.openai import metered
from spendfuse.metering.usage import NOTHING_USED, Usage

CHAT_USAGE = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=64, reasoning_tokens=8)


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def tracker() -> Recording:
    return Recording()


@pytest.fixture
def bare(provider: ProviderStandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=f"{provider.base}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def client(bare: openai.OpenAI, tracker: Recording) -> openai.OpenAI:
    return metered(bare, tracker, feature="search")


def stream(client: openai.OpenAI, **options: Any) -> openai.Stream[Any]:
    found = client.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, stream=True, **options
    )
    assert isinstance(found, openai.Stream)
    return found


def async_client(provider: ProviderStandIn, tracker: Recording) -> openai.AsyncOpenAI:
    bare = openai.AsyncOpenAI(api_key="k", base_url=f"{provider.base}/v1", max_retries=0)
    return metered(bare, tracker, feature="search")


def is_estimated(tracker: Recording) -> bool:
    return tracker.call.attribution.fields.get("estimated") is True


def test_a_call_is_tracked_and_its_answer_is_the_sdks(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat()))

    with attributed(team="ads"):
        answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    call = tracker.call
    assert answer.choices[0].message.content == "It melts."
    assert (call.model, call.usage, call.status) == (MODEL, CHAT_USAGE, "ok")
    assert call.attribution.attributes == {"team": "ads", "feature": "search"}
    assert call.latency_ms is not None
    assert not tracker.refused


def test_the_metered_client_is_of_the_clients_class_and_the_client_stays_as_it_was(
    bare: openai.OpenAI, client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat()))
    bare.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert type(client) is openai.OpenAI
    assert client is not bare
    assert client._client is bare._client
    assert not tracker.calls


SURFACES = {
    "chat": (
        lambda c: c.chat.completions.create(model="gpt-4o", messages=MESSAGES),
        json_answer(chat()),
        CHAT_USAGE,
    ),
    "parsed chat": (
        lambda c: c.chat.completions.parse(model="gpt-4o", messages=MESSAGES),
        json_answer(chat()),
        CHAT_USAGE,
    ),
    "completions": (
        lambda c: c.completions.create(model="gpt-3.5-turbo-instruct", prompt="A fuse"),
        json_answer(chat(object="text_completion", choices=[{"text": "melts", "index": 0}])),
        CHAT_USAGE,
    ),
    "responses": (
        lambda c: c.responses.create(model="gpt-4o", input="What is a fuse?"),
        json_answer(response()),
        CHAT_USAGE,
    ),
    "parsed responses": (
        lambda c: c.responses.parse(model="gpt-4o", input="What is a fuse?"),
        json_answer(response()),
        CHAT_USAGE,
    ),
    "embeddings": (
        lambda c: c.embeddings.create(model="text-embedding-3-small", input="A fuse"),
        json_answer(EMBEDDING),
        Usage(input_tokens=7),
    ),
    "transcriptions": (
        lambda c: c.audio.transcriptions.create(model="whisper-1", file=io.BytesIO(b"RIFF")),
        json_answer(TRANSCRIPTION),
        Usage(audio_seconds=13),
    ),
    "speech": (
        lambda c: c.audio.speech.create(model="tts-1", input="A fuse.", voice="alloy"),
        Answer([b"ID3"], headers={"Content-Type": "audio/mpeg"}),
        Usage(characters=7),
    ),
    "images": (
        lambda c: c.images.generate(model="gpt-image-1", prompt="A fuse"),
        json_answer(IMAGE),
        Usage(
            input_tokens=30,
            output_tokens=1000,
            input_image_tokens=10,
            output_image_tokens=1000,
        ),
    ),
    "an endpoint called by its path": (
        lambda c: c.post("/chat/completions", cast_to=object, body={"model": "gpt-4o"}),
        json_answer(chat()),
        CHAT_USAGE,
    ),
    "raw": (
        lambda c: c.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES),
        json_answer(chat()),
        CHAT_USAGE,
    ),
    "a raw client": (
        lambda c: c.with_raw_response.embeddings.create(model="e", input="A fuse"),
        json_answer(EMBEDDING),
        Usage(input_tokens=7),
    ),
    "a copy with options": (
        lambda c: c.with_options(timeout=9).chat.completions.create(
            model="gpt-4o", messages=MESSAGES
        ),
        json_answer(chat()),
        CHAT_USAGE,
    ),
    "a copy of a copy": (
        lambda c: c.copy().copy().chat.completions.create(model="gpt-4o", messages=MESSAGES),
        json_answer(chat()),
        CHAT_USAGE,
    ),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_counts_once(
    surface: str, client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    call, answer, usage = SURFACES[surface]
    provider.script.append(answer)
    call(client)

    assert tracker.call.usage == usage
    assert not tracker.refused


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_counts_once_when_awaited(
    surface: str, provider: ProviderStandIn, tracker: Recording
) -> None:
    call, answer, usage = SURFACES[surface]
    provider.script.append(answer)

    async def run() -> None:
        async with async_client(provider, tracker) as client:
            await call(client)

    asyncio.run(run())

    assert tracker.call.usage == usage
    assert not tracker.refused


def test_what_costs_nothing_is_not_tracked(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script += [
        json_answer({"object": "list", "data": []}),
        json_answer({"object": "list", "data": [chat()]}),
        json_answer({"id": "m", "model": "omni-moderation-latest", "results": []}),
        json_answer({"object": "response.input_tokens", "input_tokens": 9}),
    ]
    client.models.list()
    client.chat.completions.list()
    client.moderations.create(input="A fuse")
    client.responses.input_tokens.count(model="gpt-4o", input="A fuse")

    assert not tracker.calls
    assert not tracker.refused


def test_an_endpoint_of_tomorrow_counts_if_its_answer_has_usage(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    body = {"model": "gpt-4o", "messages": MESSAGES}
    provider.script += [json_answer(chat()), json_answer({"ok": True}), json_answer({}, status=500)]
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))
    client.post("/thoughts", cast_to=object, body=body)
    client.post("/thoughts", cast_to=object, body=body)
    with pytest.raises(openai.InternalServerError):
        client.post("/thoughts", cast_to=object, body=body)
    kind = openai.Stream[Any]
    list(client.post("/thoughts", cast_to=object, body=body, stream=True, stream_cls=kind))

    assert [call.usage for call in tracker.calls] == [CHAT_USAGE, CHAT_USAGE]


def test_a_client_metered_twice_counts_once_for_its_later_meter(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    later = Recording()
    provider.script.append(json_answer(chat()))
    metered(client, later, feature="ads").chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert not tracker.calls
    assert later.call.attribution.attributes == {"feature": "ads"}


def test_azures_deployments_are_recorded_as_the_model_that_answers(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat()))
    bare = openai.AzureOpenAI(
        api_key="k", api_version="2024-10-21", azure_endpoint=provider.base, max_retries=0
    )
    with metered(bare, tracker) as client:
        client.chat.completions.create(model="our-deployment", messages=MESSAGES)

    assert type(client) is openai.AzureOpenAI
    assert "/deployments/our-deployment/" in provider.asked[0].path
    assert (tracker.call.provider, tracker.call.model) == ("azure", MODEL)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", "aws"),
        ("http://vllm.internal:8000/v1", ""),
        ("https://europe-west1-aiplatform.googleapis.com/v1/openapi", "google"),
        ("https://notopenrouter.ai/v1", ""),
        ("https://api.openai.com.example/v1", ""),
    ],
)
def test_the_address_tells_who_sends_the_bill(address: str, named: str, tracker: Recording) -> None:
    class Unreachable(openai.OpenAI):
        def request(self, *_: object, **__: object) -> Any:
            raise openai.APIConnectionError(request=None)  # type: ignore[arg-type]

    with Unreachable(api_key="k", base_url=address) as bare, pytest.raises(openai.OpenAIError):
        metered(bare, tracker).embeddings.create(model="m", input="A fuse")

    assert tracker.call.provider == named


def test_the_provider_can_be_named(provider: ProviderStandIn, tracker: Recording) -> None:
    provider.script.append(json_answer(chat(model="llama")))
    bare = openai.OpenAI(api_key="k", base_url=provider.base, max_retries=0)
    with metered(bare, tracker, provider="groq") as client:
        client.chat.completions.create(model="llama", messages=MESSAGES)

    assert tracker.call.provider == "groq"


# Streams


def test_a_stream_is_asked_for_its_usage_and_the_app_sees_what_it_would_have_seen(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It "), chunk("melts."), LAST, USAGE_ALONE))

    texts = [event.choices[0].delta.content for event in stream(client)]

    assert provider.asked[0].body["stream_options"] == {"include_usage": True}
    assert texts == ["It ", "melts.", None]
    assert (tracker.call.model, tracker.call.usage) == (MODEL, CHAT_USAGE)
    assert tracker.call.status == "ok"
    assert "estimated" not in tracker.call.attribution.fields


def test_usage_that_the_caller_asked_for_is_the_callers_to_see(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))

    events = list(stream(client, stream_options={"include_usage": True}))

    assert len(events) == 3
    assert tracker.call.usage == CHAT_USAGE


def test_a_caller_who_wants_no_usage_gets_none_and_the_call_is_estimated(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST))
    list(stream(client, stream_options={"include_usage": False}))

    assert provider.asked[0].body["stream_options"] == {"include_usage": False}
    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)
    assert tracker.call.model == MODEL
    assert is_estimated(tracker)


def test_other_stream_options_are_kept(client: openai.OpenAI, provider: ProviderStandIn) -> None:
    provider.script.append(sse_answer(LAST, USAGE_ALONE))
    list(stream(client, stream_options={"include_obfuscation": False}))

    asked = provider.asked[0].body["stream_options"]
    assert asked == {"include_obfuscation": False, "include_usage": True}


def test_a_server_that_knows_no_stream_options_is_asked_again_and_remembered(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    refusal = json_answer({"error": {"message": "unknown field stream_options"}}, status=400)
    provider.script += [refusal, sse_answer(chunk("It melts."), LAST)]
    provider.script += [sse_answer(chunk("It melts."), LAST)]
    list(stream(client))
    list(stream(client.with_options(timeout=9)))

    assert [("stream_options" in each.body) for each in provider.asked] == [True, False, False]
    assert [call.status for call in tracker.calls] == ["ok", "ok"]
    assert all(call.attribution.fields["estimated"] for call in tracker.calls)


def test_a_refusal_that_is_not_ours_is_the_apps(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer({"error": {"message": "bad messages"}}, status=400))

    with pytest.raises(openai.BadRequestError):
        stream(client)

    assert len(provider.asked) == 1
    assert (tracker.call.status, tracker.call.error_type) == ("error", "BadRequestError")


def test_the_sdks_own_stream_helper_is_metered(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It "), chunk("melts."), LAST, USAGE_ALONE))

    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as events:
        final = events.get_final_completion()

    assert final.choices[0].message.content == "It melts."
    assert tracker.call.usage == CHAT_USAGE


def test_a_stream_of_responses_is_metered(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script += [sse_answer(*response_events(), named=True)] * 2
    events = list(client.responses.create(model="gpt-4o", input="A fuse?", stream=True))
    with client.responses.stream(model="gpt-4o", input="A fuse?") as helped:
        helped.until_done()

    assert events[-1].type == "response.completed"
    assert [call.usage for call in tracker.calls] == [CHAT_USAGE, CHAT_USAGE]


def test_a_stream_counts_where_it_began_and_not_where_it_ends(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))
    with attributed(user="u1"):
        events = stream(client)
    with attributed(user="u2"):
        list(events)

    assert tracker.call.attribution.attributes["user"] == "u1"


class Elsewhere(openai.Stream[Any]):
    """A stream of a later SDK, which keeps its iterator under another name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._events = self.__dict__.pop("_iterator")

    def __iter__(self) -> Iterator[Any]:
        return iter(self._events)


def test_a_stream_that_can_not_be_watched_reaches_the_app_and_counts_its_input(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST))
    events = client.post(
        "/chat/completions",
        cast_to=object,
        body={"model": "gpt-4o", "messages": MESSAGES, "stream_options": {"include_usage": False}},
        stream=True,
        stream_cls=Elsewhere,
    )

    assert len(list(events)) == 2
    assert tracker.refused == ["streams of this version of the SDK can't be watched"]
    assert (tracker.call.status, tracker.call.usage) == ("ok", Usage(input_tokens=5))


def cut_short(provider: ProviderStandIn) -> threading.Event:
    """A stream that says two words, and goes on only when it is told to."""
    go_on = threading.Event()
    provider.script.append(sse_answer(chunk("It "), chunk("melts."), go_on, LAST, USAGE_ALONE))
    return go_on


def close_it(events: Any) -> None:
    next(events)
    next(events)
    events.close()


def leave_the_with_block(events: Any) -> None:
    with events:
        next(events)
        next(events)


def break_then_close(events: Any) -> None:
    for count, _ in enumerate(events, 1):
        if count == 2:
            break
    events.close()
    events.close()


@pytest.mark.parametrize("leave", [close_it, leave_the_with_block, break_then_close])
def test_a_stream_closed_early_has_used_its_input_and_what_came(
    leave: Any, client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    leave(stream(client))
    go_on.set()

    assert (tracker.call.status, tracker.call.error_type) == ("cancelled", None)
    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)
    assert tracker.call.model == MODEL
    assert is_estimated(tracker)


def test_the_stream_helper_left_early_is_recorded(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as events:
        next(iter(events))
    go_on.set()

    assert tracker.call.status == "cancelled"


def test_a_stream_that_the_server_breaks_off_is_an_error_with_what_came(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It "), chunk("melts."), HANG_UP))

    # Older versions of the SDK let the HTTP library's error through.
    with pytest.raises(Exception) as raised:  # noqa: PT011
        list(stream(client))

    call = tracker.call
    assert (call.status, call.error_type) == ("error", type(raised.value).__name__)
    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)
    assert is_estimated(tracker)


def test_an_error_inside_a_stream_is_recorded_with_its_class(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It "), {"error": {"message": "overloaded"}}))

    with pytest.raises(openai.APIError):
        list(stream(client))

    assert (tracker.call.status, tracker.call.error_type) == ("error", "APIError")


def test_an_error_of_the_app_leaves_the_stream_to_be_counted_when_it_is_closed(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)

    def read(events: Any) -> None:
        for event in events:
            raise ZeroDivisionError(event.id)

    with pytest.raises(ZeroDivisionError), stream(client) as events:
        read(events)
    go_on.set()

    assert tracker.call.status == "cancelled"


def test_what_was_said_again_at_the_end_of_a_part_is_no_more_output(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(*response_events()[:-1], named=True))
    list(client.responses.create(model="gpt-4o", input="What is a fuse?", stream=True))

    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)
    assert tracker.call.model == MODEL


def test_the_garbage_collector_never_tracks_on_the_thread_that_it_interrupts(
    client: openai.OpenAI,
    provider: ProviderStandIn,
    tracker: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That thread may hold any lock, the tracker's own included."""
    threads: list[str] = []
    monkeypatch.setattr(
        tracker, "track_quietly", lambda _: threads.append(threading.current_thread().name)
    )
    for _ in range(5):
        go_on = cut_short(provider)
        events = stream(client)
        next(events)
        del events
        gc.collect()
        go_on.set()

    assert abandoned().wait(10)
    assert threads == ["spendfuse-streams"] * 5


@pytest.mark.parametrize("read", [0, 1])
def test_a_stream_that_is_dropped_is_counted(
    read: int, client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    events = stream(client)
    for _ in range(read):
        next(events)
    del events
    gc.collect()
    go_on.set()

    assert abandoned().wait(10)
    assert tracker.call.status == "cancelled"
    assert is_estimated(tracker)


def test_a_finished_stream_counts_once_whatever_is_done_with_it_afterwards(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))
    events = stream(client)
    list(events)
    list(events)
    events.close()
    del events
    gc.collect()

    assert abandoned().wait(10)
    assert len(tracker.calls) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_stream_that_was_open_across_a_fork_is_its_parents(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    events = stream(client)
    next(events)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            del events
            gc.collect()
            code = 0 if abandoned().wait(5) and not tracker.calls else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    go_on.set()
    events.close()

    assert os.waitstatus_to_exitcode(status) == 0
    assert len(tracker.calls) == 1


def test_streams_that_are_open_when_the_process_ends_are_counted(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    events = stream(client)
    next(events)
    abandoned().settle_all()
    go_on.set()
    events.close()

    assert tracker.call.status == "cancelled"


def test_a_stream_awaited_to_its_end_is_counted(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It "), chunk("melts."), LAST, USAGE_ALONE))

    async def run() -> list[Any]:
        async with async_client(provider, tracker) as client:
            events = await client.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, stream=True
            )
            assert isinstance(events, openai.AsyncStream)
            return [event.choices[0].delta.content async for event in events]

    assert asyncio.run(run()) == ["It ", "melts.", None]
    assert (tracker.call.status, tracker.call.usage) == ("ok", CHAT_USAGE)


def test_a_cancelled_stream_is_counted_as_cancelled(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)

    async def run() -> None:
        async with async_client(provider, tracker) as client:
            events = await client.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, stream=True
            )
            reached = asyncio.Event()

            async def read() -> None:
                async for event in events:
                    if event.choices[0].delta.content == "melts.":
                        reached.set()

            task = asyncio.create_task(read())
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    go_on.set()

    assert (tracker.call.status, tracker.call.error_type) == ("cancelled", "CancelledError")
    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)


@pytest.mark.parametrize("how", ["close", "with", "drop"])
def test_an_async_stream_left_early_is_counted(
    how: str, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)

    async def run() -> None:
        async with async_client(provider, tracker) as client:
            events = await client.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, stream=True
            )
            if how == "with":
                async with events:
                    await anext(events)
            else:
                await anext(events)
            if how == "close":
                await events.close()
            del events
            gc.collect()
            await asyncio.sleep(0)

    asyncio.run(run())
    go_on.set()

    assert abandoned().wait(10)
    assert tracker.call.status == "cancelled"


def test_a_call_cancelled_before_it_was_answered_has_used_its_input(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = threading.Event()
    provider.script.append(Answer([go_on, b"{}"]))

    async def run() -> None:
        async with async_client(provider, tracker) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    asyncio.run(run())
    go_on.set()

    assert (tracker.call.status, tracker.call.error_type) == ("cancelled", "CancelledError")
    assert tracker.call.usage == Usage(input_tokens=5)
    assert is_estimated(tracker)


# Background responses


def queued(status: str = "queued") -> Answer:
    return json_answer(response(status=status, usage=None, output=[]))


def test_a_background_response_is_counted_once_when_it_is_retrieved(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script += [queued(), queued("in_progress")]
    with attributed(team="ads"):
        begun = client.responses.create(model="gpt-4o", input="A fuse?", background=True)
    client.responses.retrieve(begun.id)

    assert not tracker.calls

    provider.script += [json_answer({}, status=500), json_answer(response())]
    provider.script += [json_answer(response())]
    with pytest.raises(openai.InternalServerError):
        client.responses.retrieve(begun.id)
    client.with_options(timeout=9).responses.retrieve(begun.id)
    client.responses.retrieve(begun.id)

    assert tracker.call.usage == CHAT_USAGE
    assert tracker.call.attribution.attributes["team"] == "ads"


def test_a_background_responses_events_count_only_with_their_end(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script += [queued(), sse_answer(*response_events()[:4], named=True)]
    provider.script += [sse_answer(*response_events(), named=True)]
    begun = client.responses.create(model="gpt-4o", input="A fuse?", background=True)
    list(client.responses.retrieve(begun.id, stream=True))

    assert not tracker.calls

    list(client.responses.retrieve(begun.id, stream=True))

    assert tracker.call.usage == CHAT_USAGE


def test_somebody_elses_response_that_is_retrieved_costs_nothing(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(response()))
    client.responses.retrieve("resp_2")

    assert not tracker.calls


def test_a_background_response_that_nobody_retrieves_counts_its_input(
    client: openai.OpenAI,
    provider: ProviderStandIn,
    tracker: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "MAX_WAITING", 1)
    provider.script += [queued(), json_answer(response(id="resp_2", status="queued", usage=None))]
    client.responses.create(model="gpt-4o", input="What is a fuse?", background=True)
    client.responses.create(model="gpt-4o", input="What is a fuse?", background=True)

    assert tracker.call.usage == Usage(input_tokens=5)

    abandoned().settle_all()

    assert len(tracker.calls) == 2
    assert all(call.attribution.fields["estimated"] for call in tracker.calls)


# Raw and streaming responses


def test_a_raw_stream_is_metered_where_the_app_parses_it(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=MESSAGES, stream=True
    )

    texts = [event.choices[0].delta.content for event in raw.parse()]

    assert raw.headers["content-type"] == "text/event-stream"
    assert texts == ["It melts.", None]
    assert tracker.call.usage == CHAT_USAGE


READERS = {
    "parse": lambda answer: answer.parse(),
    "json": lambda answer: answer.json(),
    "read": lambda answer: answer.read(),
    "bytes": lambda answer: list(answer.iter_bytes()),
    "lines": lambda answer: list(answer.iter_lines()),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_streaming_response_is_metered_however_it_is_read(
    reader: str, client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat()))

    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o", messages=MESSAGES
    ) as answer:
        READERS[reader](answer)

    assert (tracker.call.usage, tracker.call.status) == (CHAT_USAGE, "ok")
    assert not tracker.refused


@pytest.mark.parametrize("reader", ["bytes", "lines"])
def test_events_read_as_bytes_are_read_along_and_not_changed(
    reader: str, client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))

    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    ) as answer:
        READERS[reader](answer)

    assert (tracker.call.usage, tracker.call.status) == (CHAT_USAGE, "ok")


def test_events_read_as_bytes_are_never_asked_for_more(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(sse_answer(chunk("It melts."), LAST))

    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o", messages=MESSAGES, stream=True
    ) as answer:
        answer.read()

    assert "stream_options" not in provider.asked[0].body
    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)
    assert is_estimated(tracker)


def test_a_streaming_response_that_nobody_reads_is_counted(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat()))

    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=MESSAGES):
        pass

    assert tracker.call.status == "cancelled"
    assert is_estimated(tracker)


def test_an_async_streaming_response_is_metered(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat()))

    async def run() -> None:
        async with (
            async_client(provider, tracker) as client,
            client.chat.completions.with_streaming_response.create(
                model="gpt-4o", messages=MESSAGES
            ) as answer,
        ):
            await answer.parse()

    asyncio.run(run())

    assert tracker.call.usage == CHAT_USAGE


def test_speech_written_to_a_file_counts_its_characters(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording, tmp_path: Any
) -> None:
    provider.script.append(Answer([b"ID3", b"..."], headers={"Content-Type": "audio/mpeg"}))

    with client.audio.speech.with_streaming_response.create(
        model="tts-1", input="Ein Schmelzdraht für 5 €", voice="alloy"
    ) as answer:
        answer.stream_to_file(tmp_path / "speech.mp3")

    assert (tmp_path / "speech.mp3").read_bytes() == b"ID3..."
    assert tracker.call.usage == Usage(characters=24)
    assert "estimated" not in tracker.call.attribution.fields


# Errors


def test_an_error_is_recorded_with_its_class_and_reraised_untouched(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer({"error": {"message": "slow down"}}, status=429))

    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    call = tracker.call
    assert raised.value.status_code == 429
    assert (call.status, call.error_type, call.usage) == ("error", "RateLimitError", NOTHING_USED)
    assert call.model == "gpt-4o"


def test_the_sdks_retries_are_one_call(
    bare: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script += [
        json_answer({}, status=500, retry_after_ms="1"),
        json_answer({}, status=500, retry_after_ms="1"),
        json_answer(chat()),
    ]
    client = metered(bare.with_options(max_retries=2), tracker)
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert len(provider.asked) == 3
    assert (tracker.call.status, tracker.call.usage) == ("ok", CHAT_USAGE)


def test_a_call_that_timed_out_may_be_billed_its_input(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = threading.Event()
    provider.script.append(Answer([go_on, b"{}"]))

    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, timeout=0.2)
    go_on.set()

    assert (tracker.call.status, tracker.call.error_type) == ("error", "APITimeoutError")
    assert tracker.call.usage == Usage(input_tokens=5)
    assert is_estimated(tracker)


def test_a_call_that_never_got_a_connection_is_billed_nothing(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = cut_short(provider)
    http = openai.DefaultHttpxClient(
        limits=type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=1)
    )
    with openai.OpenAI(
        api_key="k", base_url=provider.base, max_retries=0, http_client=http
    ) as bare:
        client = metered(bare, tracker)
        events = stream(client)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES, timeout=0.1)
        go_on.set()
        events.close()

    assert tracker.calls[0].error_type == "APITimeoutError"
    assert tracker.calls[0].usage == NOTHING_USED


class Fuse(pydantic.BaseModel):
    amperes: int


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            chat(choices=[{"index": 0, "finish_reason": "length", "message": {"content": "{"}}]),
            openai.LengthFinishReasonError,
        ),
        (
            chat(choices=[{"index": 0, "finish_reason": "stop", "message": {"content": "no"}}]),
            pydantic.ValidationError,
        ),
    ],
)
def test_an_answer_that_the_apps_type_refuses_is_paid_for_all_the_same(
    answer: dict[str, Any],
    error: type[Exception],
    client: openai.OpenAI,
    provider: ProviderStandIn,
    tracker: Recording,
) -> None:
    provider.script.append(json_answer(answer))

    with pytest.raises(error):
        client.chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=Fuse)

    assert (tracker.call.status, tracker.call.usage) == ("error", CHAT_USAGE)
    assert tracker.call.error_type == error.__name__


def test_an_answer_without_usage_is_estimated(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat(usage=None)))
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    usage = tracker.call.usage
    assert isinstance(usage, Usage)
    assert usage.input_tokens == 5
    assert 3 <= usage.output_tokens < 20
    assert is_estimated(tracker)


def test_an_answer_with_impossible_counts_reaches_the_app_and_is_handed_on_to_be_refused(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(chat(usage={"prompt_tokens": -5})))
    answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    assert answer.choices[0].message.content == "It melts."
    assert tracker.call.model == "gpt-4o"
    assert tracker.call.usage is answer.usage


def test_a_meter_that_fails_is_counted_and_the_app_gets_its_answer(
    client: openai.OpenAI,
    provider: ProviderStandIn,
    tracker: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the prompt was: secret")

    monkeypatch.setattr(tracker, "track_quietly", broken)
    provider.script.append(json_answer(chat()))
    provider.script.append(sse_answer(chunk("It melts."), LAST, USAGE_ALONE))

    assert client.chat.completions.create(model="gpt-4o", messages=MESSAGES).id == "chatcmpl-1"
    assert len(list(stream(client))) == 2
    assert tracker.refused
    assert "secret" not in str(tracker.refused)
