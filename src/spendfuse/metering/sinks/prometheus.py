"""Prometheus metrics of the calls: tokens, dollars, seconds, errors; by provider, model, feature.

There is no user label: each user would be a series for ever. Label sets are bounded as well.

In multiprocess mode (PROMETHEUS_MULTIPROC_DIR) each process writes its own file, and the scrape
adds them up. ``llm_cost_rate_per_hour`` is then written with each call and once a minute, so a
process that makes no more calls keeps its last value until it ends; let the server's
``child_exit`` hook call ``prometheus_client.multiprocess.mark_process_dead``.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from datetime import datetime
from threading import RLock
from typing import NamedTuple, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.record import Record, Status
from spendfuse.metering.sinks.direct import DirectSink, UndeliverableError
from spendfuse.metering.sinks.labels import MAX_LABEL_SETS, BoundedLabels, Labels
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.spend_window import SpendWindow
from spendfuse.metering.sinks.wiring import Wiring
from spendfuse.money import NANO_PER_USD

BUCKETS_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
STATUSES: tuple[str, ...] = get_args(Status)
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


def open_sink(wiring: Wiring, *, max_label_sets: int = MAX_LABEL_SETS) -> Sink:
    registry = prometheus_client.REGISTRY if wiring.registry is None else wiring.registry
    return prometheus_sink(registry, max_label_sets=max_label_sets, now=wiring.now)


def prometheus_sink(
    registry: CollectorRegistry, *, max_label_sets: int, now: Callable[[], datetime]
) -> Sink:
    """Return a sink that counts into ``registry``; two sinks on one registry share its metrics."""
    metrics = _opened.get(registry)
    if metrics is None:
        metrics = _opened[registry] = Metrics(registry, max_label_sets=max_label_sets, now=now)
    return DirectSink("prometheus", metrics.count)


Count = Callable[[float], None]


class _Rate(NamedTuple):
    window: SpendWindow
    gauge: Gauge

    def write(self) -> None:
        self.gauge.set(self.window.nano_usd() / NANO_PER_USD)


class _Series:
    """The children of one label set: looked up once, then incremented."""

    __slots__ = ("cache_hits", "cost", "ended", "input", "output", "rate", "seconds", "unpriced")

    def __init__(self, metrics: Metrics, provider: str, model: str, feature: str) -> None:
        use = (provider, model, feature)
        self.input: Count = metrics.tokens.labels(provider, model, "input", feature).inc
        self.output: Count = metrics.tokens.labels(provider, model, "output", feature).inc
        self.unpriced: Count = metrics.unpriced.labels(*use).inc
        self.cache_hits: Count = metrics.cache_hits.labels(*use).inc
        self.seconds: Count = metrics.seconds.labels(provider, model).observe
        self.ended: dict[str, Count] = {
            status: metrics.requests.labels(*use, status).inc for status in STATUSES
        }
        # Not before there is a cost: what has no price must not be shown as $0.
        self.cost: Count | None = None
        self.rate: _Rate | None = None


class Metrics:
    """The metrics in one registry."""

    def __init__(
        self, registry: CollectorRegistry, *, max_label_sets: int, now: Callable[[], datetime]
    ) -> None:
        self._now = now
        self._is_multiprocess = _MULTIPROCESS in os.environ
        self._labels = BoundedLabels(max_sets=max_label_sets)
        self._series: dict[Labels, _Series] = {}
        self._rates: dict[tuple[str, str], _Rate] = {}
        self._declare(registry)
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        self._adding = RLock()
        self._rates_of_minute = 0
        for rate in self._rates.values():
            rate.window.begin_anew()

    def _declare(self, registry: CollectorRegistry) -> None:
        call = ["provider", "model"]
        use = [*call, "feature"]
        self.tokens = Counter(
            "llm_tokens_total",
            "Tokens of LLM calls; cached ones are part of the input, reasoning of the output.",
            [*call, "direction", "feature"],
            registry=registry,
        )
        self.cost = Counter(
            "llm_cost_dollars_total",
            "Cost of LLM calls in US dollars; calls without a price are in llm_unpriced_requests.",
            use,
            registry=registry,
        )
        self.requests = Counter(
            "llm_requests_total",
            "LLM calls, by how they ended.",
            [*use, "status"],
            registry=registry,
        )
        self.unpriced = Counter(
            "llm_unpriced_requests_total",
            "LLM calls for which there was no price: their cost is unknown, not zero.",
            use,
            registry=registry,
        )
        self.cache_hits = Counter(
            "llm_cache_hits_total",
            "LLM calls that the app answered from its own cache.",
            use,
            registry=registry,
        )
        self.seconds = Histogram(
            "llm_request_duration_seconds",
            "How long LLM calls took.",
            call,
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self.rates = Gauge(
            "llm_cost_rate_per_hour",
            "US dollars that LLM calls cost in the last 60 minutes.",
            call,
            registry=registry,
            multiprocess_mode="livesum",
        )

    def count(self, record: Record) -> None:
        """Count a call.

        Raises:
            UndeliverableError: it was counted in part; counting it again would double that part.
            OSError: nothing was counted: the directory of multiprocess mode is gone.
        """
        labels = self._labels.of(record)
        series = self._series.get(labels)
        if series is None or (series.cost is None and record.cost_nano_usd is not None):
            series = self._extended(labels, record)
        series.input(record.usage.input_tokens)
        try:
            self._count_rest(record, series)
        except Exception as error:
            raise UndeliverableError(f"counted in part: {type(error).__name__}") from error

    def _count_rest(self, record: Record, series: _Series) -> None:
        series.output(record.usage.output_tokens)
        nano = record.cost_nano_usd
        if nano is None:
            series.unpriced(1)
        elif series.cost is not None and series.rate is not None:
            series.cost(nano / NANO_PER_USD)
            series.rate.window.add(nano)
            if self._is_multiprocess:
                self._write_rates(series.rate)
        if record.cached:
            series.cache_hits(1)
        if record.latency_ms is not None:
            series.seconds(record.latency_ms / 1000)
        series.ended[record.status](1)

    def _extended(self, labels: Labels, record: Record) -> _Series:
        provider, model, feature, _ = labels
        with self._adding:
            series = self._series.get(labels) or _Series(self, provider, model, feature)
            if series.cost is None and record.cost_nano_usd is not None:
                series.rate = self._rate(provider, model)
                series.cost = self.cost.labels(provider, model, feature).inc
            return self._series.setdefault(labels, series)

    def _rate(self, provider: str, model: str) -> _Rate:
        if (provider, model) not in self._rates:
            window, gauge = SpendWindow(now=self._now), self.rates.labels(provider, model)
            if not self._is_multiprocess:
                # Asked for at the scrape, so that it falls again when nothing is spent.
                gauge.set_function(lambda: window.nano_usd() / NANO_PER_USD)
            self._rates[provider, model] = _Rate(window, gauge)
        return self._rates[provider, model]

    def _write_rates(self, changed: _Rate) -> None:
        minute = int(self._now().timestamp()) // 60
        if minute == self._rates_of_minute:
            changed.write()
            return
        self._rates_of_minute = minute
        for rate in list(self._rates.values()):
            rate.write()


_opened: weakref.WeakKeyDictionary[CollectorRegistry, Metrics] = weakref.WeakKeyDictionary()
"""A registry takes each name once, so what it has is used again."""
