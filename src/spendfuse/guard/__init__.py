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
from spendfuse.guard.reservation import Reservation
from spendfuse.guard.stores.memory import MemoryStore

if TYPE_CHECKING:
    from spendfuse.guard.asgi import GuardMiddleware
    from spendfuse.guard.leasing.leased import LeasedStore
    from spendfuse.guard.outage.fallback import Fallback
    from spendfuse.guard.stores.dynamodb import DynamoStore
    from spendfuse.guard.stores.valkey import ValkeyStore

_LAZY = {
    "DynamoStore": "spendfuse.guard.stores.dynamodb",
    "Fallback": "spendfuse.guard.outage.fallback",
    "GuardMiddleware": "spendfuse.guard.asgi",
    "LeasedStore": "spendfuse.guard.leasing.leased",
    "ValkeyStore": "spendfuse.guard.stores.valkey",
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
