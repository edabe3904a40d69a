"""Tries a write again that met another one of the same row."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from spendfuse.errors import UnavailableError
from spendfuse.ledger.table import ConflictError

_ATTEMPTS = 8
_Answer = TypeVar("_Answer")


def past_conflicts(write: Callable[[], _Answer], sleep: Callable[[float], None]) -> _Answer:
    """Write, and while others are writing the same rows, wait and write again.

    Raises:
        UnavailableError: others did not let it through.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return write()
        except ConflictError:
            # Full jitter: writers that collided once should not collide again.
            sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311
    raise UnavailableError(f"the ledger refused {_ATTEMPTS} times; it is contended")
