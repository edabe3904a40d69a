"""The stack's own monthly AWS bill, line by line: quantities of the model, at AWS's prices.

A line is either what requests cause, or what is there without any. The free tier is left out:
another part of the account may have used it up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from spendfuse import aws_prices, metrics
from spendfuse.aws_prices import Price
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.folds import fold_units, idle_units, series_folds, share_folds
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import SECONDS_A_MONTH, Workload
from spendfuse.upkeep.writes import Units, posting_units

_NANO = Decimal("0.000000001")
_GB = 10**9
_MILLION = 1_000_000
_VCPU_MB = 1769
"""The memory at which a function has one vCPU;
docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""
_POLLERS, _POLL_SECONDS = 5, 20
"""Lambda's long polls of a queue that is empty, where a maximum concurrency is set;
docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
_STREAM_POLLS_A_SECOND = 4
"""Of a DynamoDB stream's shard; docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"""
_MARKERS_KEPT_MONTHS = 35 / 30.4
_ALERTS_A_MONTH = 30
_QUARTERS_A_MONTH = SECONDS_A_MONTH // 900
_BEDROCK_METRICS = 4
"""Of each model: tokens in and out, read from the cache and written to it."""
_QUARTERLY_METRICS = 2
_MOST_USER_LINES, _USER_LINE_BYTES = 100, 330
"""In publish_gauges' log, of each fold of shares: what the dearest users spent."""
_METRICS_A_CALL = 1_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What is there whether or not anybody calls."""

    budgets: int
    """With a gauge: those without ``per``."""
    alarm_metrics: int
    composite_alarms: int
    dashboards: int
    emails: int
    secrets: int
    aws_budgets: int
    cost_anomaly_monitors: int
    asks_bedrock: bool = True
    """Whether Bedrock's own metrics are read, to see what nobody metered."""


@dataclass(frozen=True, slots=True)
class Line:
    service: str
    what: str
    quantity: Decimal
    price: Price
    by_requests: bool
    """Whether requests cause it; else it costs the same without any."""

    @property
    def usd(self) -> Decimal:
        """What it costs a month, to the nano-dollar."""
        return self.price.of(self.quantity).quantize(_NANO)


@dataclass(frozen=True, slots=True)
class Bill:
    """A month's."""

    requests: int
    lines: tuple[Line, ...]

    @property
    def monthly_usd(self) -> Decimal:
        return sum((line.usd for line in self.lines), Decimal(0))

    @property
    def by_requests_usd(self) -> Decimal:
        """What the month's requests cause."""
        return sum((line.usd for line in self.lines if line.by_requests), Decimal(0))

    @property
    def fixed_usd(self) -> Decimal:
        """What is paid without any request."""
        return self.monthly_usd - self.by_requests_usd

    @property
    def per_million_requests_usd(self) -> Decimal | None:
        """What a million requests cause, at this volume; None without requests."""
        if not self.requests:
            return None
        return (self.by_requests_usd * _MILLION / self.requests).quantize(_NANO)


def metric_count(budgets: int, models: int, features: int) -> int:
    """Return how many custom metrics are published: names by their dimensions."""
    flows = len(metrics.FLOWS) * (1 + models + features) + len(metrics.FLOWS_IN_ALL_ONLY)
    return budgets + len(metrics.GAUGES) + flows


def watch_units(budgets: int) -> Units:
    """Return what one look at so many budgets reads: the fuse, what was set, totals and rungs."""
    return Units(read=2 + 2 * budgets)


def gauge_units(budgets: int, measured: Measured) -> Units:
    """Return what one minute reads in which nothing waits: beside the logs, limits and totals."""
    return idle_units(measured) + Units(read=1 + budgets)


def monthly_bill(
    workload: Workload, standing: Standing, deployment: Deployment, measured: Measured
) -> Bill:
    """Return the bill of one month."""
    model = _Model(workload, standing, deployment, measured)
    lines = (*model.by_requests(), *model.standing())
    return Bill(workload.requests, tuple(line for line in lines if line.quantity))


