"""May this call happen? Budgets that are checked before the money is spent.

The names that apps use. Vendors are loaded by the file named for them, when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spendfuse.guard.decorator import guarded
from spendfuse.guard.errors import (
    BudgetExceededError,
    FuseTrippedError,
    GuardDownError,
    RateExceededError,
    RefusedError,
    ReservationError,
)
from spendfuse.guard.guard import Guard
from spendfuse.guard.memory import MemoryStore
from spendfuse.guard.reservation import Reservation

if TYPE_CHECKING:
    from spendfuse.guard.asgi import GuardMiddleware
    from spendfuse.guard.dynamodb import DynamoStore
    from spendfuse.guard.fallback import Fallback
    from spendfuse.guard.leased import LeasedStore
    from spendfuse.guard.valkey import ValkeyStore

_LAZY = {
    "DynamoStore": "spendfuse.guard.dynamodb",
    "Fallback": "spendfuse.guard.fallback",
    "GuardMiddleware": "spendfuse.guard.asgi",
    "LeasedStore": "spendfuse.guard.leased",
    "ValkeyStore": "spendfuse.guard.valkey",
}

__all__ = [
    "BudgetExceededError",
    "DynamoStore",
    "Fallback",
    "FuseTrippedError",
    "Guard",
    "GuardDownError",
    "GuardMiddleware",
    "LeasedStore",
    "MemoryStore",
    "RateExceededError",
    "RefusedError",
    "Reservation",
    "ReservationError",
    "ValkeyStore",
    "guarded",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
