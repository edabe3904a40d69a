"""How the apps' requests fare: how many, how large, how well and how fast."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch

from spendfuse import metrics
from stacks.ledger_metrics import FIVE_MINUTES, LedgerMetrics, as_it_was

_PERCENTILES = (50, 95, 99)
_COUNT = cloudwatch.YAxisProps(min=0, show_units=False)
_PERCENT = cloudwatch.YAxisProps(label="%", min=0, max=100, show_units=False)
_MILLISECONDS = cloudwatch.YAxisProps(label="ms", min=0, show_units=False)


def tokens(ledger: LedgerMetrics, *, width: int) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Tokens in 5 minutes",
        stacked=True,
        left=[ledger.flow(metrics.INPUT_TOKENS, "In"), ledger.flow(metrics.OUTPUT_TOKENS, "Out")],
        left_y_axis=_COUNT,
        width=width,
    )


def request_widgets(ledger: LedgerMetrics, *, width: int) -> list[cloudwatch.IWidget]:
    """Return how many there were, how they ended and how long they took."""
    search = ledger.search(metrics.LATENCY_MS, metrics.MODEL, "p95")
    by_model = cloudwatch.SearchExpression(
        expression=f"FILL({search}, REPEAT)", label="${PROP('Dim.Model')}", period=FIVE_MINUTES
    )
    return [
        cloudwatch.GraphWidget(
            title="Requests in 5 minutes",
            left=[
                ledger.flow(metrics.REQUESTS, "Requests"),
                ledger.flow(metrics.ERRORS, "Failed"),
                ledger.flow(metrics.CACHE_HITS, "Answered from a cache"),
            ],
            left_y_axis=_COUNT,
            width=width,
        ),
        cloudwatch.GraphWidget(
            title="Of all requests, %",
            left=[_success(ledger), _cached(ledger)],
            left_y_axis=_PERCENT,
            width=width,
        ),
        cloudwatch.GraphWidget(
            title="Latency",
            left=[
                as_it_was(ledger.raw(metrics.LATENCY_MS, f"p{each}"), f"p{each}")
                for each in _PERCENTILES
            ],
            left_y_axis=_MILLISECONDS,
            width=width,
        ),
        cloudwatch.GraphWidget(
            title="Latency by model, p95",
            left=[by_model],
            left_y_axis=_MILLISECONDS,
            width=width,
        ),
    ]


def _success(ledger: LedgerMetrics) -> cloudwatch.IMetric:
    return _percent(ledger, metrics.ERRORS, "100 - 100", "Succeeded")


def _cached(ledger: LedgerMetrics) -> cloudwatch.IMetric:
    return _percent(ledger, metrics.CACHE_HITS, "100", "Answered from a cache")


def _percent(ledger: LedgerMetrics, part: str, factor: str, label: str) -> cloudwatch.IMetric:
    """Return the share of the requests; nothing was asked, so nothing failed, is a value too.

    Metric math drops what is divided by zero, and says so on the widget.
    """
    id_ = part.lower()
    return cloudwatch.MathExpression(
        expression=f"{factor} * FILL({id_}, 0) / IF(FILL(requests, 0) > 0, FILL(requests, 0), 1)",
        using_metrics={
            id_: ledger.raw(part, cloudwatch.Stats.SUM),
            "requests": ledger.raw(metrics.REQUESTS, cloudwatch.Stats.SUM),
        },
        label=label,
        period=FIVE_MINUTES,
    )
