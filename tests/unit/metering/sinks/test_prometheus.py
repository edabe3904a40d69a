from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from unit.metering.sinks import prometheus_workers
from unit.metering.sinks.rigs import NOW, USAGE, a_record

from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.metering.sinks.labels import BoundedLabels
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.spend_window import SpendWindow

TESTS = Path(__file__).parents[3]
CALL = {"provider": "openai", "model": "gpt-4o"}
USE = CALL | {"feature": "search"}


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def registry() -> prometheus_client.CollectorRegistry:
    return prometheus_client.CollectorRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink(registry: prometheus_client.CollectorRegistry, clock: Clock) -> Sink:
    return a_sink(registry, clock)


def a_sink(registry: Any, clock: Clock, **over: Any) -> Sink:
    (sink,) = open_sinks([{"kind": "prometheus", **over}], Wiring(registry=registry, now=clock))
    return sink


def families(text: str) -> dict[str, Any]:
    found = {family.name: family for family in text_string_to_metric_families(text)}
    return {name: family for name, family in found.items() if not name.endswith("_created")}


def test_a_call_is_counted_by_the_names_that_dashboards_use(
    sink: Sink, registry: prometheus_client.CollectorRegistry
) -> None:
    sink.emit(a_record())
    value = registry.get_sample_value

    assert value("llm_tokens_total", USE | {"direction": "input"}) == 1200
    assert value("llm_tokens_total", USE | {"direction": "output"}) == 300
    assert value("llm_cost_dollars_total", USE) == 0.006
    assert value("llm_requests_total", USE | {"status": "ok"}) == 1
    assert value("llm_request_duration_seconds_count", CALL) == 1
    assert value("llm_request_duration_seconds_sum", CALL) == 0.42
    assert value("llm_cost_rate_per_hour", CALL) == 0.006


def test_the_metrics_and_their_kinds_are_these(
    sink: Sink, registry: prometheus_client.CollectorRegistry
) -> None:
    sink.emit(a_record())
    found = families(prometheus_client.generate_latest(registry).decode())

    assert {name: family.type for name, family in found.items()} == {
        "llm_tokens": "counter",
        "llm_cost_dollars": "counter",
        "llm_requests": "counter",
        "llm_unpriced_requests": "counter",
        "llm_cache_hits": "counter",
        "llm_request_duration_seconds": "histogram",
        "llm_cost_rate_per_hour": "gauge",
    }


def test_durations_fall_into_the_buckets_of_slow_calls(
    sink: Sink, registry: prometheus_client.CollectorRegistry
) -> None:
    for latency_ms in (500, 501, 60_000, 60_001):
        sink.emit(a_record(latency_ms=latency_ms))
    (family,) = [each for each in registry.collect() if each.type == "histogram"]
    buckets = {
        sample.labels["le"]: sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }

    assert buckets == {
        "0.5": 1,
        "1.0": 2,
        "2.0": 2,
        "5.0": 2,
        "10.0": 2,
        "30.0": 2,
        "60.0": 3,
        "+Inf": 4,
    }


def test_a_call_without_a_price_is_counted_and_shows_no_dollars(
    sink: Sink, registry: prometheus_client.CollectorRegistry
) -> None:
    sink.emit(a_record(cost_nano_usd=None))

    assert registry.get_sample_value("llm_unpriced_requests_total", USE) == 1
    assert registry.get_sample_value("llm_cost_dollars_total", USE) is None
    assert registry.get_sample_value("llm_cost_rate_per_hour", CALL) is None

    sink.emit(a_record())

    assert registry.get_sample_value("llm_cost_dollars_total", USE) == 0.006


@pytest.mark.parametrize("status", ["ok", "error", "cancelled"])
def test_calls_are_counted_by_how_they_ended(
    sink: Sink, registry: prometheus_client.CollectorRegistry, status: str
) -> None:
    sink.emit(a_record(status=status, latency_ms=None))

    assert registry.get_sample_value("llm_requests_total", USE | {"status": status}) == 1
    assert registry.get_sample_value("llm_request_duration_seconds_count", CALL) == 0


def test_cache_hits_are_counted(sink: Sink, registry: prometheus_client.CollectorRegistry) -> None:
    sink.emit(a_record(cached=True, cost_nano_usd=0))

    assert registry.get_sample_value("llm_cache_hits_total", USE) == 1


def test_the_hourly_rate_falls_when_nothing_is_spent(
    sink: Sink, registry: prometheus_client.CollectorRegistry, clock: Clock
) -> None:
    sink.emit(a_record())
    clock.at += timedelta(minutes=59)
    sink.emit(a_record())
    both = registry.get_sample_value("llm_cost_rate_per_hour", CALL)
    clock.at += timedelta(minutes=1)
    one = registry.get_sample_value("llm_cost_rate_per_hour", CALL)
    clock.at += timedelta(minutes=59)

    assert (both, one) == (0.012, 0.006)
    assert registry.get_sample_value("llm_cost_rate_per_hour", CALL) == 0


