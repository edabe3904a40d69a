"""Ledger → alerts and trips.

The table's stream wakes it within a second; a schedule runs the same check each minute over
every budget and publishes what is still pending. So no stream record is ever needed.

A limit that was set since the deployment beats the configured one. The schedule's run also writes
down what is deployed, so that apps know the budgets without a file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Literal

from lambdas import definitions_file
from lambdas.clients import client
from lambdas.watch_budgets.limits_in_force import LimitsInForce
from lambdas.watch_budgets.rung_alert import rung_alert, without_order
from lambdas.watch_budgets.settings import Settings
from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.budget import Budget
from spendfuse.clock import utc_now
from spendfuse.definitions import Definitions
from spendfuse.errors import InputError
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse_state import Allowance, FuseState
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.ledger.pack import LATEST_USAGE
from spendfuse.ledger.rungs import (
    DueRung,
    FiredRung,
    RungHistory,
    RungKey,
    Sighting,
    due_rungs,
    first_sighting,
)
from spendfuse.period import Period

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_KEYS_IN_AN_ORDER = 100
_PENDING_IS_STUCK_AFTER = timedelta(seconds=20)
"""Longer than another watcher needs between writing a rung down and publishing it."""

Topic = Literal["alerts", "trips"]


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to see of one budget in one period."""

    budget: Budget
    """With the limit in force."""
    period: Period
    spent: Delta
    history: RungHistory
    allowance: Allowance | None
    sighting: Sighting

    over: bool
    """Whether the period is; nothing trips in it then."""

    def due(self) -> list[DueRung]:
        return self._due_beside(self.history.spent_keys(self.budget, over=self.over))

    def still_trips(self, key: RungKey) -> bool:
        """Whether a rung whose order is pending would give it now too."""
        due = self._due_beside(self.history.keys - {key})
        return not self.over and any(each.key == key and each.rung.trips for each in due)

    def _due_beside(self, fired: Collection[RungKey]) -> list[DueRung]:
        return due_rungs(self.budget, self.spent.nano_usd, fired, self.allowance, self.sighting)


@dataclass(frozen=True)
class WatchBudgets:
    """Fires what is due, and publishes what is still pending."""

    ledger: DynamoLedger
    fuse: DynamoFuse
    definitions: Definitions
    limits: LimitsInForce
    publish: Callable[[str, Topic], None]
    """Puts an alert's JSON on a topic."""
    now: Callable[[], datetime]

    def __call__(self, watched: Iterable[tuple[Budget, Period]]) -> None:
        state, limits = self.fuse.state(), self.limits.read()
        failures: list[Exception] = []
        for configured, period in watched:
            budget = replace(configured, limit_nano_usd=limits.limit_nano_usd(configured))
            # What is spent ahead of its period waits for it: a trip there would come to nothing.
            if period.start <= self.now():
                for work in self._due_work(budget, period, state, failures):
                    _attempt(work, failures)
        if failures:
            raise failures[0]

    def _due_work(
        self, budget: Budget, period: Period, state: FuseState, failures: list[Exception]
    ) -> list[Callable[[], None]]:
        """Return what is to be published, what trips first; each may fail without the others."""
        try:
            look = self._look(budget, period, state)
        except Exception as error:
            logger.exception("budget %s in %s was not checked", budget.name, period.key)
            failures.append(error)
            return []
        due = sorted(look.due(), key=lambda each: not each.rung.trips)
        return [
            *(partial(self._fire, each, look) for each in due),
            *(partial(self._resend, each, look) for each in self._stuck(look.history)),
        ]

    def _look(self, budget: Budget, period: Period, state: FuseState) -> Look:
        history = self.ledger.rungs.history(budget.name, period.key)
        over = period.end <= self.now()
        if over and history.last_limit_nano_usd is not None:
            # A limit that was set since is about the days to come.
            budget = replace(budget, limit_nano_usd=history.last_limit_nano_usd)
        spent = self.ledger.total(budget.name, period.key)
        return Look(
            budget=budget,
            period=period,
            spent=spent,
            history=history,
            allowance=state.allowance(budget.name, period.key),
            sighting=self._sighting(budget, period, spent, history),
            over=over,
        )

    def _sighting(
        self, budget: Budget, period: Period, spent: Delta, history: RungHistory
    ) -> Sighting:
        """Return how the limit was first seen in the period: just now, if there is no row of it."""
        rungs, limit_nano_usd = self.ledger.rungs, budget.limit_nano_usd
        known = history.sighting(limit_nano_usd)
        if known is None:
            found = first_sighting(budget, spent.nano_usd, history, self.now())
            if rungs.sight(budget.name, period.key, found):
                return found
            # Another watcher saw it first, perhaps at a lower spend: what that one found holds.
            return rungs.history(budget.name, period.key).sighting(limit_nano_usd) or found
        if known.turn < history.last_turn:
            rungs.return_to(budget.name, period.key, limit_nano_usd, history.last_turn + 1)
        return known

    def _stuck(self, history: RungHistory) -> list[FiredRung]:
        now = self.now()
        return [
            each
            for each in history.fired
            if each.status == "pending" and now - each.fired_at > _PENDING_IS_STUCK_AFTER
        ]

    def _resend(self, stuck: FiredRung, look: Look) -> None:
        logger.warning("rung %s of %s was still pending", stuck.key, look.budget.name)
        alert = alert_from_json(stuck.alert)
        if alert.trip is not None and not look.still_trips(stuck.key):
            logger.warning("rung %s of %s trips no more", stuck.key, look.budget.name)
            alert = without_order(alert, look.budget, look.spent)
        self._send(look, stuck.key, alert)

    def _fire(self, due: DueRung, look: Look) -> None:
        budget, period = look.budget, look.period
        dearest_keys = (
            self.ledger.dearest_keys(budget.name, period.key, most=_KEYS_IN_AN_ORDER)
            if due.rung.trips
            else ()
        )
        alert = rung_alert(
            due,
            budget,
            period,
            look.spent,
            definitions=self.definitions,
            dearest_keys=dearest_keys,
            now=self.now(),
        )
        fired = FiredRung(
            due.key, "pending", alert.to_json(), self.now(), orders=alert.trip is not None
        )
        if self.ledger.rungs.fire(budget.name, period.key, fired):
            self._send(look, due.key, alert)

    def _send(self, look: Look, key: RungKey, alert: Alert) -> None:
        orders = alert.trip is not None
        self.publish(alert.to_json(), "trips" if orders else "alerts")
        self.ledger.rungs.mark_sent(look.budget.name, look.period.key, key, orders=orders)
        logger.info("rung %s of %s in %s rang", key, look.budget.name, look.period.key)


