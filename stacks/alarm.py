"""One alarm: when it rings, what it says of itself, and who hears it.

An alarm tells people when its state changes, and never again until it changes back. So each
trigger says what the absence of data means, and none of them rings before there was any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from decimal import Decimal
from functools import partial

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.ledger_metrics import MINUTE, LedgerMetrics

TEN_MINUTES = Duration.minutes(10)
QUARTER = Duration.minutes(15)

KEEP_STATE = cloudwatch.TreatMissingData.IGNORE
"""No data is no news: the state stays as it was.

CloudWatch's default would forget it, and ring again, or sound an all-clear, with the next data.
"""
NOTHING_WRONG = cloudwatch.TreatMissingData.NOT_BREACHING
"""For what is only measured when it happens."""
ALARMING = cloudwatch.TreatMissingData.BREACHING
"""For what never stops by itself."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Rings when ``enough`` of the last ``of_last`` periods of the metric are beyond a figure."""

    metric: cloudwatch.IMetric
    figure: Decimal | int
    _: KW_ONLY
    comparison: cloudwatch.ComparisonOperator
    without_data: cloudwatch.TreatMissingData
    enough: int = 1
    of_last: int = 1


_Comparison = cloudwatch.ComparisonOperator
above = partial(Trigger, comparison=_Comparison.GREATER_THAN_THRESHOLD)
at_least = partial(Trigger, comparison=_Comparison.GREATER_THAN_OR_EQUAL_TO_THRESHOLD)
below = partial(Trigger, comparison=_Comparison.LESS_THAN_THRESHOLD)


@dataclass(frozen=True, slots=True)
class Naming:
    """What an alarm is called, and what it says to whoever is woken by it."""

    name: str
    """Kebab case; its runbook has the same name."""
    says: str
    """One short sentence, the headline of its message: what is the case when it rings."""
    so: str = ""
    """What follows from it."""
    part: str = ""
    """Of what, where there are several."""
    critical: bool = False

    @property
    def construct_id(self) -> str:
        return self.name.title().replace("-", "") + self.part

    def full_name(self, deployment: str) -> str:
        return "-".join(each for each in (deployment, self.name, self.part) if each)

    def description(self, runbooks: str) -> str:
        """Return the lines from which ``spendfuse.alerts.translation`` words the message."""
        severity = "Severity: critical" if self.critical else ""
        lines = (self.says, self.so, severity, f"Runbook: {runbooks}/{self.name}.md")
        return "\n".join(line for line in lines if line)


_TELLS_PEOPLE = ("alerts", "notify")
"""The topic of the alarms themselves, and the queue and the function that it ends in."""


@dataclass(frozen=True, slots=True)
class AlarmMaker:
    """Makes one deployment's alarms."""

    deployment: str
    runbooks: str
    people: tuple[sns.ITopic, ...]
    """The topics of an alarm that does not name its own."""
    past_notify: sns.ITopic
    """Hears too of what keeps ``notify`` from telling people: as CloudWatch's own JSON."""

    def listeners(self, part: str) -> tuple[sns.ITopic, ...]:
        """Return who hears of a fault of the queue, topic or function."""
        return (*self.people, self.past_notify) if part in _TELLS_PEOPLE else self.people

    def gauge(
        self,
        name: str,
        dimensions: Mapping[str, str] | None = None,
        *,
        statistic: str = cloudwatch.Stats.MAXIMUM,
        period: Duration = MINUTE,
    ) -> cloudwatch.Metric:
        """Return a metric of the ledger; gauges come once a minute, so one of them is a period."""
        ledger = LedgerMetrics(self.deployment)
        return ledger.raw(name, statistic, dimensions=dimensions, period=period)

    def make(
        self,
        scope: Construct,
        naming: Naming,
        trigger: Trigger,
        *,
        topics: Sequence[sns.ITopic] | None = None,
        few_samples: str | None = None,
    ) -> cloudwatch.Alarm:
        """Return an alarm that tells ``topics``, by default people; only those hear of its end."""
        alarm = cloudwatch.Alarm(
            scope,
            naming.construct_id,
            alarm_name=naming.full_name(self.deployment),
            alarm_description=naming.description(self.runbooks),
            metric=trigger.metric,
            comparison_operator=trigger.comparison,
            # CloudWatch's thresholds are floats; nothing is counted with them.
            threshold=float(trigger.figure),
            evaluation_periods=trigger.of_last,
            datapoints_to_alarm=trigger.enough,
            treat_missing_data=trigger.without_data,
            evaluate_low_sample_count_percentile=few_samples,
        )
        self.tell(alarm, topics)
        return alarm

    def tell(self, alarm: cloudwatch.AlarmBase, topics: Sequence[sns.ITopic] | None = None) -> None:
        for topic in self.people if topics is None else topics:
            alarm.add_alarm_action(actions.SnsAction(topic))
            # Each alarm comes to OK with its first data. `notify` keeps that to itself; a topic
            # past it would send people JSON for every alarm of a new deployment.
            if topic in self.people:
                alarm.add_ok_action(actions.SnsAction(topic))
