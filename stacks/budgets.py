"""The budgets stack: AWS's own view of the bill, hours late, but of everything.

AWS Budgets and, where it is asked for, Cost Anomaly Detection.

A rung has one SNS subscriber at most, so each publishes to one topic: the rung that trips
to ``trips``, all others to ``alerts``. Each budget's name changes with its rungs: AWS can
only replace them, and cannot while the old name is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from aws_cdk import Stack
from aws_cdk import aws_budgets as budgets
from constructs import Construct

from stacks.cost_anomaly import CostAnomaly, CostAnomalySettings
from stacks.topics import Topics

_TIME_UNITS = {"day": "DAILY", "month": "MONTHLY"}


class AwsBudget(Protocol):
    """What the configuration says of one AWS budget."""

    @property
    def aws_name(self) -> str: ...
    @property
    def limit_usd(self) -> Decimal: ...
    @property
    def period(self) -> str: ...
    @property
    def actual_percents(self) -> Sequence[int]: ...
    @property
    def forecast_percents(self) -> Sequence[int]: ...
    @property
    def trip_percent(self) -> int | None: ...
    @property
    def filters(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def emails(self) -> Sequence[str]: ...


class BudgetsStack(Stack):
    """One AWS::Budgets::Budget for each that is configured, and a subscription to anomalies."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        topics: Topics,
        aws_budgets: Sequence[AwsBudget],
        cost_anomaly: CostAnomalySettings | None,
    ) -> None:
        super().__init__(
            scope, construct_id, description="spendfuse: AWS Budgets, the backstop of the ledger"
        )
        # Below a construct, CDK adds a hash to logical ids: "a.b" and "a-b" stay apart.
        parent = Construct(self, "Budgets")
        for each in aws_budgets:
            budgets.CfnBudget(
                parent,
                _construct_id(each),
                budget=_budget_data(each),
                notifications_with_subscribers=_notifications(each, topics),
            )
        if cost_anomaly:
            CostAnomaly(
                self,
                "CostAnomaly",
                deployment=deployment,
                topic=topics.alerts,
                settings=cost_anomaly,
            )


def _construct_id(budget: AwsBudget) -> str:
    """The configured name, without the hash: one resource, however its rungs change."""
    return budget.aws_name.rpartition("-")[0]


def _budget_data(budget: AwsBudget) -> budgets.CfnBudget.BudgetDataProperty:
    return budgets.CfnBudget.BudgetDataProperty(
        budget_name=budget.aws_name,
        budget_type="COST",
        time_unit=_TIME_UNITS[budget.period],
        budget_limit=budgets.CfnBudget.SpendProperty(
            # CloudFormation wants a number; it is written as the text it came from.
            amount=float(budget.limit_usd),
            unit="USD",
        ),
        cost_filters={key: list(values) for key, values in budget.filters.items()} or None,
        # Credits and refunds are no less spending: they would only hide it.
        cost_types=budgets.CfnBudget.CostTypesProperty(include_credit=False, include_refund=False),
    )


def _notifications(
    budget: AwsBudget, topics: Topics
) -> list[budgets.CfnBudget.NotificationWithSubscribersProperty]:
    alerts, trips = topics.alerts.topic_arn, topics.trips.topic_arn
    actual = [
        _notification(
            "ACTUAL", percent, trips if percent == budget.trip_percent else alerts, budget.emails
        )
        for percent in budget.actual_percents
    ]
    forecast = [
        _notification("FORECASTED", percent, alerts, budget.emails)
        for percent in budget.forecast_percents
    ]
    return actual + forecast


def _notification(
    kind: str, percent: int, topic_arn: str, emails: Sequence[str]
) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
    subscriber = budgets.CfnBudget.SubscriberProperty
    return budgets.CfnBudget.NotificationWithSubscribersProperty(
        notification=budgets.CfnBudget.NotificationProperty(
            notification_type=kind,
            comparison_operator="GREATER_THAN",
            threshold=percent,
            threshold_type="PERCENTAGE",
        ),
        subscribers=[
            subscriber(subscription_type="SNS", address=topic_arn),
            *(subscriber(subscription_type="EMAIL", address=each) for each in emails),
        ],
    )
