"""How late each net is: what stands between a dollar that is spent and somebody who hears of it.

Worst cases: nothing of AWS is down and nothing crashes, but every step takes as long as its
settings let it. A step is a setting of ours, or what AWS documents, and says which. Usually all of
it takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from spendfuse.upkeep.deployment import AlarmPace, Deployment, Sender

METERED = "metered calls, of any provider"
AWS_BILL = "AWS's bill only: no invoice of OpenAI's, say"

_HOUR, _DAY = 3600, 86_400
_BUDGETS_PAGE = "docs.aws.amazon.com/cost-management/latest/userguide/budgets-managing-costs.html"
_ANOMALY_PAGE = "docs.aws.amazon.com/cost-management/latest/userguide/manage-ad.html"
_QUEUE_PAGE = "docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"
_STREAM_PAGE = "docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"
_ALARM_PAGE = "docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html"
_METRIC_PAGE = "repost.aws/questions/QUGIWUPlEYQWaCBm9x2WfnWA"


@dataclass(frozen=True, slots=True)
class Step:
    what: str
    seconds: int
    source: str
    """The setting that bounds it, or where AWS says so."""


@dataclass(frozen=True, slots=True)
class Net:
    """One way in which spend is seen."""

    name: str
    sees: str
    steps: tuple[Step, ...] = ()
    """None of them: before the money is spent."""

    @property
    def seconds(self) -> int:
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True, slots=True)
class Nets:
    """All nets of one deployment."""

    deployment: Deployment
    sender: Sender

    @property
    def guard(self) -> Net:
        return Net("guard: the request is refused", METERED)

    @property
    def by_stream(self) -> Net:
        steps = (*self._counted(), self._stream(), self._watch(), *self._told())
        return Net("ledger, by the table's stream", METERED, steps)

    @property
    def by_schedule(self) -> Net:
        steps = (*self._counted(), self._next_minute(), self._watch(), *self._told())
        return Net("ledger, the stream's record lost", METERED, steps)

    @property
    def after_a_crash(self) -> Net:
        """The recorder dies at its end, and the message comes again."""
        again = Step(
            "the message comes again",
            self.deployment.usage_visibility_seconds,
            "usage queue: visibility",
        )
        counted = self._counted()
        steps = (*counted, again, counted[-1], self._stream(), self._watch(), *self._told())
        return Net("ledger, the recorder died once", METERED, steps)

    @property
    def fuse(self) -> Net:
        """Until all keys of the fuse are off; apps with the SDK stop at the beginning of it."""
        trip = Step("trip_fuse disables the keys", self.deployment.trip_timeout_seconds, "timeout")
        steps = (*self._counted(), self._stream(), self._watch(), self._topic(), trip)
        return Net("fuse: the keys are off", METERED, steps)

    def alarm(self, name: str, pace: AlarmPace) -> Net:
        return Net(f"alarm {name}", METERED, (*self._counted(), *self._alarmed(pace)))

    def aws_budget(self, name: str, *, is_daily: bool) -> Net:
        """Return AWS Budgets; a daily one is about the day before."""
        day = (Step("the day ends", _DAY, f"daily budgets tell of yesterday: {_BUDGETS_PAGE}"),)
        billed = Step("AWS adds up the bill", _DAY, f"8 to 24 hours: {_BUDGETS_PAGE}")
        steps = (*(day if is_daily else ()), billed, *self._told())
        return Net(f"AWS budget {name}", AWS_BILL, steps)

    @property
    def cost_anomaly(self) -> Net:
        billed = Step("the bill has it", _DAY, f"up to 24 hours: {_ANOMALY_PAGE}")
        looked = Step("AWS looks", 8 * _HOUR, f"about three times a day: {_ANOMALY_PAGE}")
        return Net("AWS Cost Anomaly Detection", AWS_BILL, (billed, looked, *self._told()))

    def _counted(self) -> tuple[Step, ...]:
        sender = self.sender
        back_offs = sum(2**attempt for attempt in range(sender.attempts - 1))
        tries = sender.attempts * (sender.connect_seconds + sender.read_seconds) + back_offs
        return (
            Step("the SDK gathers records", _up(sender.linger_seconds), "its sink: linger"),
            Step("it sends them", _up(tries), "its sink: timeouts and attempts"),
            Step("Lambda takes the pack", 1, f"long polls: {_QUEUE_PAGE}"),
            Step("record_usage counts it", self.deployment.record_timeout_seconds, "timeout"),
        )

    def _stream(self) -> Step:
        return Step("the stream wakes watch_budgets", 1, f"4 polls a second: {_STREAM_PAGE}")

    def _next_minute(self) -> Step:
        seconds = self.deployment.schedule_seconds
        return Step("the schedule wakes watch_budgets", seconds, "its rate")

    def _watch(self) -> Step:
        seconds = self.deployment.watch_timeout_seconds
        return Step("watch_budgets publishes the rung", seconds, "timeout")

    def _alarmed(self, pace: AlarmPace) -> tuple[Step, ...]:
        stacks = self.deployment
        return (
            Step("the schedule wakes publish_gauges", stacks.schedule_seconds, "its rate"),
            Step("it publishes the figure", stacks.gauges_timeout_seconds, "timeout"),
            Step("CloudWatch has it", 10, f"a few seconds: {_METRIC_PAGE}"),
            Step(
                f"{pace.enough} of {pace.of_last} periods are beyond the figure",
                pace.period_seconds * pace.enough,
                "the alarm's period and M of N",
            ),
            Step("CloudWatch looks", 60, f"each minute: {_ALARM_PAGE}"),
            *self._told(),
        )

    def _told(self) -> tuple[Step, ...]:
        notify = self.deployment.notify_timeout_seconds
        return (self._topic(), Step("notify tells people", notify, "timeout"))

    def _topic(self) -> Step:
        return Step("topic and queue hand it on", 1, "remembered: AWS names no bound")


def _up(seconds: float) -> int:
    return -int(-seconds // 1)
