"""The second signal: AWS Budgets alone trips the fuse, through its own topic and policies."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from spendfuse.sandbox.demo.block import DEMO_BLOCK
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import deployed, script

PROJECT = Path(__file__).parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_bill_at_100_percent_disables_the_keys_though_nothing_was_metered(
    tmp_path: Path,
) -> None:
    report = Report(say=print, clock=time.monotonic)
    with deployed(script(PROJECT, block=DEMO_BLOCK), tmp_path, report, with_app=False) as stage:
        sandbox, gateway = stage.sandbox, stage.sandbox.client("apigateway")
        tagged = gateway.create_api_key(enabled=True, tags={"spendfuse:fuse": "spendfuse"})["id"]
        other = gateway.create_api_key(enabled=True, tags={"spendfuse:fuse": "other"})["id"]
        (budget,) = sandbox.client("budgets").describe_budgets(AccountId=sandbox.running.account)[
            "Budgets"
        ]
        played = sandbox.player.spend(budget["BudgetName"], actual_usd="51.00")
        told = sandbox.inbox.wait_for(lambda each: "Fuse tripped" in json.dumps(each.body), 60)

        assert played["dropped"] == []
        assert "AWS Budgets" in json.dumps(told.body)
        assert gateway.get_api_key(apiKey=tagged)["enabled"] is False
        assert gateway.get_api_key(apiKey=other)["enabled"] is True
