"""A Lambda function's process is frozen when its handler returns: what waits must go before."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_RESERVE_SECONDS = 0.5
"""Left to the function for its answer."""


class Flushable(Protocol):
    """A tracker or a sink."""

    def flush(self, timeout_seconds: float) -> bool: ...


def flush_after(
    handler: Callable[[Any, Any], Result], metering: Flushable, *, timeout_seconds: float = 2.0
) -> Callable[[Any, Any], Result]:
    """Return ``handler``, flushing after each call, before the process is frozen.

    The flush takes as long as the queue needs, ``timeout_seconds`` at most, and less where the
    function would otherwise run out of time. What it did not manage goes with the next call,
    which may come late or never: give the sink a spill folder in ``/tmp``. An error of the
    handler is raised as it was; a failing flush never breaks the call.

    Args:
        handler: the function's own, taking an event and Lambda's context.
        metering: the tracker, or one sink.
        timeout_seconds: how much later the caller may get its answer, at worst.
    """

    @functools.wraps(handler)
    def wrapped(event: Any, context: Any) -> Result:
        try:
            return handler(event, context)
        finally:
            _flush(metering, timeout_seconds, context)

    return wrapped


def _flush(metering: Flushable, timeout_seconds: float, context: Any) -> None:
    try:
        seconds = min(timeout_seconds, _seconds_left(context))
        if not metering.flush(seconds):
            logger.warning("not all usage was flushed in %.1f seconds", seconds)
    except Exception:
        logger.exception("usage could not be flushed")


def _seconds_left(context: Any) -> float:
    """Return how long a flush may take; for ever where the context can't tell."""
    try:
        seconds = float(context.get_remaining_time_in_millis()) / 1000
    except Exception:  # noqa: BLE001 (tests and other hosts hand in all kinds of contexts)
        return math.inf
    return max(0.0, seconds - _RESERVE_SECONDS)
