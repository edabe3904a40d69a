"""spendfuse itself: what it costs, what it could not count, and whether all of it runs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from aws_cdk import aws_cloudwatch as cloudwatch

from spendfuse import aws_prices, metrics
from spendfuse.budget import Budget
from stacks.ledger_metrics import FIVE_MINUTES, HOUR, LedgerMetrics, as_it_was, or_nothing
from stacks.own_cost import Line, costs_by_service, standing, total, usd_a_value
from stacks.watched import Watched

_MONTH = "-P30D"
_DOLLARS = cloudwatch.YAxisProps(label="US$", min=0, show_units=False)
_COUNT = cloudwatch.YAxisProps(min=0, show_units=False)
_SECONDS = cloudwatch.YAxisProps(label="s", min=0, show_units=False)


def cost_widgets(
    watched: Watched, alarms: Sequence[cloudwatch.IAlarm], budgets: Sequence[Budget]
) -> list[cloudwatch.IWidget]:
    """Return what its use costs, and beside it what costs the same every month."""
    costs = costs_by_service(watched)
    by_day = cloudwatch.GraphWidget(
        title="AWS cost of spendfuse a day, 30 days: what depends on use",
        stacked=True,
        left=list(costs.values()),
        left_y_axis=_DOLLARS,
        start=_MONTH,
        width=10,
        height=9,
    )
    in_all = cloudwatch.SingleValueWidget(
        title="In 30 days, US$",
        metrics=[total(costs, "US$")],
        set_period_to_time_range=True,
        start=_MONTH,
        width=4,
        height=9,
    )
    lines = standing(alarms, budgets)
    text = cloudwatch.TextWidget(markdown=standing_text(lines), width=10, height=9)
    return [by_day, in_all, text]


def standing_text(lines: Sequence[Line]) -> str:
    """Return the arithmetic of what costs the same every month."""
    rows = "\n".join(
        f"| {line.what} | {line.quantity:,} | {_price(line)} | {_cents(line.usd)} |"
        for line in lines
    )
    in_all = sum((line.usd for line in lines), Decimal(0))
    return (
        "**AWS cost of spendfuse: what costs the same every month**\n\n"
        "| what | how many | US$ each | US$ a month |\n|---|---:|---:|---:|\n"
        f"{rows}\n| **together** | | | **{_cents(in_all)}** |\n\n"
        f"Each model and each feature in use adds {_cents(usd_a_value())} a month. List prices of "
        f"{aws_prices.PRICES_REGION}, {aws_prices.PRICES_DATE}, without the free tier. "
        "`spendfuse estimate` says it for any volume."
    )


def _price(line: Line) -> str:
    each = f"{line.price.usd:f}"
    return each if line.price.per == 1 else f"{each} for {line.price.per:,}"


def _cents(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def uncounted(ledger: LedgerMetrics, *, width: int) -> cloudwatch.IWidget:
    """Return what reached the ledger and is in no total, and what never reached it."""
    return cloudwatch.GraphWidget(
        title="Not counted, in an hour",
        left=[
            ledger.flow(metrics.UNPRICED_REQUESTS, "Requests without a price", period=HOUR),
            ledger.flow(metrics.QUARANTINED_RECORDS, "Records in quarantine", period=HOUR),
        ],
        right=[ledger.gauge(metrics.UNMETERED_TOKENS, "Bedrock tokens not metered", period=HOUR)],
        left_y_axis=_COUNT,
        right_y_axis=cloudwatch.YAxisProps(label="tokens", min=0, show_units=False),
        width=width,
    )


def queue_widgets(watched: Watched, *, width: int) -> list[cloudwatch.IWidget]:
    """Return what waits in the queues, and what nobody could handle."""
    queues = watched.queues.items()
    return [
        cloudwatch.GraphWidget(
            title="Dead letters",
            # SQS measures nothing while nobody touches a queue, whatever is in it.
            left=[
                as_it_was(
                    queue.dead_letters.metric_approximate_number_of_messages_visible(
                        statistic=cloudwatch.Stats.MAXIMUM, period=FIVE_MINUTES
                    ),
                    name,
                )
                for name, queue in queues
            ],
            left_y_axis=_COUNT,
            width=width,
        ),
        cloudwatch.GraphWidget(
            title="Age of the oldest message",
            left=[
                or_nothing(
                    queue.queue.metric_approximate_age_of_oldest_message(
                        statistic=cloudwatch.Stats.MAXIMUM, period=FIVE_MINUTES
                    ),
                    name,
                )
                for name, queue in queues
            ],
            left_y_axis=_SECONDS,
            width=width,
        ),
    ]


def function_widgets(
    watched: Watched, ledger: LedgerMetrics, *, width: int
) -> list[cloudwatch.IWidget]:
    """Return whether the functions run: failures, and the beat of each minute."""
    functions = watched.functions.items()
    failures = [
        or_nothing(metric(statistic=cloudwatch.Stats.SUM, period=FIVE_MINUTES), f"{name} {what}")
        for name, each in functions
        for what, metric in (
            ("failed", each.function.metric_errors),
            ("throttled", each.function.metric_throttles),
        )
    ]
    lag = watched.functions["watch_budgets"].function.metric(
        "IteratorAge", statistic=cloudwatch.Stats.MAXIMUM, period=FIVE_MINUTES
    )
    beat = ledger.flow(metrics.HEARTBEAT, "Beats", statistic=cloudwatch.Stats.SAMPLE_COUNT)
    return [
        cloudwatch.GraphWidget(
            title="Functions: failed and throttled runs",
            left=failures,
            left_y_axis=_COUNT,
            width=width,
        ),
        cloudwatch.GraphWidget(
            title="Heartbeat: 5 in 5 minutes; lag of the stream",
            left=[beat],
            right=[or_nothing(lag, "Lag, ms")],
            left_y_axis=_COUNT,
            right_y_axis=cloudwatch.YAxisProps(label="ms", min=0, show_units=False),
            width=width,
        ),
    ]
