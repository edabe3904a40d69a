"""A decorated function that uses a metered client: two meters see one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import boto3
import openai
import pytest
from unit.metering.integrations import anthropic_samples, openai_samples
from unit.metering.integrations.provider_stand_in import (
    HANG_UP,
    ProviderStandIn,
    json_answer,
    provider_stand_in,
    sse_answer,
)
from unit.metering.integrations.recording import Recording

from spendfuse.metering.decorator import track_llm_cost
from spendfuse.metering.integrations.anthropic import metered as metered_anthropic
from spendfuse.metering.integrations.bedrock import metered as metered_bedrock
from spendfuse.metering.integrations.openai import metered as metered_openai

ASKED: Any = {"model": "gpt-4o", "messages": openai_samples.MESSAGES}
ASKED_CLAUDE: Any = {
    "model": "claude-haiku-4-5",
    "max_tokens": 50,
    "messages": anthropic_samples.MESSAGES,
}
CHUNKS = (openai_samples.chunk("It melts."), openai_samples.LAST, openai_samples.USAGE_ALONE)


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def tracker() -> Recording:
    return Recording()


@pytest.fixture
def client(provider: ProviderStandIn, tracker: Recording) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=f"{provider.base}/v1", max_retries=0) as bare:
        yield metered_openai(bare, tracker)


@pytest.fixture
def claude(provider: ProviderStandIn, tracker: Recording) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="k", base_url=provider.base, max_retries=0) as bare:
        yield metered_anthropic(bare, tracker)


def test_an_answer_that_is_returned(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> object:
        return client.chat.completions.create(**ASKED)

    provider.script.append(json_answer(openai_samples.chat()))
    ask()

    assert tracker.call.attribution.attributes["query_type"] == "ask"
    assert not tracker.refused


def test_what_a_raw_answer_is_parsed_to(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> object:
        return client.chat.completions.with_raw_response.create(**ASKED).parse()

    provider.script.append(json_answer(openai_samples.chat()))
    ask()

    assert len(tracker.calls) == 1


def test_an_error(client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> object:
        return client.chat.completions.create(**ASKED)

    provider.script.append(json_answer({"error": {"message": "slow down"}}, status=429))

    with pytest.raises(openai.RateLimitError):
        ask()

    assert tracker.call.error_type == "RateLimitError"


def test_a_stream_that_is_passed_on(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> Iterator[Any]:
        yield from client.chat.completions.create(**ASKED, stream=True)

    provider.script.append(sse_answer(*CHUNKS))
    list(ask())

    assert len(tracker.calls) == 1
    assert not tracker.refused


def test_an_async_stream_that_is_passed_on(provider: ProviderStandIn, tracker: Recording) -> None:
    provider.script.append(sse_answer(*CHUNKS))

    async def run() -> None:
        async with openai.AsyncOpenAI(api_key="k", base_url=provider.base) as bare:
            client = metered_openai(bare, tracker)

            @track_llm_cost(tracker=tracker, query_type="ask")
            async def ask() -> AsyncIterator[Any]:
                async for event in await client.chat.completions.create(**ASKED, stream=True):
                    yield event

            async for _ in ask():
                pass

    asyncio.run(run())

    assert len(tracker.calls) == 1
    assert not tracker.refused


def test_a_stream_that_breaks(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> list[Any]:
        return list(client.chat.completions.create(**ASKED, stream=True))

    provider.script.append(sse_answer(CHUNKS[0], HANG_UP))

    with pytest.raises(Exception):  # noqa: B017, PT011 (httpx's, or the SDK's)
        ask()

    assert len(tracker.calls) == 1


def test_the_whole_that_openais_helper_makes_of_a_stream(
    client: openai.OpenAI, provider: ProviderStandIn, tracker: Recording
) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> object:
        with client.chat.completions.stream(**ASKED) as stream:
            return stream.get_final_completion()

    provider.script.append(sse_answer(*CHUNKS))
    ask()

    assert len(tracker.calls) == 1


def test_the_whole_that_anthropics_helper_makes_of_a_stream(
    claude: anthropic.Anthropic, provider: ProviderStandIn, tracker: Recording
) -> None:
    @track_llm_cost(tracker=tracker, query_type="ask")
    def ask() -> object:
        with claude.messages.stream(**ASKED_CLAUDE) as stream:
            return stream.get_final_message()

    provider.script.append(sse_answer(*anthropic_samples.events(), named=True))
    ask()

    assert len(tracker.calls) == 1


def test_bedrocks_answers(provider: ProviderStandIn, tracker: Recording) -> None:
    bare = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=provider.base,
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
    )
    bedrock = metered_bedrock(bare, tracker)

    @track_llm_cost(tracker=tracker, query_type="ask")
    def converse() -> Any:
        return bedrock.converse(modelId="amazon.nova-lite-v1:0", messages=[])

    @track_llm_cost(tracker=tracker, query_type="ask")
    def invoke() -> Any:
        answer = bedrock.invoke_model(modelId="anthropic.claude-haiku", body="{}")
        return json.loads(answer["body"].read())

    usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    provider.script += [
        json_answer({"usage": usage, "stopReason": "end_turn"}),
        json_answer(anthropic_samples.message()),
    ]
    converse()
    invoke()

    assert len(tracker.calls) == 2
    assert not tracker.refused