def _attempt(work: Callable[[], None], failures: list[Exception]) -> None:
    try:
        work()
    except Exception as error:
        # One alert that can't be published must not hold up the others, a trip least of all.
        logger.exception("an alert stays pending")
        failures.append(error)


def every_budget(definitions: Definitions, now: datetime) -> Iterable[tuple[Budget, Period]]:
    """Yield each budget's current period and the one before, and once an hour all that count.

    Usage may come 35 days late; the older periods are looked at less often, since almost
    nothing happens there. Budgets ``per`` an attribute have no rungs.
    """
    oldest = now - LATEST_USAGE if now.minute == 0 else now
    for budget in definitions.budgets:
        if budget.per is not None:
            continue
        period = budget.period_at(now)
        yield budget, period
        if period.previous != period:
            period = period.previous
            yield budget, period
        while period.start > oldest:
            period = period.previous
            yield budget, period


def touched_budgets(
    event: dict[str, Any], definitions: Definitions
) -> Iterable[tuple[Budget, Period]]:
    """Yield the budgets and periods whose totals a batch of stream records changed."""
    partitions = {record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"]}
    for partition in sorted(partitions):
        _, name, key = partition.split("#", 2)
        budget = definitions.budget(name)
        if budget is None or budget.per is not None:
            continue
        try:
            yield budget, budget.period_of(key)
        except InputError as error:
            # Left from a time when the budget had another kind of period.
            logger.info("%s is passed over: %s", partition, error)


@cache
def build() -> WatchBudgets:
    """Wire the watcher to AWS, on the first event and not on import."""
    settings = Settings.from_env(os.environ)
    definitions = definitions_file.load()
    sns = client("sns")
    topics = {"alerts": settings.alerts_topic_arn, "trips": settings.trips_topic_arn}

    def publish(alert: str, topic: Topic) -> None:
        sns.publish(TopicArn=topics[topic], Message=alert)

    dynamodb = client("dynamodb")
    return WatchBudgets(
        ledger=DynamoLedger(dynamodb, settings.ledger_table),
        fuse=DynamoFuse(dynamodb, settings.fuse_table, definitions.fuse.name),
        definitions=definitions,
        limits=LimitsInForce(DynamoOverrides(dynamodb, settings.ledger_table), definitions),
        publish=publish,
        now=utc_now,
    )


def handler(event: dict[str, Any], context: object) -> None:  # noqa: ARG001
    """Check the budgets of the event's stream records, or all of them on the schedule."""
    watch = build()
    if "Records" in event:
        watch(touched_budgets(event, watch.definitions))
    else:
        watch.limits.write_down(watch.now())
        watch(every_budget(watch.definitions, watch.now()))
