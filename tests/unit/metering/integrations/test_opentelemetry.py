from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, Tracer, TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from unit.metering.integrations.recording import Recording

from spendfuse.metering.attribution import attributed
from spendfuse.metering.integrations import recent as recent_module
from spendfuse.metering.integrations.genai_spans import span_call, span_role
from spendfuse.metering.integrations.opentelemetry import GenAiSpanProcessor
from spendfuse.metering.usage import Usage

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}


class Bench:
    """A real tracer provider with the processor on it."""

    def __init__(self, **options: object) -> None:
        self.tracker = Recording()
        self.processor = GenAiSpanProcessor(self.tracker, **options)  # type: ignore[arg-type]
        resource = Resource.create({"deployment.environment.name": "production"})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(self.processor)
        self.provider = provider
        self.tracer: Tracer = provider.get_tracer("some.instrumentation")

    @contextmanager
    def span(self, name: str = "chat", **values: object) -> Iterator[Span]:
        with self.tracer.start_as_current_span(name, attributes=values) as span:
            yield span


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        (
            {"gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 4},
            Usage(input_tokens=10, output_tokens=4),
        ),
        (
            {
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 4,
                "gen_ai.usage.cache_read.input_tokens": 3,
                "gen_ai.usage.cache_creation.input_tokens": 2,
                "gen_ai.usage.reasoning.output_tokens": 1,
            },
            Usage(
                input_tokens=10,
                output_tokens=4,
                cached_input_tokens=3,
                cache_write_tokens=2,
                reasoning_tokens=1,
            ),
        ),
        (
            {
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.cache_read_input_tokens": 3,
                "gen_ai.usage.cache_creation_input_tokens": 2,
            },
            Usage(input_tokens=10, cached_input_tokens=3, cache_write_tokens=2),
        ),
        (
            {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_write.input_tokens": 2},
            Usage(input_tokens=10, cache_write_tokens=2),
        ),
        (
            {"llm.usage.prompt_tokens": 10, "llm.usage.completion_tokens": 4},
            Usage(input_tokens=10, output_tokens=4),
        ),
        (
            {
                "llm.token_count.prompt": 10,
                "llm.token_count.completion": 4,
                "llm.token_count.prompt_details.cache_read": 3,
                "llm.token_count.prompt_details.audio": 5,
                "llm.token_count.completion_details.reasoning": 2,
            },
            Usage(
                input_tokens=10,
                output_tokens=4,
                cached_input_tokens=3,
                reasoning_tokens=2,
                input_audio_tokens=5,
            ),
        ),
        (
            {"ai.usage.promptTokens": 10, "ai.usage.completionTokens": 4},
            Usage(input_tokens=10, output_tokens=4),
        ),
        ({"gen_ai.usage.input_tokens": 10.0}, Usage(input_tokens=10)),
        ({"gen_ai.usage.input_tokens": "10"}, Usage(input_tokens=10)),
        (
            {
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 4,
                "anthropic.usage.compaction.input_tokens": 90,
                "anthropic.usage.compaction.output_tokens": 6,
            },
            Usage(input_tokens=100, output_tokens=10),
        ),
    ],
)
def test_every_vocabulary_is_read(attributes: dict[str, object], usage: Usage) -> None:
    assert span_call(attributes).usage == usage


def test_cached_tokens_are_inside_the_input_as_the_convention_says() -> None:
    counts = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 90}

    assert span_call(counts).usage == Usage(input_tokens=100, cached_input_tokens=90)


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(
            {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read_input_tokens": 90},
            id="more cached than input",
        ),
        pytest.param(
            {
                "gen_ai.usage.input_tokens": 50,
                "gen_ai.usage.cache_read_input_tokens": 25,
                "gen_ai.usage.cache_creation_input_tokens": 26,
            },
            id="more cached and written than input",
        ),
        pytest.param(
            {
                "gen_ai.usage.input_tokens": 500,
                "gen_ai.usage.cache_read_input_tokens": 90,
                "gen_ai.usage.output_tokens": 7,
                "llm.usage.total_tokens": 597,
            },
            id="the span's own total says so",
        ),
    ],
)
def test_cached_tokens_beside_the_input_are_added_to_it(counts: dict[str, object]) -> None:
    usage = span_call(counts).usage

    assert usage is not None
    assert usage.input_tokens == sum(
        v for k, v in counts.items() if "total" not in k and "output" not in k
    )


