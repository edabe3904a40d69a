"""Alarms on the functions: whether they run, fail, find room to run, and keep up.

A function that hands single messages back to its queue did not fail, for Lambda: of those
``stacks.delivery_alarms`` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from spendfuse import metrics
from stacks.alarm import (
    ALARMING,
    KEEP_STATE,
    NOTHING_WRONG,
    AlarmMaker,
    Naming,
    Trigger,
    above,
    at_least,
    below,
)
from stacks.alarm_figures import AlarmFigures
from stacks.function import Function
from stacks.ledger_metrics import FIVE_MINUTES, MINUTE
from stacks.watched import Watched

_WATCHER = "watch_budgets"
_TRIES_AGAIN_LATE = "trip_fuse"

_WHEN_IT_FAILS = {
    "record_usage": "usage is counted late",
    "watch_budgets": "rungs ring late",
    "publish_gauges": "alarms and the dashboard see nothing new",
    "notify": "people hear of alerts late",
    "trip_fuse": "keys that should be off may still be on",
    "meter_bedrock": "calls in Bedrock's log are counted late",
}


class FunctionAlarms(Construct):
    """Each rings by itself: a fault of one function is no sign of another's."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        maker: AlarmMaker,
        watched: Watched,
        figures: AlarmFigures,
    ) -> None:
        super().__init__(scope, construct_id)
        self._maker = maker
        self._watched = watched
        self.all: list[cloudwatch.IAlarm] = []
        self.heartbeats: list[cloudwatch.Alarm] = []
        if figures.heartbeat:
            self._heartbeat()
        if figures.function_errors:
            self._function_errors()
        if figures.function_throttles:
            self._function_throttles()
        if figures.stream_lag_seconds is not None:
            self._stream_lag(figures.stream_lag_seconds)

    def _heartbeat(self) -> None:
        """Both of what runs once a minute; whatever else is silent may have nothing to do."""
        beats = self._maker.gauge(metrics.HEARTBEAT, statistic=cloudwatch.Stats.SAMPLE_COUNT)
        self._add_heartbeat(
            Naming(
                "heartbeat",
                "The ledger has published no figures for 5 minutes.",
                "Alarms that look at them are blind; rungs and the fuse do not need them.",
                part="gauges",
                critical=True,
            ),
            beats,
        )
        watch_budgets = self._watched.functions[_WATCHER].function
        runs = watch_budgets.metric_invocations(statistic=cloudwatch.Stats.SUM, period=MINUTE)
        self._add_heartbeat(
            Naming(
                "heartbeat",
                "watch_budgets has not run for 5 minutes.",
                "No rung rings, and nothing trips the fuse but AWS Budgets, hours late.",
                part=_kebab(_WATCHER),
                critical=True,
            ),
            runs,
        )

    def _add_heartbeat(self, naming: Naming, beats: cloudwatch.Metric) -> None:
        trigger = below(beats, 1, without_data=ALARMING, enough=5, of_last=5)
        alarm = self._maker.make(self, naming, trigger)
        self.heartbeats.append(alarm)
        self.all.append(alarm)

    def _function_errors(self) -> None:
        for name, function, scope in self._functions():
            is_critical = name == _TRIES_AGAIN_LATE
            errors = function.function.metric_errors(
                statistic=cloudwatch.Stats.SUM, period=MINUTE if is_critical else FIVE_MINUTES
            )
            self._add(
                Naming(
                    "function-errors",
                    f"The function {name} fails.",
                    f"As long as it does, {_WHEN_IT_FAILS[name]}.",
                    part=_kebab(name),
                    critical=is_critical,
                ),
                # All is tried again, so one failure is none; but a trip is tried again after six
                # minutes only. Not to have run since then is not to have succeeded.
                above(errors, 0, without_data=KEEP_STATE)
                if is_critical
                else above(errors, 0, without_data=KEEP_STATE, enough=2, of_last=3),
                topics=self._maker.listeners(name),
                scope=scope,
            )

    def _function_throttles(self) -> None:
        for name, function, scope in self._functions():
            throttles = function.function.metric_throttles(
                statistic=cloudwatch.Stats.SUM, period=FIVE_MINUTES
            )
            self._add(
                Naming(
                    "function-throttles",
                    f"Lambda has no room to run {name}.",
                    f"As long as it has none, {_WHEN_IT_FAILS[name]}.",
                    part=_kebab(name),
                ),
                above(throttles, 0, without_data=KEEP_STATE, enough=2, of_last=3),
                topics=self._maker.listeners(name),
                scope=scope,
            )

    def _stream_lag(self, seconds: int) -> None:
        age = self._watched.functions[_WATCHER].function.metric(
            "IteratorAge", statistic=cloudwatch.Stats.MAXIMUM, period=MINUTE
        )
        self._add(
            Naming(
                "stream-lag",
                f"watch_budgets sees the ledger's changes {seconds:,} seconds late or later.",
                "Rungs ring all the same, by the look of each minute.",
            ),
            # Nothing read is nothing late: the look of each minute needs no stream.
            at_least(age, seconds * 1000, without_data=NOTHING_WRONG, enough=3, of_last=3),
        )

    def _functions(self) -> Iterator[tuple[str, Function, Construct]]:
        """Yield each function, and where its alarms are made.

        Those of one that may be taken away go with it: they are made in its own stack.
        """
        for name, function in self._watched.functions.items():
            yield name, function, self
        for name, function in self._watched.removable.items():
            yield name, function, function

    def _add(
        self,
        naming: Naming,
        trigger: Trigger,
        *,
        topics: Sequence[sns.ITopic] | None = None,
        scope: Construct | None = None,
    ) -> None:
        alarm = self._maker.make(scope or self, naming, trigger, topics=topics)
        self.all.append(alarm if scope in (None, self) else self._by_name(naming))

    def _by_name(self, naming: Naming) -> cloudwatch.IAlarm:
        """Return an alarm of another stack without a reference to it, which would hold it fast."""
        arn = Stack.of(self).format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=naming.full_name(self._maker.deployment),
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        return cloudwatch.Alarm.from_alarm_arn(self, naming.construct_id, arn)


def _kebab(name: str) -> str:
    return name.replace("_", "-")
