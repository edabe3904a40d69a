"""The dashboard of one deployment, from what is wrong and what is spent down to spendfuse itself.

Every line is whole, also before the first data (see ``ledger_metrics``). What is drawn by model,
feature or budget is found by SEARCH, with this deployment's name: a new model needs no
deployment, and two deployments in an account stay apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from spendfuse.budget import Budget
from stacks import own_widgets, request_widgets, spend_widgets
from stacks.ledger_metrics import LedgerMetrics
from stacks.watched import Watched

_GRID = 24
_HALF, _THIRD = _GRID // 2, _GRID // 3
_MOST_ALARMS = 100
"""In one widget."""


class Dashboard(Construct):
    """One AWS::CloudWatch::Dashboard, named like the deployment."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        watched: Watched,
        budgets: Sequence[Budget],
        alarms: Sequence[cloudwatch.IAlarm],
        warning_percent: int | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._ledger = LedgerMetrics(deployment)
        self._watched = watched
        # A budget ``per`` something is one for each value, and has no gauge.
        self._budgets = [budget for budget in budgets if budget.per is None]
        self._alarms = alarms
        self._warning_percent = warning_percent
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=deployment,
            default_interval=Duration.days(1),
            period_override=cloudwatch.PeriodOverride.INHERIT,
        )
        self._head(deployment)
        self._now()
        self._spend()
        self._requests()
        self._toolkit()

    def _head(self, deployment: str) -> None:
        self._row(
            _heading(
                f"# {deployment}\nWhat apps spend on LLMs, as spendfuse counts it. This dashboard "
                "is made by the deployment: what is changed here is lost with the next one."
            )
        )

    def _now(self) -> None:
        if self._alarms:
            status = cloudwatch.AlarmStatusWidget(
                title="Alarms", alarms=list(self._alarms[:_MOST_ALARMS]), width=_HALF, height=6
            )
            self._row(status, spend_widgets.now(self._ledger, width=_HALF))
        else:
            self._row(spend_widgets.now(self._ledger, width=_GRID))
        self._row(
            *spend_widgets.budget_widgets(
                self._ledger, self._budgets, warning_percent=self._warning_percent
            )
        )
        if len(self._budgets) > spend_widgets.MOST_GAUGES:
            self._row(spend_widgets.budget_table(self._ledger))

    def _spend(self) -> None:
        publisher = self._watched.functions["publish_gauges"].function
        self._row(
            spend_widgets.cost_a_day(self._ledger, width=_HALF),
            spend_widgets.top_users(publisher.log_group, width=_HALF),
        )
        self._row(
            *spend_widgets.cost_shares(self._ledger, width=_THIRD),
            request_widgets.tokens(self._ledger, width=_THIRD),
        )

    def _requests(self) -> None:
        self._row(*request_widgets.request_widgets(self._ledger, width=_GRID // 4))

    def _toolkit(self) -> None:
        ledger, watched = self._ledger, self._watched
        self._row(_heading("## spendfuse itself"))
        self._row(
            own_widgets.uncounted(ledger, width=_THIRD),
            *own_widgets.queue_widgets(watched, width=_THIRD),
        )
        self._row(*own_widgets.function_widgets(watched, ledger, width=_HALF))
        self._row(*own_widgets.cost_widgets(watched, self._alarms, self._budgets))

    def _row(self, *widgets: cloudwatch.IWidget) -> None:
        self.dashboard.add_widgets(*widgets)


def _heading(markdown: str) -> cloudwatch.IWidget:
    return cloudwatch.TextWidget(
        markdown=markdown,
        background=cloudwatch.TextWidgetBackground.TRANSPARENT,
        width=_GRID,
        height=2 if "\n" in markdown else 1,
    )
