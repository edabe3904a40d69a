"""The core needs the standard library alone: no boto3, no pydantic, no click."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
# The files named for a vendor, and the rooms that are ways in or know pydantic.
VENDORS = {"dynamodb", "slack", "channels", "sns", "secrets_manager", "api_gateway"}
APART = {"cli", "config", "sandbox", "__main__", "keys"}
VENDORS |= {"anthropic", "bedrock", "litellm", "openai", "opentelemetry"}
VENDORS |= {"bigquery", "genai_prices", "prometheus", "sqs", "tiktoken", "yaml_file"}
VENDORS |= {"dynamodb_overrides", "dynamodb_table", "fastapi", "valkey"}
VENDORS |= {"dynamodb_adjustments", "dynamodb_named_values", "dynamodb_quarantine"}
VENDORS |= {"dynamodb_tallies"}


def rule_modules() -> list[str]:
    files = sorted((SRC / "spendfuse").rglob("*.py"))
    parts = [file.relative_to(SRC).with_suffix("").parts for file in files]
    return [
        ".".join(each).removesuffix(".__init__")
        for each in parts
        if not APART.intersection(each) and each[-1] not in VENDORS
    ]


def test_every_rule_can_be_imported_with_the_standard_library_alone() -> None:
    modules = rule_modules()
    code = f"import sys; sys.path.insert(0, {str(SRC)!r}); import {', '.join(modules)}"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )

    assert len(modules) > 25
    assert (ran.returncode, ran.stderr) == (0, "")
