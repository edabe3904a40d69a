"""``spendfuse demo``: the whole story on this machine, or a recorded trace."""

from __future__ import annotations

import time
from pathlib import Path

import click

from spendfuse.sandbox.demo import story, trace
from spendfuse.sandbox.demo.block import DEMO_BLOCK
from spendfuse.sandbox.demo.rag_app import RagApp
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import deployed, script
from spendfuse.sandbox.signals import ended_by_signals

FOLDER = Path("build/demo")
REPORT = FOLDER / "report.json"
TRACE_LIMIT_USD = "1000000"


@click.command()
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Replay this CSV (TIMESTAMP,ContextTokens,GeneratedTokens) instead of the story.",
)
def demo(trace_file: Path | None) -> None:
    """Deploy to a sandbox on this machine, overspend, and watch the fuse blow.

    It needs no AWS account and leaves nothing running. What happened, step by step, is in
    build/demo/report.json afterwards; a missing step makes the exit code 1.

    \b
    Example:
        spendfuse demo
        spendfuse demo --trace AzureLLMInferenceTrace_conv.csv
    """
    report = Report(say=click.echo, clock=time.monotonic)
    steps = story.STEPS if trace_file is None else trace.STEPS
    with ended_by_signals(), report.kept(REPORT, steps):
        if trace_file is None:
            _play(report)
        else:
            _replay(report, trace_file)
    click.echo(f"\nAll {len(steps)} steps done; nothing is left running. {REPORT}")


def _play(report: Report) -> None:
    with deployed(script(Path.cwd(), block=DEMO_BLOCK), FOLDER, report) as stage:
        story.Story(stage, RagApp(stage), report).play()


def _replay(report: Report, file: Path) -> None:
    trace.read_trace(file)  # a file that can't be read is told before anything is started
    play = script(Path.cwd(), block=DEMO_BLOCK, monthly_limit_usd=TRACE_LIMIT_USD)
    with deployed(play, FOLDER, report, with_app=False) as stage:
        trace.replay(stage, file, report, budget=story.BUDGET)