def test_a_scope_known_to_report_them_beside_is_believed() -> None:
    bench = Bench(cached_beside=frozenset({"some.instrumentation"}))

    with bench.span(**CHAT, **{"gen_ai.usage.cache_read_input_tokens": 40}):
        pass

    assert bench.tracker.call.usage == Usage(
        input_tokens=140, output_tokens=20, cached_input_tokens=40
    )


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_counts_are_lost_however_they_are_placed(
    fresh: int, cached: int, written: int, output: int
) -> None:
    parts = {
        "gen_ai.usage.cache_read.input_tokens": cached,
        "gen_ai.usage.cache_creation.input_tokens": written,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.total_tokens": fresh + cached + written + output,
    }
    inside = span_call({"gen_ai.usage.input_tokens": fresh + cached + written, **parts})
    beside = span_call({"gen_ai.usage.input_tokens": fresh, **parts})

    assert inside == beside
    assert inside.usage is not None
    assert inside.usage.input_tokens == fresh + cached + written


def test_a_chat_span_becomes_a_call(bench: Bench) -> None:
    with attributed(team="search"), bench.span(**CHAT, **{"user.id": "u1"}):
        pass

    call = bench.tracker.call
    assert (call.provider, call.model) == ("openai", "gpt-4o-2024-08-06")
    assert call.usage == Usage(input_tokens=100, output_tokens=20)
    assert call.attribution.attributes == {
        "team": "search",
        "user": "u1",
        "environment": "production",
    }
    assert (call.status, call.error_type) == ("ok", None)
    assert call.latency_ms is not None


def test_latency_is_the_spans(bench: Bench) -> None:
    span = bench.tracer.start_span("chat", attributes=CHAT, start_time=5_000_000_000)
    span.end(end_time=6_234_999_999)

    assert bench.tracker.call.latency_ms == 1234


def test_attribution_is_that_of_the_start(bench: Bench) -> None:
    with attributed(team="search"):
        span = bench.tracer.start_span("chat", attributes=CHAT)
    with attributed(team="ads"):
        span.end()

    assert bench.tracker.call.attribution.attributes["team"] == "search"


def test_the_mapping_of_attributes_can_be_changed() -> None:
    bench = Bench(attributes={"app.tenant": "organisation", "deployment.environment.name": ""})

    with bench.span(**CHAT, **{"app.tenant": 42}):
        pass

    assert bench.tracker.call.attribution.attributes == {"organisation": "42"}


@pytest.mark.parametrize(
    ("attributes", "provider"),
    [
        ({"gen_ai.provider.name": "aws.bedrock"}, "aws"),
        ({"gen_ai.provider.name": "gcp.vertex_ai"}, "google"),
        ({"gen_ai.provider.name": "gcp.gemini"}, "google"),
        ({"gen_ai.provider.name": "azure.ai.openai"}, "azure"),
        ({"gen_ai.system": "az.ai.openai"}, "azure"),
        ({"gen_ai.system": "x_ai"}, "x-ai"),
        ({"gen_ai.system": "Anthropic"}, "anthropic"),
        ({"gen_ai.system": "AWS"}, "aws"),
        ({"gen_ai.system": "openai.chat"}, "openai"),
        ({"gen_ai.system": "azure-openai.chat"}, "azure"),
        ({"gen_ai.system": "amazon-bedrock"}, "aws"),
        ({"gen_ai.system": "google.generative-ai"}, "google"),
        ({"gen_ai.system": "openai", "server.address": "acme.openai.azure.com"}, "azure"),
        ({"gen_ai.system": "openai", "server.address": "openrouter.ai"}, "openrouter"),
        ({"gen_ai.system": "openai", "server.address": "10.0.0.7"}, "openai"),
        ({"gen_ai.system": "Langchain"}, ""),
        ({"llm.system": "openai", "llm.provider": "azure"}, "azure"),
        ({}, ""),
    ],
)
def test_providers_are_named_as_the_price_book_names_them(
    attributes: dict[str, object], provider: str
) -> None:
    assert span_call(attributes).provider == provider


def test_bedrock_is_billed_by_the_id_that_was_requested() -> None:
    call = span_call(
        {
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.request.model": "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            "gen_ai.response.model": "claude-haiku-4-5-20251001",
        }
    )

    assert call.model == "eu.anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize(
    ("attributes", "role"),
    [
        ({"gen_ai.operation.name": "text_completion"}, "inference"),
        ({"gen_ai.operation.name": "generate_content"}, "inference"),
        ({"gen_ai.operation.name": "embeddings"}, "embeddings"),
        ({"gen_ai.operation.name": "invoke_agent"}, "other"),
        ({"gen_ai.operation.name": "create_agent"}, "other"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"llm.request.type": "chat"}, "inference"),
        ({"traceloop.span.kind": "workflow", "gen_ai.operation.name": "chat"}, "other"),
        ({"openinference.span.kind": "LLM"}, "inference"),
        ({"openinference.span.kind": "EMBEDDING"}, "embeddings"),
        ({"openinference.span.kind": "CHAIN"}, "other"),
        ({"ai.operationId": "ai.generateText.doGenerate"}, "inference"),
        ({"ai.operationId": "ai.generateText"}, "other"),
        ({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}, "inference"),
        ({"gen_ai.response.model": "m", "gen_ai.usage.input_tokens": 1}, "inference"),
        ({"gen_ai.usage.input_tokens": 1}, "other"),
        ({"gen_ai.request.model": "m"}, "other"),
        ({"http.request.method": "GET"}, "other"),
    ],
)
def test_only_inference_is_a_call(attributes: dict[str, object], role: str) -> None:
    assert span_role(attributes) == role


