"""A recorded trace of real requests: the ledger equals its cost, to the nano-dollar."""

from __future__ import annotations

from pathlib import Path

import pytest

from spendfuse.sandbox.demo import trace
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import Deployed
from spendfuse.sandbox.demo.story import BUDGET

TRACE = Path(__file__).parents[3] / "shared" / "data" / "AzureLLMInferenceTrace_conv.csv"
REQUESTS = 19_366

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.skipif(
    not TRACE.exists(),
    reason="AzureLLMInferenceTrace_conv.csv (Azure/AzurePublicDataset, CC-BY 4.0) is not in "
    "../shared/data; it is not part of the project",
)
def test_the_ledger_has_what_the_trace_cost_to_the_nano_dollar(
    stage: Deployed, report: Report
) -> None:
    assert len(trace.read_trace(TRACE)) == REQUESTS

    trace.replay(stage, TRACE, report, budget=BUDGET)  # raises when a nano-dollar is missing

    assert not report.missing(("read", "sent", "counted"))