@given(
    st.lists(st.tuples(st.integers(min_value=0, max_value=100), st.integers(0, 10**12))),
)
def test_the_window_is_the_sum_of_its_sixty_minutes(spent: list[tuple[int, int]]) -> None:
    clock = Clock()
    window, minute, all_spent = SpendWindow(now=clock), 0, []
    for wait, nano in spent:
        clock.at += timedelta(minutes=wait)
        minute += wait
        window.add(nano)
        all_spent.append((minute, nano))

    assert window.nano_usd() == sum(nano for at, nano in all_spent if at > minute - 60)


def test_a_clock_that_is_set_back_loses_no_spending() -> None:
    clock = Clock()
    window = SpendWindow(now=clock)
    window.add(5)
    clock.at -= timedelta(minutes=30)
    window.add(7)

    assert window.nano_usd() == 12


def test_two_sinks_on_one_registry_count_together(
    sink: Sink, registry: prometheus_client.CollectorRegistry, clock: Clock
) -> None:
    sink.emit(a_record())
    a_sink(registry, clock).emit(a_record())

    assert registry.get_sample_value("llm_requests_total", USE | {"status": "ok"}) == 2


def test_past_the_limit_a_feature_is_other_and_no_call_is_lost(
    registry: prometheus_client.CollectorRegistry, clock: Clock
) -> None:
    sink = a_sink(registry, clock, max_label_sets=10)
    for number in range(1000):
        sink.emit(a_record(model=f"m-{number % 3}", attributes={"feature": f"f-{number}"}))
    requests = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "llm_requests_total" and sample.labels["status"] == "ok"
    ]

    assert sum(sample.value for sample in requests) == 1000
    assert len(requests) == 13
    assert {sample.labels["model"] for sample in requests} == {"m-0", "m-1", "m-2"}


def test_whatever_requests_bring_labels_are_bounded() -> None:
    labels = BoundedLabels(max_sets=10)
    found = {
        labels.of(a_record(model=f"m-{number}", attributes={"feature": f"f-{number}" * 100}))
        for number in range(1000)
    }

    assert len(found) == 21
    assert len(labels._known) == 10
    assert max(len(name) for each in found for name in each) <= 256
    assert max(len(name or "") for key in labels._known for name in key) <= 256


def test_a_known_feature_keeps_its_name_when_others_come() -> None:
    labels = BoundedLabels(max_sets=1)
    first = labels.of(a_record())
    labels.of(a_record(attributes={"feature": "new"}))

    assert labels.of(a_record()) is first
    assert first.feature == "search"


def in_workers(case: str, folder: Path) -> str:
    ran = subprocess.run(
        [sys.executable, prometheus_workers.__file__, case],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
            "PROMETHEUS_MULTIPROC_DIR": str(folder),
        },
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def shown(text: str, name: str, labels: dict[str, str]) -> list[float]:
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "metrics"
    folder.mkdir()
    return folder


def test_workers_count_together_in_multiprocess_mode(folder: Path) -> None:
    text = in_workers("workers", folder)

    assert shown(text, "llm_requests_total", USE | {"status": "ok"}) == [301]
    assert shown(text, "llm_tokens_total", USE | {"direction": "input"}) == [
        301 * USAGE.input_tokens
    ]
    assert shown(text, "llm_cost_dollars_total", USE) == pytest.approx([301 * 0.006])
    assert shown(text, "llm_request_duration_seconds_count", CALL) == [301]
    assert shown(text, "llm_request_duration_seconds_bucket", CALL | {"le": "0.5"}) == [301]


def test_a_worker_s_rate_has_nothing_of_its_master_s(folder: Path) -> None:
    text = in_workers("workers", folder)

    assert shown(text, "llm_cost_rate_per_hour", CALL) == pytest.approx([301 * 0.006])


def test_no_price_shows_no_dollars_in_multiprocess_mode(folder: Path) -> None:
    text = in_workers("unpriced", folder)

    assert shown(text, "llm_unpriced_requests_total", USE) == [1]
    assert "llm_cost" not in text


def test_the_rate_of_a_quiet_model_falls_in_multiprocess_mode(folder: Path) -> None:
    text = in_workers("an_hour_later", folder)

    assert shown(text, "llm_cost_rate_per_hour", CALL | {"model": "early"}) == [0]
    assert shown(text, "llm_cost_rate_per_hour", CALL | {"model": "late"}) == [0.006]


def test_a_worker_without_its_folder_breaks_no_call(folder: Path) -> None:
    accepted, told = in_workers("folder_gone", folder).splitlines()

    assert accepted == "5 5"
    assert told.startswith("True ")
