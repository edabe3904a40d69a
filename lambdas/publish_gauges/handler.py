"""Ledger → CloudWatch: what happened, and how things stand.

A schedule wakes it each minute. Apart from watch_budgets, so that CloudWatch's troubles never hold
up a rung. Each part is tried whatever became of the others, the money first, and what failed is
raised in the end: the function's errors are a metric too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

from lambdas import definitions_file
from lambdas.clients import client
from lambdas.publish_gauges.bedrock import BedrockMetrics
from lambdas.publish_gauges.cloudwatch import CloudWatchMetrics
from lambdas.publish_gauges.emails import MailTopic
from lambdas.publish_gauges.settings import Settings
from lambdas.publish_gauges.user_spend import log_user_spend
from spendfuse.clock import utc_now
from spendfuse.definitions import Definitions
from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import gauges
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_named_values import DynamoNamedValues
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.gauges import BudgetSpend, Datum
from spendfuse.ledger.series_state import BEDROCK, SeriesState
from spendfuse.ledger.tally import Series, SeriesKey
from spendfuse.metrics import UNCONFIRMED_EMAILS, UNMETERED_TOKENS

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

ATTEMPTS, READ_SECONDS, CLOUDWATCH_READ_SECONDS = 2, 2, 5
"""Short, because the next minute does it all again: a run must end before the next begins."""
SHARES_UNTIL = timedelta(seconds=25)
"""After a run's start: what is not folded by then is left to the next one."""
_QUARTER = timedelta(minutes=15)
_COMPARED = timedelta(hours=1)
_FIGURES_WAIT = timedelta(hours=1)
"""For CloudWatch: as long as figures wait, no new ones are folded and the gauges stand still."""


class Failures:
    """What failed in a run; the first of it is raised at its end."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Let what fails inside end there, and the run go on."""
        try:
            yield
        except Exception as error:
            logger.exception(what)
            self._errors.append(error)

    def add(self, error: Exception) -> None:
        logger.error("%s", error)
        self._errors.append(error)

    def raise_first(self) -> None:
        if self._errors:
            raise self._errors[0]


class Metrics(Protocol):
    """Where data points go; both return how many were refused for what they are."""

    def put(self, data: Sequence[Datum]) -> int: ...
    def put_once(self, data: Sequence[Datum]) -> int: ...


@dataclass
class Flows:
    """Publishes the figures of each fold, once."""

    metrics: Metrics
    named: DynamoNamedValues
    failing_since: datetime | None = None

    def publish(
        self, figures: Mapping[SeriesKey, Series], now: datetime, failures: Failures
    ) -> None:
        """Publish figures under the minutes in which they came about.

        Where CloudWatch takes none for an hour, they are given up, so that the fold goes on and
        the gauges, which alarms look at, don't stand still.

        Raises:
            UnavailableError: keep the figures for the next run.
        """
        named = self.named.after(gauges.used_values(figures), now.astimezone(UTC).date())
        found = gauges.flows(figures, named, now)
        if found.too_old.requests:
            logger.warning(
                "%d requests of more than two weeks ago are in the ledger and in no metric",
                found.too_old.requests,
            )
        try:
            _count_refused(self.metrics.put_once(found.data), failures)
        except UnavailableError as error:
            self.failing_since = self.failing_since or now
            if now - self.failing_since < _FIGURES_WAIT:
                raise
            failures.add(error)
            logger.error("%d data points are given up", len(found.data))  # noqa: TRY400
        else:
            self.failing_since = None


@dataclass
class EachQuarter:
    """What is worth its price only once in 15 minutes: in the first run of each that succeeds."""

    done: dict[str, datetime] = field(default_factory=dict)
    """By this process; another one's first run does it all again, which does no harm."""

    def is_due(self, part: str, now: datetime) -> bool:
        return self.done.get(part) != _last_quarter(now)

    def did(self, part: str, now: datetime) -> None:
        self.done[part] = _last_quarter(now)


