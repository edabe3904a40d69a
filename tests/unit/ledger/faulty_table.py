"""A table at whose n-th call something happens: before it takes effect, or after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unit.ledger.memory_table import MemoryTable

from spendfuse.errors import UnavailableError


class CrashError(Exception):
    """The process is gone, and with it all that it knew."""


@dataclass
class FaultyTable:
    """Passes calls on to ``table``; what happens at the call ``at`` is up to the test."""

    table: MemoryTable
    at: int
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None
    calls: int = 0
    is_gone: bool = False
    """A process that crashed calls nothing any more, not even to clean up behind itself."""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **request: Any) -> Any:
            if self.is_gone:
                raise CrashError
            number, self.calls = self.calls, self.calls + 1
            try:
                if number == self.at:
                    self.before()
                answer = getattr(self.table, name)(*args, **request)
                # A query is one call; it is read when it is made.
                answer = iter(list(answer)) if name == "query" else answer
                if number == self.at:
                    self.after()
            except CrashError:
                self.is_gone = True
                raise
            return answer

        return call


def fail(error: Exception) -> Callable[[], None]:
    def failing() -> None:
        raise error

    return failing


CRASH = fail(CrashError())
LOST_ANSWER = fail(UnavailableError("no answer"))
