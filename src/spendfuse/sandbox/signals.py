"""Ctrl-C and TERM end a command like any error does: what it started is stopped first."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_BY_SIGNAL = 128


class _EndedError(SystemExit):
    """A signal came; its exit code is the shell's for it."""

    def __init__(self, number: int) -> None:
        super().__init__(_EXIT_BY_SIGNAL + number)
        self.name = signal.Signals(number).name


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn signals into an exit, so that every ``finally`` runs, and say so afterwards."""
    before = {number: signal.signal(number, _leave) for number in _SIGNALS}
    try:
        yield
    except _EndedError as ended:
        print(f"\nStopped by {ended.name}; nothing is left running.", file=sys.stderr)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not break off the tidying up.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise _EndedError(number)
