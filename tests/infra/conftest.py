"""One synthesised app for all tests of the session: starting jsii is most of the cost."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from infra.lambda_runtime import link_runtime
from infra.templates import Templates

import app as cdk_app
from spendfuse.config import Config, load

ROOT = Path(__file__).parents[2]

BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": {
        "Project": "acme-rag",
        "Environment": "test",
        "Team": "search",
        "CostCenter": "4711",
        "Owner": "search@example.com",
    },
    "alerts": {
        "emails": ["finops@example.com", "cto@example.com"],
        "slack": {"webhook_secret": "acme/slack-webhook"},
    },
    "budgets": [{"name": "all", "limit_usd": 1000}],
    "aws_budgets": [
        {
            "name": "month",
            "limit_usd": "1000.50",
            "actual_percents": [50, 80, 100],
            "forecast_percents": [100],
            "filters": {"TagKeyValue": ["user:Project$acme-rag"]},
            "emails": ["cfo@example.com"],
        },
        {"name": "day", "limit_usd": 50, "period": "day", "actual_percents": [80, 100]},
    ],
    "fuse": {"name": "acme-keys"},
}


@pytest.fixture(scope="session")
def block() -> dict[str, Any]:
    """A fresh copy is handed out: what a test edits is its own."""
    return copy.deepcopy(BLOCK)


@pytest.fixture(scope="session")
def config(block: dict[str, Any]) -> Config:
    return load({"spendfuse": block})


@pytest.fixture(scope="session")
def flags() -> dict[str, Any]:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    return {key: value for key, value in context.items() if key != "spendfuse"}


@pytest.fixture(scope="session")
def synthesise(
    tmp_path_factory: pytest.TempPathFactory, flags: dict[str, Any]
) -> Callable[[dict[str, Any]], Templates]:
    """Synthesise a ``spendfuse`` block as ``cdk synth`` would."""

    def make(block: dict[str, Any]) -> Templates:
        config = load({"spendfuse": block})
        outdir = tmp_path_factory.mktemp("assembly")
        app = App(outdir=str(outdir), context=flags)
        cdk_app.add_stacks(app, config)
        app.synth()
        return Templates.read(outdir, config.deployment)

    return make


@pytest.fixture(scope="session")
def templates(
    synthesise: Callable[[dict[str, Any]], Templates], block: dict[str, Any]
) -> Templates:
    return synthesise(block)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the Lambda runtime brings."""
    return link_runtime(tmp_path_factory.mktemp("runtime"))
