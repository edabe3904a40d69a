"""Metering from OpenTelemetry spans: whatever instruments the app's LLM calls, meters them.

Only finished spans that are recorded arrive here. A sampler that drops spans drops their cost:
sample with RECORD_ONLY, or at the exporter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext
from opentelemetry.trace.status import StatusCode

from spendfuse.metering.attribution import NOBODY, Attribution, current_attribution, extended
from spendfuse.metering.integrations.genai_spans import Attributes, span_call, span_role
from spendfuse.metering.integrations.meter import Meter, checked_meter
from spendfuse.metering.integrations.recent import Recent
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import Reported
from spendfuse.metering.usage import NOTHING_USED, UsageError

ATTRIBUTES: Mapping[str, str] = {
    "enduser.id": "user",
    "langfuse.user.id": "user",
    "traceloop.association.properties.user_id": "user",
    "user.id": "user",
    "gen_ai.conversation.id": "session",
    "session.id": "session",
    "deployment.environment": "environment",
    "deployment.environment.name": "environment",
}
"""Which attributes of a span, or else of its resource, become which of ours; later ones win."""
_Span = tuple[int, int]


class GenAiSpanProcessor(SpanProcessor):
    """Tracks a call for each finished LLM span.

    Spans that repeat a call are left out: agents, chains and tools; a span around one of the same
    family that was counted already; one with a response id that was. What ``attributed()``
    says where the span starts holds; the span's own attributes go on top.

    Args:
        tracker: Where the calls go.
        attributes: Added to ``ATTRIBUTES``; an empty text switches one off.
        cached_beside: Names of instrumentation scopes that report cached tokens beside the
            input although the convention puts them inside; most are recognised without.

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> provider = TracerProvider()
        >>> provider.add_span_processor(GenAiSpanProcessor(tracker))  # doctest: +SKIP
    """

    def __init__(
        self,
        tracker: Meter,
        *,
        attributes: Mapping[str, str] | None = None,
        cached_beside: frozenset[str] = frozenset(),
    ) -> None:
        self._tracker = checked_meter(tracker)
        self._names = {k: v for k, v in {**ATTRIBUTES, **(attributes or {})}.items() if v}
        self._cached_beside = cached_beside
        self._started: Recent[_Span, Attribution] = Recent()
        self._counted_below: Recent[_Span, frozenset[str]] = Recent()
        self._responses: Recent[str, str] = Recent()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        attribution = current_attribution()
        context = span.get_span_context()
        if attribution is not NOBODY and context is not None:
            self._started.put((context.trace_id, context.span_id), attribution)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            self._ended(span)
        except UsageError:
            self._tracker.refuse("a span with token counts that can't be")
        except Exception as error:  # noqa: BLE001 (the app's span must end whatever it holds)
            self._tracker.refuse(f"a span that can't be read: {type(error).__name__}")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Return True: a span is tracked when it ends; the tracker has its own ``flush``."""
        return True

    def _ended(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None:
            return
        key = (context.trace_id, context.span_id)
        attribution = self._started.pop(key, NOBODY)
        below = self._counted_below.pop(key, frozenset())
        attributes = _plain(span.attributes)
        role = span_role(attributes)
        is_call = role in ("inference", "embeddings") and role not in below
        if is_call and self._is_counted(span, attributes, attribution):
            below |= {role}
        # What a tool calls is never part of the usage of the call that asked for the tool.
        if below and role != "tool" and _ends_here(span.parent):
            parent = span.parent.span_id
            known = self._counted_below.pop((key[0], parent), frozenset())
            self._counted_below.put((key[0], parent), known | below)

    def _is_counted(
        self, span: ReadableSpan, attributes: Attributes, attribution: Attribution
    ) -> bool:
        """Track the call, and return whether it is known now."""
        scope = span.instrumentation_scope
        beside = True if scope is not None and scope.name in self._cached_beside else None
        call = span_call(attributes, cached_beside=beside)
        failed = span.status.status_code is StatusCode.ERROR
        if call.usage is None and not failed:
            self._tracker.refuse("an LLM span without token counts")
            return False
        known = call.response_id and self._responses.swap(call.response_id, "counted", "")
        if not known:
            values = self._values(attributes, _plain(span.resource.attributes))
            status: Status = "error" if failed else "ok"
            reported = Reported(
                call.model,
                NOTHING_USED if call.usage is None else call.usage,
                provider=call.provider,
                tier=call.tier,
                latency_ms=_milliseconds(span),
                status=status,
                error_type=_error_type(span, attributes) if failed else None,
                attribution=extended(attribution, values) if values else attribution,
            )
            self._tracker.track_quietly(reported)
        return True

    def _values(self, attributes: Attributes, shared: Attributes) -> dict[str, str]:
        found = {}
        for theirs, ours in self._names.items():
            value = attributes.get(theirs, shared.get(theirs))
            if value is not None:
                found[ours] = str(value)
        return found


def _plain(attributes: Any) -> Attributes:
    """Return a dict: each look at the SDK's own mapping costs half a microsecond."""
    copy = getattr(attributes, "copy", None)
    return copy() if copy is not None else dict(attributes or {})


def _ends_here(parent: SpanContext | None) -> TypeGuard[SpanContext]:
    """Return whether the parent is a span of this process."""
    return parent is not None and not parent.is_remote


def _milliseconds(span: ReadableSpan) -> int | None:
    if span.start_time is None or span.end_time is None:
        return None
    return max(0, span.end_time - span.start_time) // 1_000_000


def _error_type(span: ReadableSpan, attributes: Attributes) -> str:
    """Return the error's class; never the status' description, which may hold a prompt."""
    given = attributes.get("error.type")
    if given:
        return str(given)
    for event in span.events:
        named = (event.attributes or {}).get("exception.type")
        if named:
            return str(named).rpartition(".")[2]
    return "error"
