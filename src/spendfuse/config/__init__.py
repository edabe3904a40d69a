"""The ``spendfuse`` block of cdk.json: read once, checked whole, handed down as values.

The only room that knows pydantic. Every mistake is reported at once, each with its path,
the value found there and what to write instead.
"""

from spendfuse.config.budgets_file import budgets_from_file
from spendfuse.config.load import BLOCK, load, stage_names
from spendfuse.config.values import (
    AlarmsConfig,
    AwsBudgetConfig,
    BedrockLogConfig,
    Config,
    CostAnomalyConfig,
)

__all__ = [
    "BLOCK",
    "AlarmsConfig",
    "AwsBudgetConfig",
    "BedrockLogConfig",
    "Config",
    "CostAnomalyConfig",
    "budgets_from_file",
    "load",
    "stage_names",
]
