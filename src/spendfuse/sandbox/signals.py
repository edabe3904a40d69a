"""Ctrl-C and TERM end a command like any error does: what it started is stopped first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_EXIT_BY_SIGNAL = 128


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``SystemExit``, so that every ``finally`` runs."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(_EXIT_BY_SIGNAL + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