def test_an_agents_span_does_not_repeat_its_calls(bench: Bench) -> None:
    with bench.span("agent", **{**CHAT, "gen_ai.operation.name": "invoke_agent"}):
        with bench.span(**CHAT):
            pass
        with bench.span(**CHAT):
            pass

    assert len(bench.tracker.calls) == 2


def test_two_instrumentations_over_each_other_count_once(bench: Bench) -> None:
    with (
        bench.span("langchain", **{**CHAT, "gen_ai.usage.input_tokens": 101}),
        bench.span("a step between"),
        bench.span("openai", **CHAT),
    ):
        pass

    assert bench.tracker.call.usage == Usage(input_tokens=100, output_tokens=20)


def test_a_call_made_by_a_tool_is_no_part_of_the_call_around_the_tool(bench: Bench) -> None:
    with (
        bench.span(**CHAT),
        bench.span("tool", **{"gen_ai.operation.name": "execute_tool"}),
        bench.span("inner", **CHAT),
    ):
        pass

    assert len(bench.tracker.calls) == 2


def test_an_embedding_inside_a_chat_is_another_call(bench: Bench) -> None:
    embedding = {**CHAT, "gen_ai.operation.name": "embeddings"}
    with bench.span(**CHAT), bench.span("embeddings", **embedding):
        pass

    assert len(bench.tracker.calls) == 2


def test_one_response_counts_once_though_two_spans_stand_beside_each_other(bench: Bench) -> None:
    for name in ("openai", "another instrumentation"):
        with bench.span(name, **CHAT, **{"gen_ai.response.id": "chatcmpl-1"}):
            pass

    assert len(bench.tracker.calls) == 1


def test_a_parent_in_another_process_is_not_remembered(bench: Bench) -> None:
    far = SpanContext(trace_id=7, span_id=9, is_remote=True, trace_flags=TraceFlags(1))
    context = set_span_in_context(NonRecordingSpan(far))
    bench.tracer.start_span("chat", context=context, attributes=CHAT).end()

    assert len(bench.tracker.calls) == 1
    assert not bench.processor._counted_below._entries


def test_an_error_is_recorded_with_its_class_and_no_usage(bench: Bench) -> None:
    span = bench.tracer.start_span(
        "chat",
        attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
    )
    span.record_exception(TimeoutError("the prompt was: secret"))
    span.set_status(Status(StatusCode.ERROR, "the prompt was: secret"))
    span.end()

    call = bench.tracker.call
    assert (call.status, call.error_type) == ("error", "TimeoutError")
    assert call.usage == Usage(requests=0)
    assert "secret" not in repr(call)


def test_the_error_type_of_the_span_is_taken_first(bench: Bench) -> None:
    with bench.span(**CHAT, **{"error.type": "RateLimitError"}) as span:
        span.set_status(Status(StatusCode.ERROR))

    assert bench.tracker.call.error_type == "RateLimitError"


def test_a_call_without_counts_is_noticed_and_never_counts_as_nothing(bench: Bench) -> None:
    with (
        bench.span("langchain", **CHAT),
        bench.span(**{"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}),
    ):
        pass

    assert bench.tracker.refused == ["an LLM span without token counts"]
    assert bench.tracker.call.usage == Usage(input_tokens=100, output_tokens=20)


@pytest.mark.parametrize("count", [-1, True, "many", 1.5, 10**15])
def test_counts_that_can_not_be_are_refused_and_the_span_ends(bench: Bench, count: object) -> None:
    with bench.span(**{**CHAT, "gen_ai.usage.input_tokens": count}):
        pass

    assert bench.tracker.refused == ["a span with token counts that can't be"]
    assert not bench.tracker.calls


def test_memory_stays_bounded_when_spans_never_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_module, "MAX_REMEMBERED", 5)
    with attributed(team="search"):
        for _ in range(20):
            parent = bench.tracer.start_span("never ends")
            bench.tracer.start_span(
                "chat",
                context=set_span_in_context(parent),
                attributes={**CHAT, "gen_ai.response.id": str(id(parent))},
            ).end()

    assert len(bench.processor._started._entries) <= 5
    assert len(bench.processor._counted_below._entries) <= 5
    assert len(bench.processor._responses._entries) <= 5


def test_ended_spans_leave_nothing_behind(bench: Bench) -> None:
    with attributed(team="search"), bench.span("outer"), bench.span(**CHAT):
        pass

    assert not bench.processor._started._entries
    assert not bench.processor._counted_below._entries
