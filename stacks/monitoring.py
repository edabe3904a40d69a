"""The monitoring stack: alarms for people, one dashboard, and both for the toolkit itself."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from constructs import Construct

from spendfuse.budget import Budget
from stacks.alarm_figures import AlarmFigures
from stacks.alarms import Alarms
from stacks.dashboard import Dashboard
from stacks.topics import Topics
from stacks.watched import Watched


class MonitoringStack(Stack):
    """What looks at the ledger's metrics, and at the functions, queues and topics themselves."""

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
        super().__init__(
            scope, construct_id, description="spendfuse: alarms, and the dashboard of all of it"
        )
        self.alarms = Alarms(
            self,
            "Alarms",
            deployment=deployment,
            topics=topics,
            watched=watched,
            budgets=budgets,
            figures=figures,
            mails=mails,
        )
        Dashboard(
            self,
            "Dashboard",
            deployment=deployment,
            watched=watched,
            budgets=budgets,
            alarms=self.alarms.all,
            warning_percent=figures.budget_warning_percent,
        )
