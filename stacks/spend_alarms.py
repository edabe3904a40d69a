"""Alarms on what apps spend, and on how their requests fare.

They look at what ``publish_gauges`` publishes once a minute. When it falls silent the heartbeat
rings, and these keep the state they had: neither an alarm nor an all-clear is made of no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from spendfuse import metrics
from spendfuse.budget import Budget
from stacks.alarm import KEEP_STATE, NOTHING_WRONG, AlarmMaker, Naming, Trigger, above, at_least
from stacks.alarm_figures import AlarmFigures

_MINUTE = Duration.minutes(1)
_QUARTER = Duration.minutes(15)
_SILENT: tuple[()] = ()


class SpendAlarms(Construct):
    """One alarm a figure; those of one spend incident ring together, or else each by itself."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        maker: AlarmMaker,
        budgets: Sequence[Budget],
        figures: AlarmFigures,
    ) -> None:
        super().__init__(scope, construct_id)
        self._maker = maker
        self._figures = figures
        self.all: list[cloudwatch.AlarmBase] = []
        self._incident: list[cloudwatch.Alarm] = []
        self._money()
        for budget in budgets:
            if budget.per is None:
                self._budget_used(budget)
        self._spend_anomaly()
        if figures.spend_incident and self._incident:
            self._spend_incident()
        self._requests()
        self._unmetered_use()

    def _money(self) -> None:
        figures = self._figures
        if figures.high_daily_cost_usd is not None:
            self._of_incident(
                Naming(
                    "high-daily-cost",
                    f"More than {_dollars(figures.high_daily_cost_usd)} were spent today (UTC).",
                    critical=True,
                ),
                above(
                    self._gauge(metrics.DAY_TO_DATE_USD),
                    figures.high_daily_cost_usd,
                    without_data=KEEP_STATE,
                ),
            )
        if figures.hourly_spend_usd is not None:
            self._of_incident(
                Naming(
                    "hourly-spend",
                    f"More than {_dollars(figures.hourly_spend_usd)} were spent in the last 60 "
                    "minutes.",
                    critical=True,
                ),
                above(
                    self._gauge(metrics.HOURLY_USD),
                    figures.hourly_spend_usd,
                    without_data=KEEP_STATE,
                    # It rings at once, and ends after five minutes below: a spend that hovers
                    # about the figure would ring every few minutes.
                    enough=1,
                    of_last=5,
                ),
            )
        if figures.expensive_request_usd is not None:
            self._add(
                Naming(
                    "expensive-request",
                    f"One request has cost {_dollars(figures.expensive_request_usd)} or more.",
                ),
                at_least(
                    self._gauge(metrics.DEAREST_REQUEST_USD),
                    figures.expensive_request_usd,
                    # No request is no dear one.
                    without_data=NOTHING_WRONG,
                    # It stands under the minute of the request, which may come to the ledger
                    # some minutes late: one period alone would be over by then.
                    enough=1,
                    of_last=15,
                ),
            )

    def _budget_used(self, budget: Budget) -> None:
        gauge = self._gauge(metrics.BUDGET_USED_PERCENT, {metrics.BUDGET: budget.name})
        warning = self._figures.budget_warning_percent
        critical = self._figures.budget_critical_percent
        if warning is None or critical is None:
            return
        self._add(
            Naming(
                "budget-used",
                f"Budget {budget.name} has used {warning} % of its limit, or more.",
                part=f"{budget.name}-warning",
            ),
            at_least(gauge, warning, without_data=KEEP_STATE),
        )
        add_critical = self._of_incident if budget.is_root else self._add
        add_critical(
            Naming(
                "budget-used",
                f"Budget {budget.name} has used {critical} % of its limit, or more.",
                part=f"{budget.name}-critical",
                critical=True,
            ),
            at_least(gauge, critical, without_data=KEEP_STATE),
        )

    def _spend_anomaly(self) -> None:
        band = self._figures.anomaly_band
        if band is None:
            return

    def _spend_incident(self) -> None:
        naming = Naming(
            "spend-incident",
            "Money goes faster than it should. The alarms that set this off do not ring by "
            "themselves, so that one cause rings once.",
            critical=True,
        )
        alarm = cloudwatch.CompositeAlarm(
            self,
            naming.construct_id,
            composite_alarm_name=naming.full_name(self._maker.deployment),
            alarm_description=naming.description(self._maker.runbooks),
            alarm_rule=cloudwatch.AlarmRule.any_of(*self._incident),
        )
        self._maker.tell(alarm)
        self.all.insert(0, alarm)

    def _requests(self) -> None:
        pass

    def _unmetered_use(self) -> None:
        pass

    def _add(self, naming: Naming, trigger: Trigger) -> None:
        self.all.append(self._maker.make(self, naming, trigger))

    def _of_incident(self, naming: Naming, trigger: Trigger) -> None:
        topics = _SILENT if self._figures.spend_incident else None
        alarm = self._maker.make(self, naming, trigger, topics=topics)
        self.all.append(alarm)
        self._incident.append(alarm)

    def _gauge(
        self,
        name: str,
        dimensions: dict[str, str] | None = None,
        *,
        statistic: str = cloudwatch.Stats.MAXIMUM,
        period: Duration = _MINUTE,
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=metrics.NAMESPACE,
            metric_name=name,
            dimensions_map={metrics.DEPLOYMENT: self._maker.deployment, **(dimensions or {})},
            statistic=statistic,
            period=period,
        )


def _dollars(amount: Decimal) -> str:
    return f"${amount:,f}"
