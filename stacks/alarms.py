"""All alarms of a deployment: on what is spent, and on spendfuse itself."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from spendfuse.budget import Budget
from stacks.alarm import AlarmMaker
from stacks.alarm_figures import AlarmFigures
from stacks.delivery_alarms import DeliveryAlarms
from stacks.function_alarms import FunctionAlarms
from stacks.request_alarms import RequestAlarms
from stacks.spend_alarms import SpendAlarms
from stacks.topics import Topics
from stacks.watched import Watched


class Alarms(Construct):
    """``all`` of them, those that tell people and those that a composite one speaks for."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        topics: Topics,
        watched: Watched,
        budgets: Sequence[Budget],
        figures: AlarmFigures,
        mails: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        maker = AlarmMaker(
            deployment, figures.runbooks, people=(topics.alerts,), past_notify=topics.mail
        )
        spend = SpendAlarms(self, "Spend", maker=maker, budgets=budgets, figures=figures)
        requests = RequestAlarms(self, "Requests", maker=maker, figures=figures)
        deliveries = DeliveryAlarms(
            self, "Deliveries", maker=maker, watched=watched, figures=figures, mails=mails
        )
        functions = FunctionAlarms(self, "Functions", maker=maker, watched=watched, figures=figures)
        for heartbeat in functions.heartbeats:
            # They ring for silence from their first look on, and what they listen to is a minute
            # old when a first deployment comes to this stack: the later they are made, the better.
            heartbeat.node.add_dependency(spend, requests, deliveries)
        self.all: tuple[cloudwatch.IAlarm, ...] = (
            *spend.all,
            *requests.all,
            *deliveries.all,
            *functions.all,
        )
