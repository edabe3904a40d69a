"""Guards of several processes over one shared store, each with leases."""

from __future__ import annotations

import pytest

from spendfuse.budget import Budget
from spendfuse.guard.errors import BudgetExceededError
from spendfuse.guard.guard import Guard
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.step import Standing
from spendfuse.guard.stores.memory import MemoryStore


def test_a_guard_that_refuses_calls_in_what_others_have_borrowed() -> None:
    budget = Budget("all", 10**9, "total")
    shared = MemoryStore()
    stores = [LeasedStore(shared) for _ in range(2)]
    busy, late = (Guard([budget], store=each) for each in stores)
    for _ in range(3):
        busy.settle(busy.reserve("0.01"), "0.01")

    with pytest.raises(BudgetExceededError):
        late.reserve("0.965")
    stores[0].sync()

    assert late.reserve("0.965").held_usd
    busy.close()
    late.close()
    assert shared.look(["all/total"]) == [Standing(30_000_000, 965_000_000, is_called_in=True)]
