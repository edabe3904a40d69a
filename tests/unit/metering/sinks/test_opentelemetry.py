from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from unit.metering.sinks.rigs import a_record

from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.usage import Usage

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "spendfuse.feature": "search",
    "spendfuse.environment": "prod",
}


class Meter:
    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        (self.sink,) = open_sinks(
            [{"kind": "opentelemetry"}], Wiring(meter_provider=MeterProvider([self.reader]))
        )

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> list[Any]:
        metric = self.metrics().get(name)
        return list(metric.data.data_points) if metric else []


@pytest.fixture
def meter() -> Meter:
    return Meter()


def test_tokens_are_recorded_as_the_conventions_have_them(meter: Meter) -> None:
    meter.sink.emit(a_record())
    metric = meter.metrics()["gen_ai.client.token.usage"]

    assert metric.unit == "{token}"
    assert {
        point.attributes["gen_ai.token.type"]: (dict(point.attributes), point.sum)
        for point in metric.data.data_points
    } == {
        "input": (CALL | {"gen_ai.token.type": "input"}, 1200),
        "output": (CALL | {"gen_ai.token.type": "output"}, 300),
    }
    assert metric.data.data_points[0].explicit_bounds[:4] == (1, 4, 16, 64)
    assert metric.data.data_points[0].explicit_bounds[-1] == 67_108_864


def test_a_duration_is_recorded_in_seconds(meter: Meter) -> None:
    meter.sink.emit(a_record())
    metric = meter.metrics()["gen_ai.client.operation.duration"]
    (point,) = metric.data.data_points

    assert metric.unit == "s"
    assert (point.sum, dict(point.attributes)) == (0.42, CALL)
    assert point.explicit_bounds[0] == 0.01
    assert point.explicit_bounds[-1] == 81.92


def test_the_cost_is_a_counter_of_our_own(meter: Meter) -> None:
    meter.sink.emit(a_record())
    meter.sink.emit(a_record())
    metric = meter.metrics()["spendfuse.client.cost"]
    (point,) = metric.data.data_points

    assert metric.unit == "{USD}"
    assert metric.data.is_monotonic
    assert (point.value, dict(point.attributes)) == (0.012, CALL)


def test_a_call_without_a_price_is_counted_and_has_no_cost(meter: Meter) -> None:
    meter.sink.emit(a_record(cost_nano_usd=None))

    assert [point.value for point in meter.points("spendfuse.client.unpriced_calls")] == [1]
    assert meter.points("spendfuse.client.cost") == []


@pytest.mark.parametrize(
    ("over", "name"),
    [
        ({"status": "error", "error_type": "RateLimitError"}, "RateLimitError"),
        ({"status": "error"}, "_OTHER"),
        ({"status": "cancelled"}, "cancelled"),
    ],
)
def test_a_duration_says_how_its_call_failed(meter: Meter, over: dict[str, Any], name: str) -> None:
    meter.sink.emit(a_record(**over))
    (point,) = meter.points("gen_ai.client.operation.duration")

    assert point.attributes["error.type"] == name


def test_error_types_are_bounded(meter: Meter) -> None:
    for number in range(200):
        meter.sink.emit(a_record(status="error", error_type=f"Error{number}"))
    points = meter.points("gen_ai.client.operation.duration")

    assert len(points) == 51
    assert {point.attributes["error.type"]: point.count for point in points}["_OTHER"] == 150


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("aws", "aws.bedrock"),
        ("azure", "azure.ai.openai"),
        ("google", "gcp.gen_ai"),
        ("mistral", "mistral_ai"),
        ("anthropic", "anthropic"),
        ("", "none"),
    ],
)
def test_providers_have_the_conventions_names(meter: Meter, provider: str, name: str) -> None:
    meter.sink.emit(a_record(provider=provider))
    (point,) = meter.points("spendfuse.client.cost")

    assert point.attributes["gen_ai.provider.name"] == name


def test_an_embedding_is_told_from_a_chat(meter: Meter) -> None:
    meter.sink.emit(a_record(model="text-embedding-3-small", usage=Usage(input_tokens=20)))
    (point,) = meter.points("gen_ai.client.token.usage")

    assert point.attributes["gen_ai.operation.name"] == "embeddings"
    assert point.attributes["gen_ai.token.type"] == "input"


def test_a_flush_flushes_the_app_s_readers() -> None:
    class Reader(InMemoryMetricReader):
        flushed = 0

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            self.flushed += 1
            return timeout_millis > 0

    reader = Reader()
    sink = a_sink(MeterProvider([reader]))

    assert sink.flush(1)
    assert reader.flushed == 1


def test_an_exporter_that_fails_is_told_of_and_raises_nothing() -> None:
    class Failing(MeterProvider):
        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            raise ConnectionError(f"not within {timeout_millis}")

    sink = a_sink(Failing([InMemoryMetricReader()]))

    assert not sink.flush(1)
    assert sink.health().last_error == "ConnectionError"


def test_without_an_sdk_nothing_breaks() -> None:
    sink = a_sink(NoOpMeterProvider())
    sink.emit(a_record())

    assert sink.flush(1)
    assert sink.health().delivered == 1


def test_a_call_that_was_recorded_in_part_is_not_recorded_twice(meter: Meter) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("this instrument is broken")

    meter.sink._cost.add = fail  # type: ignore[attr-defined]
    meter.sink.emit(a_record())
    meter.sink.flush(1)

    health = meter.sink.health()
    assert [point.count for point in meter.points("gen_ai.client.token.usage")] == [1, 1]
    assert (health.delivered, health.waiting, health.dropped) == (0, 0, 1)
    assert health.last_error == "recorded in part: RuntimeError"


def a_sink(provider: Any) -> Sink:
    (sink,) = open_sinks([{"kind": "opentelemetry"}], Wiring(meter_provider=provider))
    return sink