@dataclass(frozen=True, slots=True)
class _Model:
    workload: Workload
    there: Standing
    deployment: Deployment
    measured: Measured

    def by_requests(self) -> Iterator[Line]:
        work, measured = self.workload, self.measured
        postings, wakings = work.postings, self._wakings()
        posted = posting_units(work, measured).times(postings)
        logged = self._log_bytes(measured.record_log_bytes) * postings
        logged += self._log_bytes(measured.watch_log_bytes) * wakings
        logged += min(_MOST_USER_LINES, work.users) * _USER_LINE_BYTES * self._share_folds()
        folded = fold_units(work, self.deployment, measured)
        watched = self._watch_units().times(wakings)
        record_ms, watch_ms = self._record_ms(), self._watch_ms()
        yield _line("usage queue: send, receive, delete", self._queue_requests(), _SQS)
        yield _line("record_usage: invocations", postings, aws_prices.LAMBDA_REQUEST)
        yield _line(
            "record_usage: time", self._gb_seconds(postings, record_ms), aws_prices.LAMBDA_GB_SECOND
        )
        yield _line("ledger: packs counted", posted.written, aws_prices.DYNAMODB_WRITE)
        yield _line("ledger: plans read", posted.read, aws_prices.DYNAMODB_READ)
        yield _line("ledger: logs folded", folded.written, aws_prices.DYNAMODB_WRITE)
        yield _line("ledger: logs read", folded.read, aws_prices.DYNAMODB_READ)
        yield _line("watch_budgets: woken by the stream", wakings, aws_prices.LAMBDA_REQUEST)
        yield _line(
            "watch_budgets: time", self._gb_seconds(wakings, watch_ms), aws_prices.LAMBDA_GB_SECOND
        )
        yield _line("watch_budgets: totals and rungs read", watched.read, aws_prices.DYNAMODB_READ)
        yield _line(
            "metrics published, a fold each",
            series_folds(work, self.deployment) * self._calls(),
            aws_prices.METRIC_REQUEST,
        )
        yield _line("logs of these, and of users' spend", _gb(logged), aws_prices.LOGS_INGESTED)
        yield _line("logs kept a month", _gb(logged), aws_prices.LOGS_STORED)
        stored = _gb(self._stored_bytes())
        yield _line("ledger: markers and books kept", stored, aws_prices.DYNAMODB_STORAGE)
        yield _line("ledger: point-in-time recovery", stored, aws_prices.DYNAMODB_RECOVERY)

    def standing(self) -> Iterator[Line]:
        there = self.there
        runs = SECONDS_A_MONTH // self.deployment.schedule_seconds
        published = self._metrics()
        asked = _QUARTERS_A_MONTH * int(there.asks_bedrock)
        watched, gauged = (
            self._watch_units(),
            gauge_units(self.workload.counted.totals, self.measured),
        )
        logged = _gb(
            (
                self._log_bytes(self.measured.watch_log_bytes)
                + self._log_bytes(self.measured.gauges_log_bytes)
            )
            * runs
        )
        busy = self._gb_seconds(runs, self._watch_ms() + self._gauges_ms())
        polls = SECONDS_A_MONTH // _POLL_SECONDS * _POLLERS * self.deployment.polled_queues
        for line in (
            ("custom metrics", published, aws_prices.METRIC),
            (
                "gauges published each minute",
                runs + _QUARTERS_A_MONTH * _QUARTERLY_METRICS,
                aws_prices.METRIC_REQUEST,
            ),
            ("Bedrock's metrics found", asked, aws_prices.LIST_METRICS),
            (
                "Bedrock's metrics read",
                asked * _BEDROCK_METRICS * self.workload.models,
                aws_prices.METRIC_READ,
            ),
            ("metrics in alarms", there.alarm_metrics, aws_prices.ALARM_METRIC),
            ("composite alarms", there.composite_alarms, aws_prices.COMPOSITE_ALARM),
            ("dashboards", there.dashboards, aws_prices.DASHBOARD),
            ("watch_budgets, publish_gauges: each minute", 2 * runs, aws_prices.LAMBDA_REQUEST),
            ("watch_budgets, publish_gauges: time", busy, aws_prices.LAMBDA_GB_SECOND),
            ("their logs", logged, aws_prices.LOGS_INGESTED),
            ("their logs kept a month", logged, aws_prices.LOGS_STORED),
            ("the schedules' runs", 2 * runs, aws_prices.SCHEDULE_RUN),
            (
                "ledger: totals, rungs and logs looked at",
                (watched.read + gauged.read) * runs,
                aws_prices.DYNAMODB_READ,
            ),
            ("empty queues polled by Lambda", polls, _SQS),
            ("key of the topics", 1, aws_prices.KMS_KEY),
            ("alerts published", 2 * _ALERTS_A_MONTH, aws_prices.SNS_PUBLISH),
            ("alerts mailed", _ALERTS_A_MONTH * there.emails, aws_prices.SNS_EMAIL),
            ("alerts encrypted", 6 * _ALERTS_A_MONTH, aws_prices.KMS_REQUEST),
            ("Slack webhook", there.secrets, aws_prices.SECRET),
            ("AWS budgets", there.aws_budgets, aws_prices.AWS_BUDGET),
            ("monitors", there.cost_anomaly_monitors, aws_prices.COST_ANOMALY_MONITOR),
        ):
            yield _line(*line, by_requests=False)

    def _metrics(self) -> int:
        return metric_count(self.there.budgets, self.workload.models, self.workload.features)

    def _calls(self) -> int:
        """Return how many calls of PutMetricData a minute's flows take."""
        return math.ceil(self._metrics() / _METRICS_A_CALL)

    def _share_folds(self) -> int:
        return share_folds(self.workload, self.deployment)

    def _queue_requests(self) -> int:
        work, measured = self.workload, self.measured
        if not work.packs:
            return 0
        size = measured.pack_frame_bytes + work.records_per_pack * measured.record_bytes
        chunks = math.ceil(size / aws_prices.SQS_CHUNK_BYTES)
        return work.packs * 2 * chunks + work.postings

    def _wakings(self) -> int:
        """Return how often the stream wakes watch_budgets: once a posting, unless they crowd."""
        return min(self.workload.postings, _STREAM_POLLS_A_SECOND * SECONDS_A_MONTH)

    def _watch_units(self) -> Units:
        return watch_units(self.workload.counted.totals)

    def _record_ms(self) -> float:
        work, measured = self.workload, self.measured
        records = work.records_per_pack * work.packs_per_posting
        ours = measured.recording_ms + records * measured.record_ms
        return self._on_its_share(ours) + measured.transaction_ms

    def _watch_ms(self) -> float:
        calls = self._watch_units().read
        return self._on_its_share(self.measured.watching_ms) + calls * self.measured.round_trip_ms

    def _gauges_ms(self) -> float:
        ours = self._on_its_share(self.measured.gauging_ms)
        return ours + 8 * self.measured.round_trip_ms

    def _on_its_share(self, milliseconds: float) -> float:
        """Return how long a vCPU's work takes in a function of this memory."""
        return milliseconds * max(1.0, _VCPU_MB / self.deployment.memory_mb)

    def _gb_seconds(self, count: int, milliseconds: float) -> Decimal:
        seconds = Decimal(count) * math.ceil(milliseconds) / 1000
        return seconds * self.deployment.memory_mb / 1024

    def _log_bytes(self, ours: int) -> int:
        return ours + self.measured.platform_log_bytes

    def _stored_bytes(self) -> int:
        work, measured = self.workload, self.measured
        markers = int(work.packs * measured.marker_bytes * _MARKERS_KEPT_MONTHS)
        books = int(work.users * measured.book_share_bytes * work.counted.totals)
        return markers + books if work.requests else 0


_SQS = aws_prices.SQS_REQUEST


def _line(what: str, quantity: Decimal | int, price: Price, *, by_requests: bool = True) -> Line:
    return Line(price.service, what, Decimal(quantity), price, by_requests)


def _gb(size: int) -> Decimal:
    return Decimal(size) / _GB
