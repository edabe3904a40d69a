"""The budgets as CloudWatch reads them from a log."""

from __future__ import annotations

import io
import json
from decimal import Decimal

from unit.guard.guarded_apps import NOW, a_budget, a_guard

from spendfuse.guard.emf import emit_gauges, gauge_line
from spendfuse.guard.health import BudgetGauge
from spendfuse.guard.stores.memory import MemoryStore


def emitted(guard, **options):
    stream = io.StringIO()
    assert emit_gauges(guard, stream, now=lambda: NOW, **options)
    return [json.loads(line, parse_float=Decimal) for line in stream.getvalue().splitlines()]


def test_a_budget_is_a_line_with_its_dollars_to_the_nano_dollar():
    guard = a_guard(a_budget(limit_usd="1000"), a_budget("each-user", "10", per="user"))
    guard.reserve("0.25").settle("0.000000001")
    guard.reserve("0.50")

    (line,) = emitted(guard)

    assert line == {
        "_aws": {
            "Timestamp": 1795348800000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "RAG-App/Costs",
                    "Dimensions": [["budget"]],
                    "Metrics": [
                        {"Name": "BudgetLimit", "Unit": "None"},
                        {"Name": "BudgetSpent", "Unit": "None"},
                        {"Name": "BudgetHeld", "Unit": "None"},
                    ],
                }
            ],
        },
        "budget": "organisation",
        "period": "2026-11",
        "BudgetLimit": Decimal("1000.000000000"),
        "BudgetSpent": Decimal("0.000000001"),
        "BudgetHeld": Decimal("0.500000000"),
    }


def test_a_ledger_that_is_ahead_is_a_drift_below_zero():
    gauge = BudgetGauge("organisation", "2026-11", 10**9, 0, 0, -250_000_001)

    line = json.loads(gauge_line(gauge, at=NOW), parse_float=Decimal)

    assert line["BudgetDrift"] == Decimal("-0.250000001")


def test_the_lines_may_have_a_namespace_of_the_apps_own():
    (line,) = emitted(a_guard(), namespace="Mine")

    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Mine"


def test_a_store_that_fails_is_logged_and_not_raised(caplog):
    class Broken(MemoryStore):
        def look(self, counters):
            raise RuntimeError("a bug in the store")

    stream = io.StringIO()

    assert not emit_gauges(a_guard(store=Broken()), stream)
    assert stream.getvalue() == ""
    assert "a bug in the store" in caplog.text
