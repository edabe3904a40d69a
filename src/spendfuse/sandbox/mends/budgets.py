"""``AWS::Budgets::Budget`` for CloudFormation, and AWS's one topic per notification.

The resource goes through the emulator's own Budgets API, so whatever that refuses fails the
deployment. As on AWS a change of name, type, time unit or notifications makes a new budget
before the old one goes: under a fixed name that fails.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from ministack.services import budgets
from ministack.services.cloudformation import provisioners

Properties = Mapping[str, Any]
Provisioned = tuple[str, dict[str, str]]

TYPE = "AWS::Budgets::Budget"
_NOTIFICATIONS = "NotificationsWithSubscribers"
_REPLACING = ("BudgetName", "BudgetType", "TimeUnit")


class BudgetRefusedError(Exception):
    """The Budgets API's answer, which CloudFormation gives as the reason."""


def mend() -> None:
    """Take the place of the emulator's own."""
    count_checked, add_subscriber = budgets._validate_subscribers, budgets._create_subscriber

    def validate_subscribers(subscribers: Any, **options: Any) -> Any:
        refusal = count_checked(subscribers, **options)
        if refusal is None and topics_of(subscribers) > 1:
            return budgets._err_limit("A notification can have at most 1 SNS subscriber")
        return refusal

    def create_subscriber(request: Mapping[str, Any]) -> Any:
        entry = budgets._find_notification_entry(
            request.get("BudgetName"), request.get("Notification") or {}
        )
        if entry and topics_of([*entry["subscribers"], request.get("Subscriber") or {}]) > 1:
            return budgets._err_limit("A notification can have at most 1 SNS subscriber")
        return add_subscriber(request)

    budgets._validate_subscribers = validate_subscribers
    budgets._DISPATCH["CreateSubscriber"] = create_subscriber
    provisioners._RESOURCE_HANDLERS[TYPE] = {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
    }


def topics_of(subscribers: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of the subscribers are SNS topics."""
    return sum(each.get("SubscriptionType") == "SNS" for each in subscribers)


def create(logical_id: str, properties: Properties, stack: str) -> Provisioned:
    """Make the budget; its name is its physical id."""
    budget = _budget(properties)
    budget.setdefault("BudgetName", provisioners._physical_name(stack, logical_id, max_len=100))
    tags = properties.get("ResourceTags") or []
    request = {
        "Budget": budget,
        _NOTIFICATIONS: _notifications(properties),
        "ResourceTags": [dict(tag) for tag in tags],
    }
    _call(budgets._create_budget, request)
    return budget["BudgetName"], {}


def update(
    physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Provisioned:
    """Change the limit in place; make a new budget for anything that AWS replaces."""
    if needs_replacement(old, new):
        created = create(logical_id, new, stack)
        provisioners._delete_predecessor(delete, physical_id, old)
        return created
    _call(budgets._update_budget, {"NewBudget": {**_budget(new), "BudgetName": physical_id}})
    return physical_id, {}


def delete(physical_id: str, _properties: Properties) -> None:
    """Delete the budget; one that is gone already is deleted."""
    budgets._delete_budget({"BudgetName": physical_id})


def needs_replacement(old: Properties, new: Properties) -> bool:
    """Return whether AWS would make a new budget for this change."""
    before, after = old.get("Budget") or {}, new.get("Budget") or {}
    return old.get(_NOTIFICATIONS) != new.get(_NOTIFICATIONS) or any(
        before.get(name) != after.get(name) for name in _REPLACING
    )


def _budget(properties: Properties) -> dict[str, Any]:
    budget = json.loads(json.dumps(properties.get("Budget") or {}))
    limit = budget.get("BudgetLimit")
    if limit:
        # The API keeps amounts as text; templates have numbers.
        limit["Amount"] = str(limit.get("Amount"))
    return dict(budget)


def _notifications(properties: Properties) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(json.dumps(properties.get(_NOTIFICATIONS) or []))
    for entry in entries:
        notification = entry.get("Notification") or {}
        if isinstance(notification.get("Threshold"), str):
            notification["Threshold"] = float(notification["Threshold"])
    return entries


def _call(operation: Any, request: dict[str, Any]) -> None:
    status, _headers, body = operation(request)
    if status != HTTPStatus.OK:
        answer = json.loads(body)
        raise BudgetRefusedError(
            f"{answer.get('message', body)} (Service: AWSBudgets; Status Code: {status}; "
            f"Error Code: {str(answer.get('__type', '')).rsplit('#', 1)[-1]})"
        )
