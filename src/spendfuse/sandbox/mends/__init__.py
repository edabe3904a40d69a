"""Where the emulator differs from AWS in ways that matter here, it is mended: a file a service.

The templates are never changed to suit it. Import this only where the emulator runs: it
reads its settings from the environment when it is imported.
"""

from __future__ import annotations

from spendfuse.sandbox.folder import Folder, Running
from spendfuse.sandbox.mends import (
    api_gateway,
    budgets,
    cloudformation,
    cloudwatch,
    cloudwatch_logs,
    cloudwatch_stacks,
    cost_explorer,
    event_sources,
    iam_conditions,
    lambda_figures,
    lambda_runtime,
    sns,
    sqs,
)


def apply(folder: Folder, running: Running) -> None:
    """Mend the emulator of this process."""
    api_gateway.mend()
    budgets.mend()
    cloudformation.mend()
    cloudwatch.mend()
    cloudwatch_logs.mend()
    cloudwatch_stacks.mend()
    cost_explorer.mend()
    event_sources.mend()
    iam_conditions.mend()
    lambda_figures.mend()
    lambda_runtime.mend(folder.temporary / "runtime")
    sns.mend(smtp_port=running.smtp_port)
    sqs.mend()
