"""The meter: one call's usage becomes a priced record, and the record goes to the sinks.

It runs inside other people's requests. So it never waits, and the one error that it raises is the
unknown model, where you have not chosen otherwise; all else is counted, logged and recorded
without a price.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from spendfuse.clock import utc_now
from spendfuse.metering.attribution import (
    NOBODY,
    Attribution,
    Scalar,
    attribute_text,
    current_attribution,
    extended,
)
from spendfuse.metering.checks import check_parts, checked_limit
from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.listening import tell
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.pricing import Priced, cleaned, priced, whole_milliseconds
from spendfuse.metering.privacy import Pseudonyms
from spendfuse.metering.record import Record, RecordIds, Status
from spendfuse.metering.reporting import Reported
from spendfuse.metering.responses import read_response
from spendfuse.metering.said_once import SaidOnce
from spendfuse.metering.sinks.fan_out import FanOut
from spendfuse.metering.sinks.sink import Sink, SinkHealth
from spendfuse.metering.usage import UsageError
from spendfuse.money import display_usd

logger = logging.getLogger(__name__)

UnknownModels = Literal["raise", "unpriced"]
_MAX_REASONS = 100
"""Reasons of refusals that are remembered as logged: above it, no new one is."""


@dataclass(frozen=True, slots=True)
class TrackerHealth:
    """What a tracker has done since it was made."""

    tracked: int
    """Records that went to the sinks."""
    unpriced: int
    """Of them, those without a price: budgets don't see what they cost."""
    refused: int
    """Usage that could not be read. What is known of the call is recorded, unpriced."""
    sinks: Mapping[str, SinkHealth]


