"""OpenTelemetry metrics of the calls, by the semantic conventions for generative AI.

``gen_ai.client.token.usage`` and ``gen_ai.client.operation.duration`` are the conventions' own.
They have none for money: ``spendfuse.client.cost`` and ``spendfuse.client.unpriced_calls`` are
ours. The conventions still move, so their names are pinned here rather than imported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry import metrics

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.direct import DirectSink, UndeliverableError
from spendfuse.metering.sinks.labels import BoundedLabels, Labels
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.wiring import Wiring
from spendfuse.money import NANO_PER_USD

MAX_LABEL_SETS = 400
"""Both directions, and twice as many where features are ``other``, stay below the 2,000 of the
SDK's own limit, above which it drops all attributes."""

TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 (a metric)
DURATION = "gen_ai.client.operation.duration"
COST = "spendfuse.client.cost"
UNPRICED = "spendfuse.client.unpriced_calls"

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 (an attribute)
ERROR_TYPE = "error.type"
FEATURE = "spendfuse.feature"
ENVIRONMENT = "spendfuse.environment"

PROVIDERS: Mapping[str, str] = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
}
"""The conventions' names of providers, where they differ from the price book's."""

TOKEN_BOUNDARIES = tuple(4**power for power in range(14))
SECOND_BOUNDARIES = tuple(0.01 * 2**power for power in range(14))
"""Both as the conventions advise."""
_MAX_ERROR_TYPES = 50
_OTHER_ERROR = "_OTHER"

Attributes = dict[str, str]


def open_sink(wiring: Wiring, *, max_label_sets: int = MAX_LABEL_SETS) -> Sink:
    provider = wiring.meter_provider or metrics.get_meter_provider()
    return OpenTelemetrySink(provider, max_label_sets=max_label_sets)


class _Sets(NamedTuple):
    """The attributes of one label set, made once."""

    call: Attributes
    input: Attributes
    output: Attributes


class OpenTelemetrySink(DirectSink):
    """Records into the instruments of the app's meter provider; a flush flushes its readers."""

    def __init__(self, provider: metrics.MeterProvider, *, max_label_sets: int) -> None:
        self._provider = provider
        self._labels = BoundedLabels(max_sets=max_label_sets)
        self._sets: dict[tuple[Labels, str], _Sets] = {}
        self._error_types: set[str] = set()
        meter = provider.get_meter("spendfuse")
        self._tokens = meter.create_histogram(
            TOKEN_USAGE,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BOUNDARIES,
        )
        self._seconds = meter.create_histogram(
            DURATION,
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECOND_BOUNDARIES,
        )
        self._cost = meter.create_counter(
            COST, unit="{USD}", description="Cost of LLM calls in US dollars."
        )
        self._unpriced = meter.create_counter(
            UNPRICED, unit="{call}", description="LLM calls whose cost is unknown, not zero."
        )
        super().__init__("opentelemetry", self._record)

    def flush(self, timeout_seconds: float) -> bool:
        until = time.monotonic() + timeout_seconds
        is_empty = super().flush(timeout_seconds)
        # The API has no flush; the SDK's provider does.
        force_flush: Any = getattr(self._provider, "force_flush", None)
        if force_flush is None:
            return is_empty
        try:
            left = max(1.0, (until - time.monotonic()) * 1000)
            return force_flush(timeout_millis=left) is not False and is_empty
        except Exception as error:  # noqa: BLE001 (an exporter of the app's own)
            self._note_failure(error)
            return False

    def _record(self, record: Record) -> None:
        sets = self._sets_of(record)
        usage = record.usage
        self._tokens.record(usage.input_tokens, sets.input)
        try:
            if usage.output_tokens:
                self._tokens.record(usage.output_tokens, sets.output)
            if record.cost_nano_usd is None:
                self._unpriced.add(1, sets.call)
            else:
                self._cost.add(record.cost_nano_usd / NANO_PER_USD, sets.call)
            if record.latency_ms is not None:
                self._seconds.record(record.latency_ms / 1000, self._with_error(record, sets.call))
        except Exception as error:
            raise UndeliverableError(f"recorded in part: {type(error).__name__}") from error

    def _sets_of(self, record: Record) -> _Sets:
        key = (self._labels.of(record), operation_name(record))
        sets = self._sets.get(key)
        if sets is None:
            (provider, model, feature, environment), operation = key
            call = {
                OPERATION_NAME: operation,
                PROVIDER_NAME: PROVIDERS.get(provider, provider),
                REQUEST_MODEL: model,
                FEATURE: feature,
                ENVIRONMENT: environment,
            }
            sets = _Sets(call, call | {TOKEN_TYPE: "input"}, call | {TOKEN_TYPE: "output"})
            self._sets[key] = sets
        return sets

    def _with_error(self, record: Record, call: Attributes) -> Attributes:
        if record.status == "ok":
            return call
        name = record.error_type or (_OTHER_ERROR if record.status == "error" else record.status)
        if name not in self._error_types:
            if len(self._error_types) >= _MAX_ERROR_TYPES:
                name = _OTHER_ERROR
            else:
                self._error_types.add(name)
        return call | {ERROR_TYPE: name}


def operation_name(record: Record) -> str:
    """Return the conventions' name of the operation: records don't carry it, models tell."""
    is_embedding = "embed" in record.model and not record.usage.output_tokens
    return "embeddings" if is_embedding else "chat"
