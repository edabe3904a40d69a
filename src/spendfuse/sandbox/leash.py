"""Run a command that can't outlive whoever started it: ``python -m ...leash CMD...``.

The command leads a process group of its own. The group ends when the command does, when
the leash is signalled, and when the leash's stdin reaches its end: a parent that was killed
outright can't clean up, but the kernel closes its side of the pipe.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 8.0
"""What the command gets between TERM and KILL."""
ENDED_BY_LEASH = 128 + signal.SIGTERM
WITHOUT_LIFELINE = "--without-lifeline"
"""First argument of a leash that is to outlive its parent: only signals end it."""
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def leashed(command: Sequence[str | Path], *, lifeline: bool = True) -> list[str]:
    """Return the command line that runs ``command`` on a leash."""
    options = [] if lifeline else [WITHOUT_LIFELINE]
    return [sys.executable, "-m", "spendfuse.sandbox.leash", *options, *map(str, command)]


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code, or 143 when the leash ended it."""
    lifeline = not arguments or arguments[0] != WITHOUT_LIFELINE
    command = list(arguments if lifeline else arguments[1:])
    if not command:
        sys.stderr.write("usage: leash [--without-lifeline] CMD...\n")
        return 2
    wake = _wake_on_signals()
    # Its stdin is a pipe from us: should the leash itself be killed, a command that watches
    # its stdin still learns of it.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
    try:
        ended_by_itself = _wait(child, wake, lifeline=lifeline)
        if not ended_by_itself:
            _terminate(child)
    finally:
        _kill_group(child.pid)
    code = child.wait()
    return (code if code >= 0 else 128 - code) if ended_by_itself else ENDED_BY_LEASH


def _wake_on_signals() -> int:
    """Return a descriptor that gives one byte, its number, for each signal that arrives."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*_ENDING_SIGNALS, signal.SIGCHLD):
        signal.signal(number, _arrives_through_the_pipe)
    return reader


def _arrives_through_the_pipe(_number: int, _frame: FrameType | None) -> None:
    """Without a handler of its own a signal would not reach the pipe."""


def _wait(child: subprocess.Popen[bytes], wake: int, *, lifeline: bool) -> bool:
    """Return True when the command ended by itself, False when it is to be ended."""
    watched = [wake, sys.stdin.fileno()] if lifeline else [wake]
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [])
        if wake in readable and set(os.read(wake, 64)) & {int(each) for each in _ENDING_SIGNALS}:
            return False
        if lifeline and watched[1] in readable and not os.read(watched[1], 4096):
            return False
    return True


def _terminate(child: subprocess.Popen[bytes]) -> None:
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)


def _kill_group(group: int) -> None:
    """End what is left of the group; a command that has gone may have left children."""
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    # An empty group has nothing to end; macOS says EPERM when only zombies are left in it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
