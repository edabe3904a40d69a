"""Alarms on spendfuse itself: what waits, what fails, what falls silent.

What would keep ``notify`` from telling people goes to the topic ``mail`` too, past ``notify``: as
CloudWatch's own JSON, which is better than nothing.
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
    FIVE_MINUTES,
    KEEP_STATE,
    MINUTE,
    NOTHING_WRONG,
    QUARTER,
    TEN_MINUTES,
    AlarmMaker,
    Naming,
    Trigger,
    above,
    at_least,
    below,
)
from stacks.alarm_figures import AlarmFigures
from stacks.function import Function
from stacks.watched import Watched

_TELLS_PEOPLE = "notify"
"""The function and its queue; they listen to the topic ``alerts``."""
_ALERTS, _MAIL = "alerts", "mail"

_WHEN_IT_FAILS = {
    "record_usage": "usage is counted late",
    "watch_budgets": "rungs ring late",
    "publish_gauges": "alarms and the dashboard see nothing new",
    "notify": "people hear of alerts late",
    "trip_fuse": "keys that should be off may still be on",
    "meter_bedrock": "calls in Bedrock's log are counted late",
}
_WHAT_IS_DEAD = {
    "usage": "Usage that could not be counted",
    "notify": "An alert that nobody could be told",
    "trip": "An order to trip that the fuse could not carry out",
}
_WHAT_WAITS = {
    "usage": "Usage is counted late",
    "notify": "People hear of alerts late",
    "trip": "The fuse trips late",
}
_CRITICAL_WHEN_DEAD = ("notify", "trip")
_CRITICAL_WHEN_FAILING = ("trip_fuse",)


class OwnAlarms(Construct):
    """Each rings by itself: a fault of one part is no sign of another's."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        maker: AlarmMaker,
        watched: Watched,
        figures: AlarmFigures,
        mails: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self._maker = maker
        self._watched = watched
        self._past_notify = (*maker.people, watched.topics[_MAIL])
        self.all: list[cloudwatch.IAlarm] = []
        if figures.heartbeat:
            self._heartbeat()
        if figures.dead_letters:
            self._dead_letters()
        if figures.queue_age_seconds is not None:
            self._queue_age(figures.queue_age_seconds)
        if figures.queue_stuck:
            self._queue_stuck()
        if figures.function_errors:
            self._function_errors()
        if figures.function_throttles:
            self._function_throttles()
        if figures.stream_lag_seconds is not None:
            self._stream_lag(figures.stream_lag_seconds)
        if figures.delivery_failures:
            self._delivery_failures()
        if figures.unconfirmed_emails and mails:
            self._unconfirmed_emails()

    def _heartbeat(self) -> None:
        """Both of what runs once a minute; whatever else is silent may have nothing to do.

        The stacks that they run in are deployed before this one, so they beat before it looks.
        """
        beats = self._maker.gauge(metrics.HEARTBEAT, statistic=cloudwatch.Stats.SAMPLE_COUNT)
        self._add(
            Naming(
                "heartbeat",
                "The ledger has published no figures for 5 minutes.",
                "Alarms that look at them are blind; rungs and the fuse do not need them.",
                part="gauges",
                critical=True,
            ),
            below(beats, 1, without_data=ALARMING, enough=5, of_last=5),
        )
        watch_budgets = self._watched.functions["watch_budgets"].function
        runs = watch_budgets.metric_invocations(statistic=cloudwatch.Stats.SUM, period=MINUTE)
        self._add(
            Naming(
                "heartbeat",
                "watch_budgets has not run for 5 minutes.",
                "No rung rings, and nothing trips the fuse but AWS Budgets, hours late.",
                part="watch-budgets",
                critical=True,
            ),
            below(runs, 1, without_data=ALARMING, enough=5, of_last=5),
        )

    def _dead_letters(self) -> None:
        for name, queue in self._watched.queues.items():
            waiting = queue.dead_letters.metric_approximate_number_of_messages_visible(
                statistic=cloudwatch.Stats.MAXIMUM, period=MINUTE
            )
            self._add(
                Naming(
                    "dead-letters",
                    f"{_WHAT_IS_DEAD[name]} is in a dead-letter queue.",
                    "It waits there for a person, and is deleted after 14 days.",
                    part=name,
                    critical=name in _CRITICAL_WHEN_DEAD,
                ),
                # SQS stops measuring a queue that nobody has touched for six hours, whatever is
                # in it: silence must not look like an empty queue.
                above(waiting, 0, without_data=KEEP_STATE),
                topics=self._topics_about(name),
            )

    def _queue_age(self, seconds: int) -> None:
        for name, queue in self._watched.queues.items():
            age = queue.queue.metric_approximate_age_of_oldest_message(
                statistic=cloudwatch.Stats.MAXIMUM, period=MINUTE
            )
            self._add(
                Naming(
                    "queue-age",
                    f"{_WHAT_WAITS[name]}.",
                    f"A message has waited {seconds:,} seconds or longer in its queue.",
                    part=name,
                ),
                # An empty queue has no oldest message.
                at_least(age, seconds, without_data=NOTHING_WRONG, enough=3, of_last=3),
                topics=self._topics_about(name),
            )

    def _queue_stuck(self) -> None:
        """Look for messages that are received again and again.

        Nothing else sees them until they are dead, hours later: SQS leaves what was received
        three times out of a queue's age, and a function that hands messages back did not fail.
        """
        for name, queue in self._watched.queues.items():
            received, deleted = (
                metric(statistic=cloudwatch.Stats.SUM, period=TEN_MINUTES)
                for metric in (
                    queue.queue.metric_number_of_messages_received,
                    queue.queue.metric_number_of_messages_deleted,
                )
            )
            undone = cloudwatch.MathExpression(
                expression="FILL(received, 0) - 2 * FILL(deleted, 0)",
                using_metrics={"received": received, "deleted": deleted},
                label="Received, beyond twice as many as were deleted",
                period=TEN_MINUTES,
            )
            self._add(
                Naming(
                    "queue-stuck",
                    f"Most of what is in the queue {name} fails again and again.",
                    f"{_WHAT_WAITS[name]}, if at all; after 100 attempts it is dead.",
                    part=name,
                    critical=name in _CRITICAL_WHEN_DEAD,
                ),
                # One message received just before a period's end and deleted just after it is a
                # period with nothing done; two in a row are no chance. What failed is offered
                # again within six minutes, unless Slack asks for a longer rest.
                above(undone, 0, without_data=NOTHING_WRONG, enough=2, of_last=2),
                topics=self._topics_about(name),
            )

    def _function_errors(self) -> None:
        for name, function, scope in self._functions():
            is_critical = name in _CRITICAL_WHEN_FAILING
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
                topics=self._topics_about(name),
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
                topics=self._topics_about(name),
                scope=scope,
            )

    def _stream_lag(self, seconds: int) -> None:
        age = self._watched.functions["watch_budgets"].function.metric(
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

    def _delivery_failures(self) -> None:
        for name, topic in self._watched.topics.items():
            topics = self._past_notify if name == _ALERTS else None
            failed = topic.metric_number_of_notifications_failed(
                statistic=cloudwatch.Stats.SUM, period=FIVE_MINUTES
            )
            # SNS counts a failure when it happens and nothing when all is well.
            self._add(
                Naming(
                    "delivery-failures",
                    f"SNS could not deliver a message of the topic {name} to a subscriber.",
                    part=name,
                ),
                above(failed, 0, without_data=NOTHING_WRONG),
                topics=topics,
            )
            if name == _MAIL:
                # An e-mail address has no dead-letter queue.
                continue
            lost = topic.metric(
                "NumberOfNotificationsFailedToRedriveToDlq",
                statistic=cloudwatch.Stats.SUM,
                period=FIVE_MINUTES,
            )
            self._add(
                Naming(
                    "delivery-failures",
                    f"A message of the topic {name} is lost.",
                    "Neither its subscriber nor the dead-letter queue took it.",
                    part=f"{name}-lost",
                    critical=True,
                ),
                above(lost, 0, without_data=NOTHING_WRONG),
                topics=topics,
            )

    def _unconfirmed_emails(self) -> None:
        self._add(
            Naming(
                "unconfirmed-emails",
                "An e-mail address has not confirmed its subscription for an hour.",
                "No alert reaches it.",
            ),
            # An hour, as the deployment that asks people to confirm also makes this alarm.
            at_least(
                self._maker.gauge(metrics.UNCONFIRMED_EMAILS, period=QUARTER),
                1,
                without_data=KEEP_STATE,
                enough=4,
                of_last=4,
            ),
        )

    def _functions(self) -> Iterator[tuple[str, Function, Construct]]:
        """Yield each function, and where its alarms are made.

        Those of one that may be taken away go with it: they are made in its own stack.
        """
        for name, function in self._watched.functions.items():
            yield name, function, self
        for name, function in self._watched.removable.items():
            yield name, function, function

    def _topics_about(self, name: str) -> Sequence[sns.ITopic] | None:
        return self._past_notify if name == _TELLS_PEOPLE else None

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
