"""Each integration with the real tracker and price book; dollars worked out from list prices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anthropic
import boto3
import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from unit.metering.integrations import anthropic_samples, openai_samples
from unit.metering.integrations.provider_stand_in import (
    ProviderStandIn,
    json_answer,
    provider_stand_in,
    sse_answer,
)

from spendfuse.metering import CostTracker, PriceBook, Record
from spendfuse.metering.integrations.anthropic import metered as metered_anthropic
from spendfuse.metering.integrations.bedrock import metered as metered_bedrock
from spendfuse.metering.integrations.litellm_events import LitellmMeter
from spendfuse.metering.integrations.openai import metered as metered_openai
from spendfuse.metering.integrations.opentelemetry import GenAiSpanProcessor
from spendfuse.metering.sinks.sink import SinkHealth

HAIKU = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
GPT_4O = {"model": "gpt-4o", "messages": openai_samples.MESSAGES}
CHUNKS = (openai_samples.chunk("It melts."), openai_samples.LAST, openai_samples.USAGE_ALONE)


class Kept:
    """A sink that keeps its records."""

    name = "kept"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def emit(self, record: Record) -> None:
        self.records.append(record)

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def close(self, timeout_seconds: float) -> None: ...

    def health(self) -> SinkHealth:
        return SinkHealth(accepted=len(self.records))


@functools.cache
def prices() -> PriceBook:
    return PriceBook.standard()


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def tracker(kept: Kept) -> CostTracker:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return CostTracker(sinks=[kept], prices=prices(), now=lambda: at)


def with_openai(provider: ProviderStandIn, tracker: CostTracker, **options: Any) -> None:
    with openai.OpenAI(api_key="k", base_url=provider.base, max_retries=0) as bare:
        client = metered_openai(bare, tracker, provider="openai")
        found: Any = client.chat.completions.create(**GPT_4O, **options)  # type: ignore[call-overload]
        list(found)


def with_anthropic(provider: ProviderStandIn, tracker: CostTracker) -> None:
    with anthropic.Anthropic(api_key="k", base_url=provider.base) as bare:
        metered_anthropic(bare, tracker).messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=anthropic_samples.MESSAGES
        )


def with_bedrock(provider: ProviderStandIn, tracker: CostTracker) -> None:
    bare = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=provider.base,
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
    )
    metered_bedrock(bare, tracker).converse(modelId=HAIKU, messages=[])


def with_a_span(_: ProviderStandIn, tracker: CostTracker) -> None:
    spans = TracerProvider()
    spans.add_span_processor(GenAiSpanProcessor(tracker))
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 64,
    }
    with spans.get_tracer("any").start_as_current_span("chat", attributes=attributes):
        pass


def with_litellm(_: ProviderStandIn, tracker: CostTracker, *, cache_hit: bool = False) -> None:
    now = datetime(2026, 11, 22)  # noqa: DTZ001 (litellm's are naive)
    event = {"model": "gpt-4o", "custom_llm_provider": "openai", "cache_hit": cache_hit}
    LitellmMeter(tracker, {}).succeeded(event, openai_samples.chat(), now, now)


BEDROCK_COUNTS = {
    "inputTokens": 30,
    "outputTokens": 20,
    "totalTokens": 120,
    "cacheReadInputTokens": 50,
    "cacheWriteInputTokens": 20,
}
# $2.50 a million in, half of it cached, $10 out: 36 x 2.5 + 64 x 1.25 + 20 x 10
CHAT_USD = Decimal("0.00037")
CASES: dict[str, tuple[Callable[..., None], Any, Decimal]] = {
    "openai": (with_openai, json_answer(openai_samples.chat()), CHAT_USD),
    "a stream of openai's": (
        functools.partial(with_openai, stream=True),
        sse_answer(*CHUNKS),
        CHAT_USD,
    ),
    "openai's flex tier, at half the price": (
        with_openai,
        json_answer(openai_samples.chat(model="gpt-5", service_tier="flex")),
        # $1.25 in, a tenth of it cached, $10 out: (36 x 1.25 + 64 x 0.125 + 20 x 10) / 2
        Decimal("0.0001265"),
    ),
    # $1 a million in, a tenth of it cached, 1.25 times written, $5 out: 30 + 5 + 25 + 100
    "anthropic": (with_anthropic, json_answer(anthropic_samples.message()), Decimal("0.00016")),
    # The same and a tenth, for a regional id.
    "bedrock": (with_bedrock, json_answer({"usage": BEDROCK_COUNTS}), Decimal("0.000176")),
    "a span": (with_a_span, None, CHAT_USD),
    "litellm": (with_litellm, None, CHAT_USD),
    "litellm's cache": (functools.partial(with_litellm, cache_hit=True), None, Decimal(0)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_call_costs_its_list_price(
    case: str, provider: ProviderStandIn, tracker: CostTracker, kept: Kept
) -> None:
    call, answer, usd = CASES[case]
    provider.script += [answer] if answer else []
    call(provider, tracker)

    (record,) = kept.records
    assert record.problem is None
    assert record.cost_nano_usd == usd * 10**9
    assert tracker.health().refused == 0


def test_an_error_costs_nothing(
    provider: ProviderStandIn, tracker: CostTracker, kept: Kept
) -> None:
    with pytest.raises(openai.NotFoundError):
        with_openai(provider, tracker)

    (record,) = kept.records
    assert (record.status, record.cost_nano_usd) == ("error", 0)


def test_usage_that_can_not_be_is_recorded_without_a_price_and_counted(
    provider: ProviderStandIn, tracker: CostTracker, kept: Kept
) -> None:
    usage = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}
    provider.script.append(json_answer(openai_samples.chat(usage=usage)))
    with_openai(provider, tracker)

    (record,) = kept.records
    assert record.cost_nano_usd is None
    assert record.problem is not None
    assert tracker.health().refused == 1


def test_an_unknown_model_reaches_the_app_and_is_recorded_without_a_price(
    provider: ProviderStandIn, tracker: CostTracker, kept: Kept
) -> None:
    provider.script.append(json_answer(openai_samples.chat(model="gpt-99-mystery")))
    with_openai(provider, tracker)

    (record,) = kept.records
    assert (record.model, record.cost_nano_usd) == ("gpt-99-mystery", None)
    assert tracker.health().unpriced == 1
