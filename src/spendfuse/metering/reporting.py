"""How a call's usage reaches the meter that wraps it: a decorator, or the middleware.

The wrapper opens a collector; what the code inside reports is priced when the wrapper ends.
So a stream can report at its very end, when its usage is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
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


class Reports(list[Reported]):
    """What was reported to one meter; each report is handed on once, from whatever thread.

    After ``close`` a late report is handed on at once: a task that outlives its request reports
    late, and so does a stream that the garbage collector closes.

    Args:
        hand_on: What the meter does with a report; it raises nothing.
        pass_on: Takes the finished reports of meters inside that have no tracker of their own.
        tracker: Where the reports end up, as far as that is known.
    """

    __slots__ = ("_closed", "_hand_on", "_pass_on", "tracker")

    def __init__(
        self,
        hand_on: Callable[[Reported], object] | None = None,
        *,
        pass_on: Callable[[Reported], object] | None = None,
        tracker: object = None,
    ) -> None:
        self._closed = False
        self._hand_on = hand_on
        self._pass_on = pass_on
        self.tracker = tracker

    def append(self, reported: Reported) -> None:
        super().append(reported)
        if self._closed:
            self.drain()

    def pass_on(self, reported: Reported) -> None:
        """Take what a meter inside has finished."""
        (self._pass_on or self.append)(reported)

    def counted(self, thing: object) -> None:
        """Hear from a meter inside that ``thing``, a result or an error, is counted already."""

    def drain(self) -> None:
        """Hand on what waits."""
        while self and self._hand_on is not None:
            try:
                # Two threads may drain at once: what one has taken, the other doesn't see.
                reported = self.pop(0)
            except IndexError:
                return
            self._hand_on(reported)

    def close(self) -> None:
        """Hand on what waits, and from now on whatever comes."""
        self._closed = True
        self.drain()


_collector: ContextVar[Reports | None] = ContextVar("spendfuse_reports", default=None)


class collecting:  # noqa: N801 (a function to its users; as a generator it would cost 1 µs more)
    """Collect what is reported inside, in this task and in those that it starts."""

    __slots__ = ("_reports", "_token")

    def __init__(self, reports: Reports | None = None) -> None:
        self._reports = Reports() if reports is None else reports

    def __enter__(self) -> Reports:
        self._token = _collector.set(self._reports)
        return self._reports

    def __exit__(self, *_: object) -> None:
        try:
            _collector.reset(self._token)
        except ValueError:
            # Left in another context than entered, as an abandoned stream is: nothing to undo.
            return


def reports_around() -> Reports | None:
    """Return the collector in force, if there is one."""
    return _collector.get()


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
