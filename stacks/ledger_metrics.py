"""The ledger's metrics as the dashboard draws them: whole lines, also before the first data.

A flow without data was nothing, so its gaps are zero. A gauge without data is as it was: zero
there would read as "nothing spent" for the minute that is not yet published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from spendfuse import metrics

MINUTE, FIVE_MINUTES = Duration.minutes(1), Duration.minutes(5)
HOUR, DAY = Duration.hours(1), Duration.days(1)


@dataclass(frozen=True, slots=True)
class LedgerMetrics:
    """The metrics of one deployment; no expression of its finds those of another one."""

    deployment: str

    def gauge(
        self,
        name: str,
        label: str,
        *,
        dimensions: Mapping[str, str] | None = None,
        period: Duration = FIVE_MINUTES,
    ) -> cloudwatch.IMetric:
        """Return how things stood at the end of each period."""
        metric = self.raw(name, cloudwatch.Stats.MAXIMUM, dimensions=dimensions, period=period)
        return as_it_was(metric, label)

    def flow(
        self,
        name: str,
        label: str,
        *,
        statistic: str = cloudwatch.Stats.SUM,
        period: Duration = FIVE_MINUTES,
    ) -> cloudwatch.IMetric:
        """Return how much there was in each period."""
        return or_nothing(self.raw(name, statistic, period=period), label)

    def raw(
        self,
        name: str,
        statistic: str,
        *,
        dimensions: Mapping[str, str] | None = None,
        period: Duration = FIVE_MINUTES,
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=metrics.NAMESPACE,
            metric_name=name,
            dimensions_map={metrics.DEPLOYMENT: self.deployment, **(dimensions or {})},
            statistic=statistic,
            period=period,
        )

    def search(self, name: str, by: str, statistic: str) -> str:
        """Return a SEARCH for the metric by each value of the dimension ``by``.

        CloudWatch finds metrics that had data in the last two weeks, and no others. The period is
        left to the line or its widget: one in here would hold against a widget's whole time range.
        """
        return (
            f'SEARCH(\'{{"{metrics.NAMESPACE}",{metrics.DEPLOYMENT},{by}}} '
            f'MetricName="{name}" {metrics.DEPLOYMENT}="{self.deployment}"\', '
            f"'{statistic}')"
        )


def or_nothing(metric: cloudwatch.Metric, label: str) -> cloudwatch.MathExpression:
    """Return the metric with zero where it has no data."""
    return _expression("FILL({id}, 0)", metric, label)


def as_it_was(metric: cloudwatch.Metric, label: str) -> cloudwatch.MathExpression:
    """Return the metric with its last value where it has no data, and zero before the first."""
    return _expression("FILL(FILL({id}, REPEAT), 0)", metric, label)


def _expression(template: str, metric: cloudwatch.Metric, label: str) -> cloudwatch.MathExpression:
    # An id stands for one metric in the whole widget; labels differ within one.
    id_ = "m_" + "".join(each if each.isalnum() and each.isascii() else "_" for each in label)
    return cloudwatch.MathExpression(
        expression=template.format(id=id_.lower()),
        using_metrics={id_.lower(): metric},
        label=label,
        period=metric.period,
    )