class CostTracker:
    """Prices calls and hands their records to the sinks; safe to share between threads.

    Args:
        sinks: where records go; ``metering.sinks.open_sinks`` makes them from a configuration.
        prices: the price book; by default the installed genai-prices with our overrides.
        unknown_models: "raise" an UnknownModelError from ``track``, or record them "unpriced".
        warn_above_usd: log a warning for every single call that costs more.
        pseudonyms: replaces user ids before anything leaves the process.
        attributes: hold for every call of this process, such as environment and team.
        now: the time, aware.

    Example:
        tracker = CostTracker(sinks=open_sinks([{"kind": "print"}]))
        tracker.track_usage("u1", "/chat", "gpt-4o", {"prompt_tokens": 9, "completion_tokens": 3})
    """

    def __init__(
        self,
        *,
        sinks: Sequence[Sink],
        prices: PriceBook | None = None,
        unknown_models: UnknownModels = "raise",
        warn_above_usd: Decimal | None = None,
        pseudonyms: Pseudonyms | None = None,
        attributes: Mapping[str, Scalar] | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        check_parts(sinks, prices, pseudonyms, attributes, unknown_models)
        self._warn_above = checked_limit(warn_above_usd)
        self._sinks = FanOut(sinks)
        # Now, and not in somebody's request: opening the book takes half a second.
        self._prices = prices or PriceBook.standard()
        self._raises = unknown_models == "raise"
        self._pseudonyms = pseudonyms
        self._base = extended(NOBODY, attributes or {})
        self._now = now
        self._ids = RecordIds()
        self._tracked = self._unpriced = self._refused = 0
        self._said_refused = SaidOnce(ignoring_numbers=True)
        self._said_unpriced = SaidOnce()
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    @property
    def prices(self) -> PriceBook:
        return self._prices

    def recorded_user(self, user_id: str) -> str:
        """Return what stands for a user in this tracker's records: the id, or its pseudonym."""
        return user_id if self._pseudonyms is None else self._pseudonyms.of(user_id)

    def track_usage(
        self,
        user_id: str,
        endpoint: str,
        model: str,
        usage: object,
        **options: Any,
    ) -> Record:
        """Record one call of a user at an endpoint; options as for ``track``."""
        return self.track(model, usage, user=user_id, endpoint=endpoint, **options)

    def track(
        self,
        model: str,
        usage: object,
        *,
        provider: str = "",
        at: datetime | None = None,
        latency_ms: int | None = None,
        status: Status = "ok",
        error_type: str | None = None,
        cached: bool = False,
        batch: bool = False,
        tier: str | None = None,
        **values: Scalar,
    ) -> Record:
        """Record one call, and return the record that went to the sinks.

        Args:
            model: as the provider names it.
            usage: a ``Usage``, a mapping of counts by their usual names, or a response's usage.
            provider: where the model's name alone does not tell.
            at: when the call was made; by default now.
            latency_ms: how long it took.
            status: ok, error or cancelled.
            error_type: the error's class.
            cached: answered from your own cache; it costs nothing.
            batch: through the provider's batch interface.
            tier: flex, priority or fast.
            **values: attributes (user, team, feature, …) and fields, over those in force.

        Raises:
            UnknownModelError: there is no such model, and ``unknown_models`` is "raise"; nothing
                was recorded.
        """
        attribution = current_attribution()
        if values:
            attribution = extended(attribution, values)
        reported = Reported(
            model,
            usage,
            provider,
            batch,
            tier,
            cached,
            latency_ms,
            status,
            error_type,
            attribution,
        )
        return self._track(reported, at, raises=self._raises)

    def track_response(
        self,
        response: object,
        *,
        provider: str = "",
        model: str = "",
        latency_ms: int | None = None,
        **options: Any,
    ) -> Record:
        """Record the call that gave this response: an SDK's object, or the dict it came from.

        ``model`` is for responses that don't name theirs, such as Bedrock's Converse. A response
        without usage that we know is recorded without a price. Options and errors as for
        ``track``.
        """
        try:
            read = read_response(response, provider=provider)
        except UsageError:
            return self.track(model, response, provider=provider, latency_ms=latency_ms, **options)
        return self.track(
            read.model or model,
            read.usage,
            provider=read.provider,
            latency_ms=latency_ms,
            batch=read.batch,
            tier=read.tier,
            **options,
        )

    def track_quietly(self, reported: Reported, /) -> Record | None:
        """Record what middleware, a decorator or a wrapper was told. Raises nothing.

        Unknown models are recorded as unpriced, whatever ``unknown_models`` says: the call has
        been paid for, and its answer must reach the user.
        """
        try:
            return self._track(reported, None, raises=False)
        except Exception:
            self.refuse("a report could not be recorded")
            logger.debug("the report that could not be recorded", exc_info=True)
            return None

    def refuse(self, reason: str, /) -> None:
        """Count input that could not be read, and log each reason once; raises nothing."""
        with self._lock:
            self._refused += 1
        if self._said_refused.is_new(reason):
            logger.warning("usage refused: %s (logged once, counted always)", reason)

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Deliver what waits, or put it on disk; return whether nothing is left in memory."""
        return self._sinks.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Flush, and let go of threads, files and connections."""
        self._sinks.close(timeout_seconds)

    def health(self) -> TrackerHealth:
        """Return what was tracked, and how the sinks are."""
        with self._lock:
            counts = (self._tracked, self._unpriced, self._refused)
        return TrackerHealth(*counts, self._sinks.health())

    def _track(self, reported: Reported, at: datetime | None, *, raises: bool) -> Record:
        reported = cleaned(reported)
        at = self._now() if at is None else at
        clock_problem = None
        if not isinstance(at, datetime) or at.tzinfo is None:
            # The record is worth more than its time: it is now, or was a moment ago.
            at, clock_problem = utc_now(), _NO_TIME
        call = priced(self._prices, reported, at, raises_unknown=raises)
        attributes, fields = self._attribution(reported.attribution)
        latency_ms, error_type = reported.latency_ms, reported.error_type
        record = Record(
            self._ids(),
            at,
            call.provider,
            attribute_text(reported.model) or "unknown",
            call.usage,
            call.nano_usd,
            attributes,
            fields,
            call.price_version,
            None if latency_ms is None else whole_milliseconds(latency_ms),
            reported.status,
            None if error_type is None else attribute_text(error_type),
            reported.cached,
            call.problem or clock_problem,
        )
        self._count(record, call)
        self._sinks.emit(record)
        if reported.attribution.listeners:
            tell(reported.attribution.listeners, record)
        return record

    def _count(self, record: Record, call: Priced) -> None:
        with self._lock:
            self._tracked += 1
            if call.nano_usd is None:
                self._unpriced += 1
        if record.problem is not None:
            self._complain(record, call)
        elif (
            self._warn_above is not None
            and call.nano_usd is not None
            and call.nano_usd > self._warn_above
        ):
            self._warn(record, call.nano_usd)

    def _complain(self, record: Record, call: Priced) -> None:
        problem = record.problem or ""
        if call.is_refused:
            self.refuse(problem)
        elif call.nano_usd is None and self._said_unpriced.is_new(f"{record.model} {problem}"):
            logger.warning(
                "recorded without a price: %s: %s (logged once)",
                f"{record.provider} {record.model}".strip(),
                problem,
            )
        elif call.nano_usd is not None and self._said_refused.is_new(problem):
            logger.warning("%s (logged once)", problem)

    def _attribution(
        self, attribution: Attribution
    ) -> tuple[Mapping[str, str], Mapping[str, Scalar]]:
        attributes: Mapping[str, str] = attribution.attributes
        fields = attribution.fields
        if self._base.attributes:
            attributes = {**self._base.attributes, **attributes}
        if self._base.fields:
            fields = {**self._base.fields, **fields}
        if self._pseudonyms is not None and "user" in attributes:
            attributes = {**attributes, "user": self.recorded_user(attributes["user"])}
        return attributes, fields

    def _warn(self, record: Record, nano: int) -> None:
        logger.warning(
            "one call cost %s, above %s: model %s, feature %s, %s tokens in, %s out (record %s)",
            display_usd(nano),
            display_usd(self._warn_above or 0),
            record.model,
            record.attributes.get("feature", "-"),
            record.usage.input_tokens,
            record.usage.output_tokens,
            record.id,
        )


_NO_TIME = "the time of a call is no aware datetime; it is recorded as of now"
