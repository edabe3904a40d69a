"""What apps spend: as it stands, by the day, by whom, and against the budgets."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs

from spendfuse import metrics
from spendfuse.budget import Budget
from stacks.ledger_metrics import DAY, FIVE_MINUTES, HOUR, LedgerMetrics

MOST_GAUGES = 4
"""More budgets than that stand in a table."""
_GRID = 24
_GAUGE = 4
_LIMIT = 100
_GAUGE_END = 120
_MONTH = "-P30D"
_FORTNIGHT = "-P14D"
"""As long as CloudWatch's SEARCH finds a model that is no longer used."""

_DOLLARS = cloudwatch.YAxisProps(label="US$", min=0, show_units=False)
_PERCENT = cloudwatch.YAxisProps(label="% of the limit", min=0, show_units=False)


def now(ledger: LedgerMetrics, *, width: int) -> cloudwatch.IWidget:
    """Return how things stand, in figures."""
    return cloudwatch.SingleValueWidget(
        title="Now (days and months in UTC)",
        metrics=[
            ledger.gauge(metrics.MONTH_TO_DATE_USD, "US$ this month"),
            ledger.gauge(metrics.DAY_TO_DATE_USD, "US$ today"),
            ledger.gauge(metrics.HOURLY_USD, "US$ in the last hour"),
            ledger.flow(metrics.REQUESTS, "Requests in 5 minutes"),
            ledger.gauge(metrics.DEAREST_REQUEST_USD, "US$ for the dearest request"),
            # Before the first request there is no such number.
            ledger.raw(metrics.MINUTES_SINCE_USAGE, cloudwatch.Stats.MAXIMUM).with_(
                label="Minutes since the last request"
            ),
        ],
        width=width,
        height=6,
    )


def budget_widgets(
    ledger: LedgerMetrics, budgets: Sequence[Budget], *, warning_percent: int | None
) -> list[cloudwatch.IWidget]:
    """Return a gauge for each of the first budgets, and all budgets over time, in one row."""
    marks = _marks(warning_percent)
    gauges = [_gauge(ledger, budget, marks) for budget in budgets[:MOST_GAUGES]]
    return [*gauges, _over_time(ledger, marks, width=_GRID - _GAUGE * len(gauges))]


def _gauge(
    ledger: LedgerMetrics, budget: Budget, marks: Sequence[cloudwatch.HorizontalAnnotation]
) -> cloudwatch.IWidget:
    used = ledger.gauge(
        metrics.BUDGET_USED_PERCENT, budget.name, dimensions={metrics.BUDGET: budget.name}
    )
    return cloudwatch.GaugeWidget(
        title=f"{budget.name}: % used",
        metrics=[used],
        left_y_axis=cloudwatch.YAxisProps(min=0, max=_GAUGE_END),
        annotations=list(marks),
        width=_GAUGE,
        height=6,
    )


def budget_table(ledger: LedgerMetrics) -> cloudwatch.IWidget:
    """Return a table of all budgets; it grows with them."""
    search = ledger.search(metrics.BUDGET_USED_PERCENT, metrics.BUDGET, cloudwatch.Stats.MAXIMUM)
    return cloudwatch.TableWidget(
        title="All budgets: % used, in the last hour",
        metrics=[_found(search, metrics.BUDGET, FIVE_MINUTES)],
        layout=cloudwatch.TableLayout.VERTICAL,
        summary=cloudwatch.TableSummaryProps(
            columns=[cloudwatch.TableSummaryColumn.MAXIMUM], hide_non_summary_columns=True
        ),
        start="-PT1H",
        width=_GRID,
        height=6,
    )


def cost_a_day(ledger: LedgerMetrics, *, width: int) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="LLM cost a day (UTC), 30 days",
        # CloudWatch's bars compare metrics with each other; over time it draws areas.
        stacked=True,
        left=[ledger.flow(metrics.COST_USD, "US$", period=DAY)],
        left_y_axis=_DOLLARS,
        start=_MONTH,
        width=width,
        height=7,
    )


def cost_shares(ledger: LedgerMetrics, *, width: int) -> list[cloudwatch.IWidget]:
    """Return the cost by model and by feature."""
    pie, bars = cloudwatch.GraphWidgetView.PIE, cloudwatch.GraphWidgetView.BAR
    return [
        _shares(ledger, metrics.MODEL, pie, width=width),
        _shares(ledger, metrics.FEATURE, bars, width=width),
    ]


def _shares(
    ledger: LedgerMetrics, by: str, view: cloudwatch.GraphWidgetView, *, width: int
) -> cloudwatch.IWidget:
    search = ledger.search(metrics.COST_USD, by, cloudwatch.Stats.SUM)
    return cloudwatch.GraphWidget(
        title=f"Cost by {by.lower()}, 14 days, US$",
        view=view,
        set_period_to_time_range=True,
        left=[_found(f"FILL({search}, 0)", by, DAY)],
        start=_FORTNIGHT,
        width=width,
        height=6,
    )


def _over_time(
    ledger: LedgerMetrics, marks: Sequence[cloudwatch.HorizontalAnnotation], *, width: int
) -> cloudwatch.IWidget:
    search = ledger.search(metrics.BUDGET_USED_PERCENT, metrics.BUDGET, cloudwatch.Stats.MAXIMUM)
    return cloudwatch.GraphWidget(
        title="Budgets: used against the limit, 30 days",
        left=[_found(f"FILL({search}, REPEAT)", metrics.BUDGET, HOUR)],
        left_y_axis=_PERCENT,
        left_annotations=list(marks),
        start=_MONTH,
        width=width,
        height=6,
    )


def top_users(publisher_log: logs.ILogGroup, *, width: int) -> cloudwatch.IWidget:
    """Return who spent most, from the log: as a metric each user would cost $0.30 a month."""
    return cloudwatch.LogQueryWidget(
        title="Users who spent most (up to an hour late)",
        log_group_names=[publisher_log.log_group_name],
        view=cloudwatch.LogQueryVisualizationType.TABLE,
        query_lines=[
            'filter kind = "user_spend"',
            "stats sum(usd) as US_dollars, sum(requests) as Requests by user",
            "sort US_dollars desc",
            "limit 10",
        ],
        width=width,
        height=7,
    )


def _found(expression: str, by: str, period: Duration) -> cloudwatch.IMetric:
    # The name of each line is the value that it was found by.
    label = f"${{PROP('Dim.{by}')}}"
    return cloudwatch.SearchExpression(expression=expression, label=label, period=period)


def _marks(warning_percent: int | None) -> list[cloudwatch.HorizontalAnnotation]:
    mark, color = cloudwatch.HorizontalAnnotation, cloudwatch.Color
    limit = mark(value=_LIMIT, label="limit", color=color.RED)
    if warning_percent is None:
        return [limit]
    return [mark(value=warning_percent, label="warning", color=color.ORANGE), limit]
