"""Alarms on what is spent, and the incident that they are together.

They look at what ``publish_gauges`` publishes once a minute. When it falls silent the heartbeat
rings, and these keep the state they had: neither an alarm nor an all-clear is made of no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from spendfuse import metrics
from spendfuse.budget import Budget
from stacks.alarm import KEEP_STATE, AlarmMaker, Naming, Trigger, above, at_least
from stacks.alarm_figures import AlarmFigures
from stacks.ledger_metrics import FIVE_MINUTES


class SpendAlarms(Construct):
    """One alarm a figure; those of a spend incident ring as one, or else each by itself."""

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
        self._incident: list[cloudwatch.IAlarmRule] = []
        self.all: list[cloudwatch.AlarmBase] = []
        self._high_daily_cost()
        self._hourly_spend()
        self._spend_anomaly()
        for budget in budgets:
            # Of a budget for each user there is no gauge: it would be a metric for each of them.
            if budget.per is None:
                self._budget_used(budget)
        if figures.spend_incident and self._incident:
            self.all.insert(0, self._spend_incident())

    def _high_daily_cost(self) -> None:
        usd = self._figures.high_daily_cost_usd
        if usd is None:
            return
        self._of_incident(
            Naming(
                "high-daily-cost",
                f"More than {dollars(usd)} were spent today (UTC).",
                critical=True,
            ),
            # A day's sum only grows: no second look is needed, and at midnight it ends by itself.
            above(self._maker.gauge(metrics.DAY_TO_DATE_USD), usd, without_data=KEEP_STATE),
        )

    def _hourly_spend(self) -> None:
        usd = self._figures.hourly_spend_usd
        if usd is None:
            return
        self._of_incident(
            Naming(
                "hourly-spend",
                f"More than {dollars(usd)} were spent in the last 60 minutes.",
                critical=True,
            ),
            # It rings at once and ends after five minutes below: a spend that hovers about the
            # figure would else ring every few minutes.
            above(
                self._maker.gauge(metrics.HOURLY_USD),
                usd,
                without_data=KEEP_STATE,
                enough=1,
                of_last=5,
            ),
        )

    def _spend_anomaly(self) -> None:
        """Compare the last hour with what CloudWatch learnt of such hours.

        Without two weeks of data the band is wide, and without any there is none: no alarm.
        """
        band = self._figures.anomaly_band
        if band is None:
            return
        naming = Naming(
            "spend-anomaly",
            "The spend of the last 60 minutes is far above what it usually is at this time.",
            f"It left a band of {band:g} standard deviations about what CloudWatch expects.",
        )
        hourly = self._maker.gauge(metrics.HOURLY_USD, period=FIVE_MINUTES)
        detector = cloudwatch.CfnAnomalyDetector(
            self,
            "Detector",
            namespace=hourly.namespace,
            metric_name=hourly.metric_name,
            dimensions=[
                cloudwatch.CfnAnomalyDetector.DimensionProperty(name=name, value=value)
                for name, value in (hourly.dimensions or {}).items()
            ],
            # The model is known by this too: another statistic would be another model.
            stat=hourly.statistic,
        )
        alarm = cloudwatch.AnomalyDetectionAlarm(
            self,
            naming.construct_id,
            alarm_name=naming.full_name(self._maker.deployment),
            alarm_description=naming.description(self._maker.runbooks),
            metric=hourly,
            std_devs=band,
            # To spend less than usual is no incident.
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_UPPER_THRESHOLD,
            # A quarter of an hour: the last hour's sum changes slowly, and a spike stays in it.
            evaluation_periods=3,
            datapoints_to_alarm=3,
            treat_missing_data=KEEP_STATE,
        )
        alarm.node.add_dependency(detector)
        self._join_incident(alarm, only_if=self._worth_an_incident())

    def _worth_an_incident(self) -> cloudwatch.Alarm | None:
        """Return the alarm without which an anomaly is one of cents, and sets off nothing.

        Of idle hours CloudWatch learns a band of no width, which any request leaves.
        """
        usd = self._figures.anomaly_usd
        if usd is None or not self._figures.spend_incident:
            return None
        naming = Naming(
            "spend-anomaly",
            f"{dollars(usd)} or more were spent in the last 60 minutes.",
            "It says nothing by itself: an anomaly below is none that sets off the spend incident.",
            part="floor",
        )
        floor = at_least(self._maker.gauge(metrics.HOURLY_USD), usd, without_data=KEEP_STATE)
        alarm = self._maker.make(self, naming, floor, topics=())
        self.all.append(alarm)
        return alarm

    def _budget_used(self, budget: Budget) -> None:
        warning = self._figures.budget_warning_percent
        critical = self._figures.budget_critical_percent
        if warning is not None:
            self._add_beside_ladder(budget, warning, part="warning")
        if critical is None:
            return
        if budget.is_root:
            self._of_incident(*self._share_used(budget, critical, part="critical"))
        else:
            self._add_beside_ladder(budget, critical, part="critical")

    def _add_beside_ladder(self, budget: Budget, percent: int, *, part: str) -> None:
        """Add an alarm that is silent where the budget's ladder rings at the same percentage."""
        is_told = any(rung.percent == percent for rung in budget.ladder)
        naming, trigger = self._share_used(budget, percent, part=part)
        topics = () if is_told else None
        self.all.append(self._maker.make(self, naming, trigger, topics=topics))

    def _share_used(self, budget: Budget, percent: int, *, part: str) -> tuple[Naming, Trigger]:
        gauge = self._maker.gauge(metrics.BUDGET_USED_PERCENT, {metrics.BUDGET: budget.name})
        naming = Naming(
            "budget-used",
            f"Budget {budget.name} has used {percent} % of its limit, or more.",
            part=f"{budget.name}-{part}",
            critical=part == "critical",
        )
        return naming, at_least(gauge, percent, without_data=KEEP_STATE)

    def _spend_incident(self) -> cloudwatch.CompositeAlarm:
        naming = Naming(
            "spend-incident",
            "Money goes faster than it was meant to.",
            "The alarms that set this off do not ring by themselves: one cause rings once.",
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
        return alarm

    def _of_incident(self, naming: Naming, trigger: Trigger) -> None:
        self._join_incident(self._maker.make(self, naming, trigger, topics=()))

    def _join_incident(
        self, alarm: cloudwatch.Alarm, *, only_if: cloudwatch.Alarm | None = None
    ) -> None:
        """Have the incident ring for the alarm, which is silent; or itself, if there is none."""
        if not self._figures.spend_incident:
            self._maker.tell(alarm)
        self._incident.append(
            cloudwatch.AlarmRule.all_of(alarm, only_if) if only_if is not None else alarm
        )
        self.all.append(alarm)


def dollars(amount: Decimal) -> str:
    return f"${amount:,f}"
