"""Plays what AWS does by itself and the emulator does not: budgets that are exceeded.

A notification fires once in a period. What it says goes to its subscribers if the topic's and
the key's policies let it, and is dropped otherwise, as on AWS; the answer says which, and why.
"""
# ruff: noqa: SLF001 - the budgets are where the emulator keeps them

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import budgets, sns

from spendfuse.errors import InputError
from spendfuse.sandbox.budget_notice import Spend, due_notice, period_key, subject, text
from spendfuse.sandbox.mail import SendMail
from spendfuse.sandbox.permission import Publisher, refusal

SENDER = "AWS Budgets <budgets@costalerts.amazonaws.com>"
_SUBJECT_LIMIT = 100
_FIRED_IN = "spendfuse:fired-in"
"""Kept beside the notification itself, so that it goes when the budget does."""

logger = logging.getLogger("spendfuse.sandbox")


@dataclass
class Outcome:
    """What was sent to whom, and what was not, and why."""

    fired: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"fired": self.fired, "dropped": self.dropped}


@dataclass(frozen=True)
class AwsPlayer:
    """AWS's billing and its services, for one account."""

    account: str
    region: str
    send_mail: SendMail

    def spend(self, name: str, spend: Spend) -> Outcome:
        """Tell the budget what was spent, and fire the notifications that are due.

        Raises:
            InputError: there is no such budget.
        """
        with request_scope(self.account, self.region):
            budget = budgets._budgets.get(name)
            if budget is None:
                known = ", ".join(sorted(budgets._budgets)) or "none"
                raise InputError(f"no AWS budget {name!r}; there are: {known}")
            _record(budget, spend)
            outcome = Outcome()
            for entry in budgets._notification_store.get(name, []):
                self._fire(budget, entry, spend, outcome)
            return outcome

    def publish_as(
        self, service: str, topic_arn: str, *, source_arn: str, title: str, body: str
    ) -> Outcome:
        """Publish a text to a topic as an AWS service would."""
        with request_scope(self.account, self.region):
            outcome = Outcome()
            publisher = Publisher(service, source_arn, self.account)
            self._publish(topic_arn, publisher, title, body, outcome)
            return outcome

    def _fire(
        self, budget: dict[str, Any], entry: dict[str, Any], spend: Spend, outcome: Outcome
    ) -> None:
        notice = due_notice(budget, entry["notification"], spend, self.account)
        period = period_key(budget["TimeUnit"], spend.at)
        if notice is None or entry.get(_FIRED_IN) == period:
            return
        entry[_FIRED_IN] = period
        entry["notification"]["NotificationState"] = "ALARM"
        title, body = subject(notice), text(notice)
        arn = f"arn:aws:budgets::{self.account}:budget/{notice.budget}"
        publisher = Publisher("budgets.amazonaws.com", arn, self.account)
        for subscriber in entry["subscribers"]:
            address = subscriber["Address"]
            if subscriber["SubscriptionType"] == "SNS":
                self._publish(address, publisher, title, body, outcome)
            else:
                self.send_mail(address, title, body)
                outcome.fired.append({"to": address, "subject": title, "text": body})

    def _publish(
        self, topic_arn: str, publisher: Publisher, title: str, body: str, outcome: Outcome
    ) -> None:
        why = refusal(topic_arn, publisher)
        if why is not None:
            logger.warning("dropped: %s", why)
            outcome.dropped.append({"to": topic_arn, "subject": title, "why": why})
            return
        sns.publish_internal(topic_arn, body, title[:_SUBJECT_LIMIT])
        outcome.fired.append({"to": topic_arn, "subject": title, "text": body})


def _record(budget: dict[str, Any], spend: Spend) -> None:
    calculated = {"ActualSpend": {"Amount": str(spend.actual_usd), "Unit": "USD"}}
    if spend.forecast_usd is not None:
        calculated["ForecastedSpend"] = {"Amount": str(spend.forecast_usd), "Unit": "USD"}
    budget["CalculatedSpend"] = calculated
