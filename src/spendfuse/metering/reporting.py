"""How a call's usage reaches the meter that wraps it: a decorator, or the middleware.

The wrapper opens a collector; what the code inside reports is priced when the wrapper ends.
So a stream can report at its very end, when its usage is known.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple, Self, cast

from spendfuse.metering.attribution import (
    NOBODY,
    Attribution,
    Scalar,
    current_attribution,
    extended,
)
from spendfuse.metering.listening import tell
from spendfuse.metering.record import Status

logger = logging.getLogger(__name__)
MAX_REPORTS = 1000
"""Reports that wait at most: above it, something reports in a loop."""


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
    """What is reported while it is entered, in this task and in those that it starts."""

    # Not a dict for each: one is made in every request.
    __slots__ = ("_token", "tracker")

    def __init__(self, tracker: Any = None) -> None:
        super().__init__()
        self.tracker = tracker
        """Where the reports end up, as far as that is known."""

    def __enter__(self) -> Self:
        self._token = _collector.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _collector.reset(self._token)
        except ValueError:
            # Left in another context than entered, as an abandoned task is: nothing to undo.
            return

    def pass_on(self, reported: Reported) -> None:
        """Take what a meter inside has finished, for it has no tracker of its own."""
        self.append(reported)

    def counted(self, thing: object) -> None:
        """Hear that ``thing``, a response, its usage or an error, is counted already."""


class MeterReports(Reports, ABC):
    """The reports to one meter, each handed on once, from whatever thread.

    After ``close`` a late report is handed on at once: a task that outlives its request reports
    late, and so does a stream that the garbage collector closes.
    """

    __slots__ = ("_is_closed",)

    def __init__(self, tracker: Any = None) -> None:
        super().__init__(tracker)
        self._is_closed = False

    @abstractmethod
    def hand_on(self, reported: Reported) -> None:
        """Do with a report what the meter does; raises nothing."""

    def append(self, reported: Reported) -> None:
        for listener in reported.attribution.listeners:
            listener.expect()
        super().append(reported)
        # Of very many, the first ones don't wait for the end: they would only be in memory.
        if self._is_closed or len(self) >= MAX_REPORTS:
            self.drain()

    def drain(self) -> None:
        """Hand on what waits."""
        while self:
            try:
                # Two threads may drain at once: what one has taken, the other doesn't see.
                reported = self.pop(0)
            except IndexError:
                return
            self.hand_on(reported)
            tell(reported.attribution.listeners, None)

    def close(self) -> None:
        """Hand on what waits, and from now on whatever comes."""
        self._is_closed = True
        self.drain()


_collector: ContextVar[Reports | None] = ContextVar("spendfuse_reports", default=None)


def collecting() -> Reports:
    """Return a new collector, to be entered."""
    return Reports()


def reports_around() -> Reports | None:
    """Return the collector in force, if there is one."""
    return _collector.get()


def outlet(tracker: Any) -> Callable[[Reported], object] | None:
    """Return where a meter inside hands what it has finished; None if there is no place.

    That is the meter around, where it has the same tracker or ``tracker`` is None: the request
    around knows its user and its endpoint. Else it is ``tracker`` itself.
    """
    reports = _collector.get()
    if reports is not None and (tracker is None or tracker is reports.tracker):
        return reports.pass_on
    return None if tracker is None else cast("Callable[[Reported], object]", tracker.track_quietly)


def mark_counted(thing: object) -> None:
    """Tell the meter around this code that a response, its usage or an error is counted.

    So a decorated function that returns what a wrapped client has tracked counts it once.
    """
    reports = _collector.get()
    if reports is not None:
        reports.counted(thing)


@cache
def _warn_once() -> None:
    logger.warning(
        "usage of a call was reported, but no meter is around it to take it (logged once); put "
        "the middleware around the app, or @track_llm_cost on the function"
    )


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
        _warn_once()
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
