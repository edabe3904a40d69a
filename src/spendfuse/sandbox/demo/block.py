"""The demo's own configuration: whatever people write in cdk.json, the story stays the same."""

from __future__ import annotations

from typing import Any

DEMO_BLOCK: dict[str, Any] = {
    "name": "spendfuse",
    "tags": {
        "Project": "spendfuse",
        "Environment": "demo",
        "Team": "demo",
        "CostCenter": "demo",
        "Owner": "demo@example.com",
    },
    "alerts": {
        "emails": ["finops@example.com"],
        "slack": {"webhook_secret": "spendfuse/slack-webhook"},
    },
    "budgets": [
        {
            "name": "llm",
            "limit_usd": 50,
            "ladder": [
                {"percent": 50, "notify": ["email", "slack"]},
                {"percent": 80, "notify": ["slack"]},
                {"percent": 100, "notify": ["email", "slack"], "trip": True},
            ],
        }
    ],
    "aws_budgets": [{"name": "aws-month", "budget": "llm", "actual_percents": [50, 80, 100]}],
    # The story is told by the budget's ladder; alarms on the same figures would tell it twice.
    "alarms": {
        "high_daily_cost": {"usd": 100},
        "hourly_spend": {"usd": 100},
        "budget_used": False,
        "expensive_request": False,
    },
    "fuse": {"mode": "armed", "allowance_percent": 10},
}