@dataclass(frozen=True)
class PublishGauges:
    """Publishes a minute's metrics."""

    tallies: DynamoTallies
    ledger: DynamoLedger
    overrides: DynamoOverrides
    flows: Flows
    metrics: Metrics
    bedrock: BedrockMetrics
    mail: MailTopic
    definitions: Definitions
    now: Callable[[], datetime]
    each_quarter: EachQuarter = field(default_factory=EachQuarter)

    def __call__(self) -> None:
        now, failures = self.now(), Failures()
        state = self._folded_state(now, failures)
        with failures.noted("the gauges were not published"):
            self._put(self._gauges(state, now, failures), failures)
        self._seldom(state, now, failures)
        with failures.noted("the shares were not folded"):
            root = self.definitions.root.name
            self.tallies.fold_shares(
                now,
                lambda shares: log_user_spend(shares, root),
                goes_on=lambda: self.now() < now + SHARES_UNTIL,
            )
        failures.raise_first()

    def _folded_state(self, now: datetime, failures: Failures) -> SeriesState | None:
        def publish(figures: Mapping[SeriesKey, Series]) -> None:
            self.flows.publish(figures, now, failures)

        with failures.noted("the series were not folded"):
            return self.tallies.take_series(now, publish)
        with failures.noted("the state of the series can't be read"):
            return self.tallies.series_state()
        return None

    def _gauges(self, state: SeriesState | None, now: datetime, failures: Failures) -> list[Datum]:
        data = [gauges.heartbeat(now), *gauges.zeros(now)]
        if state is not None:
            data += gauges.standing(state, now)
        # Without the limits in force there are no percentages: one of the configured limit could
        # raise a false alarm, or none.
        with failures.noted("no limit set lately is known"):
            overrides = self.overrides.overrides()
            limits = self.definitions.limits._replace(overrides=overrides)
            # A budget of each user is as many budgets: none of them is worth a metric.
            for budget in (each for each in limits.budgets if each.per is None):
                with failures.noted(f"budget {budget.name} was not looked at"):
                    spent = self.ledger.total(budget.name, budget.period_at(now).key)
                    limit = limits.limit_nano_usd(budget)
                    spend = BudgetSpend(budget.name, spent.nano_usd, limit)
                    data.append(gauges.budget_used(spend, now))
        return data

    def _seldom(self, state: SeriesState | None, now: datetime, failures: Failures) -> None:
        parts: dict[str, Callable[[], Datum | None]] = {
            UNCONFIRMED_EMAILS: lambda: gauges.unconfirmed_emails(self.mail.unconfirmed(), now)
        }
        if state is not None:
            parts[UNMETERED_TOKENS] = lambda: self._unmetered(state, now)
        for part, look in parts.items():
            if self.each_quarter.is_due(part, now):
                with failures.noted(f"{part} is not known"):
                    found = look()
                    if found is not None:
                        self._put([found], failures)
                        self.each_quarter.did(part, now)

    def _unmetered(self, state: SeriesState, now: datetime) -> Datum | None:
        """Compare the last hour of which all should have been metered by now.

        None while figures wait to be folded: what is in them is metered, and not in the state.
        """
        if self.tallies.series_wait(before=_last_quarter(now)):
            return None
        until = _last_quarter(now) - _QUARTER
        since = until - _COMPARED
        counted = self.bedrock.tokens(since, until)
        return gauges.unmetered_tokens(counted, state.tokens(BEDROCK, since, until), now)

    def _put(self, data: Sequence[Datum], failures: Failures) -> None:
        _count_refused(self.metrics.put(data), failures)


def _count_refused(refused: int, failures: Failures) -> None:
    if refused:
        failures.add(InputError(f"CloudWatch refused {refused} data points; the log has each"))


def _last_quarter(now: datetime) -> datetime:
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


@cache
def build() -> PublishGauges:
    """Wire the publisher to AWS, on the first event and not on import."""
    settings = Settings.from_env(os.environ)
    definitions = definitions_file.load()
    dynamodb = client("dynamodb", attempts=ATTEMPTS, read_seconds=READ_SECONDS)
    cloudwatch = client("cloudwatch", attempts=ATTEMPTS, read_seconds=CLOUDWATCH_READ_SECONDS)
    sns = client("sns", attempts=ATTEMPTS, read_seconds=READ_SECONDS)
    metrics = CloudWatchMetrics(cloudwatch, definitions.deployment)
    return PublishGauges(
        tallies=DynamoTallies(dynamodb, settings.ledger_table),
        ledger=DynamoLedger(dynamodb, settings.ledger_table),
        overrides=DynamoOverrides(dynamodb, settings.ledger_table),
        flows=Flows(metrics, DynamoNamedValues(dynamodb, settings.ledger_table)),
        metrics=metrics,
        bedrock=BedrockMetrics(cloudwatch),
        mail=MailTopic(sns, settings.mail_topic_arn),
        definitions=definitions,
        now=utc_now,
    )


def handler(event: dict[str, Any], context: object) -> None:  # noqa: ARG001
    """Publish this minute's metrics; the schedule's event says nothing."""
    build()()
