"""Alarms on what carries messages: queues, topics, and the addresses that mail goes to.

What would keep ``notify`` from telling people goes to the topic ``mail`` too, past ``notify``: as
CloudWatch's own JSON, which is better than nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from spendfuse import metrics
from stacks.alarm import (
    KEEP_STATE,
    NOTHING_WRONG,
    QUARTER,
    TEN_MINUTES,
    AlarmMaker,
    Naming,
    Trigger,
    above,
    at_least,
)
from stacks.alarm_figures import AlarmFigures
from stacks.ledger_metrics import FIVE_MINUTES, MINUTE
from stacks.watched import Watched

_MAIL = "mail"

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
_GRAVE = ("notify", "trip")


class DeliveryAlarms(Construct):
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
        self.all: list[cloudwatch.Alarm] = []
        if figures.dead_letters:
            self._dead_letters()
        if figures.queue_age_seconds is not None:
            self._queue_age(figures.queue_age_seconds)
        if figures.queue_stuck:
            self._queue_stuck()
        if figures.delivery_failures:
            for name, topic in watched.topics.items():
                self._delivery_failures(name, topic)
        if figures.unconfirmed_emails and mails:
            self._unconfirmed_emails()

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
                    critical=name in _GRAVE,
                ),
                # SQS stops measuring a queue that nobody has touched for six hours, whatever is
                # in it: silence must not look like an empty queue.
                above(waiting, 0, without_data=KEEP_STATE),
                topics=self._maker.listeners(name),
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
                topics=self._maker.listeners(name),
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
                    critical=name in _GRAVE,
                ),
                # One message received just before a period's end and deleted just after it is a
                # period with nothing done; two in a row are no chance. What failed is offered
                # again within six minutes, unless Slack asks for a longer rest.
                above(undone, 0, without_data=NOTHING_WRONG, enough=2, of_last=2),
                topics=self._maker.listeners(name),
            )

    def _delivery_failures(self, name: str, topic: sns.ITopic) -> None:
        listeners = self._maker.listeners(name)
        failed = topic.metric_number_of_notifications_failed(
            statistic=cloudwatch.Stats.SUM, period=FIVE_MINUTES
        )
        # SNS counts a failure when it happens, and nothing when all is well.
        self._add(
            Naming(
                "delivery-failures",
                f"SNS could not deliver a message of the topic {name} to a subscriber.",
                part=name,
            ),
            above(failed, 0, without_data=NOTHING_WRONG),
            topics=listeners,
        )
        if name == _MAIL:
            # An e-mail address has no dead-letter queue.
            return
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
            topics=listeners,
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

    def _add(
        self, naming: Naming, trigger: Trigger, *, topics: Sequence[sns.ITopic] | None = None
    ) -> None:
        self.all.append(self._maker.make(self, naming, trigger, topics=topics))
