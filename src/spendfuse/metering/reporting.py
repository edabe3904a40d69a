"""How a call's usage reaches the meter that wraps it: a decorator, or the middleware.

The wrapper opens a collector; what the code inside reports is priced when the wrapper ends.
So a stream can report at its very end, when its usage is known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from spendfuse.metering.attribution import (
    NOBODY,
    Attribution,
    Scalar,
    current_attribution,
    extended,
)
from spendfuse.metering.record import Status

logger = logging.getLogger(__name__)
MAX_REPORTS = 1000
"""Calls that one request may report: above it, something reports in a loop."""


class Reported(NamedTuple):
    """Usage as it was reported, not yet read or priced."""

    model: str
    usage: object
    """A ``Usage``, a mapping of counts, or a raw response's usage."""
    provider: str = ""
    batch: bool = False
    tier: str | None = None
    cached: bool = False
    latency_ms: int | None = None
    status: Status = "ok"
    error_type: str | None = None
    attribution: Attribution = NOBODY


_collector: ContextVar[list[Reported] | None] = ContextVar("spendfuse_reports", default=None)


@contextmanager
def collecting() -> Iterator[list[Reported]]:
    """Collect what is reported inside, in this task and in those that it starts."""
    reports: list[Reported] = []
    token = _collector.set(reports)
    try:
        yield reports
    finally:
        _collector.reset(token)


def report_usage(
    model: str,
    usage: object,
    *,
    provider: str = "",
    batch: bool = False,
    tier: str | None = None,
    cached: bool = False,
    latency_ms: int | None = None,
    status: Status = "ok",
    error_type: str | None = None,
    **values: Scalar,
) -> bool:
    """Report one LLM call to the decorator or middleware around this code.

    Returns whether somebody took it: False outside of both, or after 1000 reports in one
    request. Nothing is raised; a usage that can't be read is counted by the meter.
    """
    reports = _collector.get()
    if reports is None or len(reports) >= MAX_REPORTS:
        logger.warning("usage of a call was reported, but no meter is around it to take it")
        return False
    attribution = current_attribution()
    if values:
        attribution = extended(attribution, values)
    reports.append(
        Reported(
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
    )
    return True
