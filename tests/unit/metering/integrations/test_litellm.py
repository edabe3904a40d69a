"""The callback under litellm itself, which calls a stand-in for OpenAI over HTTP."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from unit.metering.integrations.openai_samples import (
    EMBEDDING,
    LAST,
    MESSAGES,
    USAGE_ALONE,
    chat,
    chunk,
)
from unit.metering.integrations.provider_stand_in import (
    ProviderStandIn,
    json_answer,
    provider_stand_in,
    sse_answer,
)
from unit.metering.integrations.recording import Recording

from spendfuse.metering.attribution import attributed
from spendfuse.metering.usage import NOTHING_USED, Usage

litellm = pytest.importorskip(
    "litellm",
    reason="60 packages, so not in the development environment: run this file in one with litellm",
)

USAGE = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=64, reasoning_tokens=8)


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def registered() -> Recording:
    """litellm keeps the first callback of a class, so there is one for all tests."""
    module = importlib.import_module("spendfuse.metering.integrations.litellm")
    recording = Recording()
    litellm.callbacks.append(module.LitellmCallback(recording))
    return recording


@pytest.fixture
def tracker(registered: Recording) -> Recording:
    registered.calls.clear()
    return registered


@pytest.fixture
def asked(provider: ProviderStandIn) -> dict[str, Any]:
    return {
        "model": "openai/gpt-4o",
        "messages": MESSAGES,
        "api_base": f"{provider.base}/v1",
        "api_key": "k",
        "max_retries": 0,
    }


def wait_for(count: int, tracker: Recording) -> None:
    """litellm calls back on its own threads and tasks."""
    for _ in range(200):
        if len(tracker.calls) >= count:
            break
        time.sleep(0.02)
    time.sleep(0.2)

    assert len(tracker.calls) == count, tracker.calls


def run(main: Callable[[], Any], count: int, tracker: Recording) -> None:
    async def awaited() -> None:
        await main()
        for _ in range(200):
            if len(tracker.calls) >= count:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)

    asyncio.run(awaited())

    assert len(tracker.calls) == count, tracker.calls


def test_a_completion(provider: ProviderStandIn, tracker: Recording, asked: dict[str, Any]) -> None:
    provider.script.append(json_answer(chat()))
    with attributed(team="ads"):
        litellm.completion(**asked, user="u1", metadata={"feature": "search"})
    wait_for(1, tracker)

    assert (tracker.call.provider, tracker.call.usage) == ("openai", USAGE)
    assert tracker.call.attribution.attributes == {
        "team": "ads",
        "user": "u1",
        "feature": "search",
    }


def test_a_stream(provider: ProviderStandIn, tracker: Recording, asked: dict[str, Any]) -> None:
    provider.script.append(sse_answer(chunk("It "), chunk("melts."), LAST, USAGE_ALONE))
    with attributed(team="ads"):
        for _ in litellm.completion(**asked, stream=True, stream_options={"include_usage": True}):
            pass
    wait_for(1, tracker)

    assert tracker.call.usage == USAGE
    assert tracker.call.attribution.attributes == {"team": "ads"}


def test_an_awaited_completion_and_stream(
    provider: ProviderStandIn, tracker: Recording, asked: dict[str, Any]
) -> None:
    provider.script += [
        json_answer(chat()),
        sse_answer(chunk("It "), chunk("melts."), LAST, USAGE_ALONE),
    ]

    async def main() -> None:
        with attributed(team="ads"):
            await litellm.acompletion(**asked)
            async for _ in await litellm.acompletion(**asked, stream=True):
                pass

    run(main, 2, tracker)

    assert [call.usage for call in tracker.calls] == [USAGE, USAGE]
    assert all(call.attribution.attributes == {"team": "ads"} for call in tracker.calls)


def test_a_failure(provider: ProviderStandIn, tracker: Recording, asked: dict[str, Any]) -> None:
    provider.script += [json_answer({"error": {"message": "no"}}, status=400)] * 2

    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**asked)
    wait_for(1, tracker)

    async def main() -> None:
        with pytest.raises(litellm.BadRequestError):
            await litellm.acompletion(**asked)

    run(main, 2, tracker)

    assert {call.error_type for call in tracker.calls} == {"BadRequestError"}
    assert {call.usage for call in tracker.calls} == {NOTHING_USED}


def test_a_routers_retry(
    provider: ProviderStandIn, tracker: Recording, asked: dict[str, Any]
) -> None:
    provider.script += [json_answer({}, status=500), json_answer(chat())]
    params = {name: value for name, value in asked.items() if name != "messages"}
    router = litellm.Router(
        model_list=[{"model_name": "m", "litellm_params": params}], num_retries=2, retry_after=0
    )

    async def main() -> None:
        await router.acompletion(model="m", messages=MESSAGES)

    run(main, 2, tracker)

    assert [call.status for call in tracker.calls] == ["error", "ok"]
    assert [call.usage for call in tracker.calls] == [NOTHING_USED, USAGE]


def test_an_embedding(provider: ProviderStandIn, tracker: Recording, asked: dict[str, Any]) -> None:
    provider.script.append(json_answer(EMBEDDING))
    del asked["messages"]
    litellm.embedding(**asked | {"model": "openai/text-embedding-3-small"}, input=["A fuse"])
    wait_for(1, tracker)

    assert tracker.call.usage == Usage(input_tokens=7)


def test_an_answer_from_the_cache(
    provider: ProviderStandIn,
    tracker: Recording,
    asked: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("fastapi", reason="litellm's cache imports its proxy")
    pytest.importorskip("orjson", reason="litellm's cache imports its proxy")
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    provider.script.append(json_answer(chat()))

    async def main() -> None:
        await litellm.acompletion(**asked, caching=True)
        await asyncio.sleep(0.3)
        await litellm.acompletion(**asked, caching=True)

    run(main, 2, tracker)

    assert sorted(call.cached for call in tracker.calls) == [False, True]
