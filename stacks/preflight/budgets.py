"""AWS Budgets: their rungs, subscribers and names, and filters that count nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.preflight.assembly import Resource, listed, mapping, number, objects, shown, text
from stacks.preflight.rule import Rule

BUDGET = "AWS::Budgets::Budget"

_API = "https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/"
_CREATE = f"{_API}API_budgets_CreateBudget.html"
_NOTIFICATION = f"{_API}API_budgets_Notification.html"
_SUBSCRIBERS = f"{_API}API_budgets_NotificationWithSubscribers.html"
_BUDGET = f"{_API}API_budgets_Budget.html"
_TAGS = "https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html"
_MARKETPLACE = "https://docs.aws.amazon.com/bedrock/latest/userguide/model-access.html"

_TOPICS, _EMAILS, _RUNGS, _NAME_CHARACTERS = 1, 10, 10, 100
_OPERATORS = {"GREATER_THAN": ">", "LESS_THAN": "<", "EQUAL_TO": "="}
_BEDROCK = "Amazon Bedrock"


def _subscribers(budget: Resource) -> Iterator[str]:
    for each in _notifications(budget):
        subscribers = objects(each.get("Subscribers"))
        types = Counter(text(subscriber.get("SubscriptionType")) for subscriber in subscribers)
        topics, emails = types["SNS"], types["EMAIL"]
        if topics > _TOPICS or emails > _EMAILS:
            yield (
                f"the rung {_rung(each)} has {topics} SNS topics and {emails} e-mail addresses; "
                "AWS Budgets takes 1 topic and 10 addresses (CreationLimitExceededException): "
                "publish to one topic, and subscribe the others to that"
            )
        if isinstance(each.get("Subscribers"), list) and not subscribers:
            yield (
                f"the rung {_rung(each)} tells nobody; AWS Budgets takes 1 subscriber at least "
                "(InvalidParameterException): give it a topic or an e-mail address"
            )


def _few_rungs(budget: Resource) -> Iterator[str]:
    count = len(_notifications(budget))
    if count > _RUNGS:
        yield (
            f"has {count} rungs, ACTUAL and FORECASTED together; AWS Budgets takes {_RUNGS} "
            "notifications a budget (CreationLimitExceededException): take some out"
        )


def _rungs_once(budget: Resource) -> Iterator[str]:
    counts = Counter(_rung(each) for each in _notifications(budget))
    for rung, count in counts.items():
        if count > 1 and "?" not in rung:
            yield (
                f"has the rung {rung} {count} times; AWS Budgets refuses a notification that it "
                "has already (DuplicateRecordException): write it once, with all its subscribers"
            )


def _name(budget: Resource) -> Iterator[str]:
    name = budget.rendered(_data(budget).get("BudgetName"))
    if name is None:
        return
    lower = name.lower()
    strange = ":" in name or "\\" in name or "/action/" in lower or "<script>" in lower
    if strange or not 1 <= len(name) <= _NAME_CHARACTERS:
        yield (
            f"is named {name!r} ({len(name)} characters); AWS Budgets takes names of 1 to "
            f"{_NAME_CHARACTERS} characters without ':', '\\' and '/action/' "
            "(InvalidParameterException): name it otherwise"
        )


def _own_name(budget: Resource) -> Iterator[str]:
    name = budget.known(_data(budget).get("BudgetName"))
    names = [
        each.known(_data(each).get("BudgetName")) for each in budget.assembly.resources(BUDGET)
    ]
    if name is not None and names.count(name) > 1:
        yield (
            f"is named {name!r}, as another budget is; AWS Budgets wants each name once in an "
            "account (DuplicateRecordException): name them apart"
        )


def _positive(budget: Resource) -> Iterator[str]:
    amount = number(mapping(_data(budget).get("BudgetLimit")).get("Amount"))
    if amount is not None and amount <= 0:
        yield (
            f"has a limit of {shown(amount)}; AWS Budgets takes amounts above 0 "
            "(InvalidParameterException): write the dollars of one period"
        )


def _misses_marketplace(budget: Resource) -> Iterator[str]:
    if _BEDROCK in _filtered(budget, "Service", "SERVICE"):
        yield (
            f'counts Service = "{_BEDROCK}" alone; AWS bills models of other makers through AWS '
            "Marketplace, as services of their own such as "
            '"Claude Sonnet 4 (Amazon Bedrock Edition)", so this budget misses most of what they '
            "cost. Take the filter out, list those services beside it as Cost Explorer names them, "
            "or filter by a tag of your inference profiles"
        )


def _wants_active_tags(budget: Resource) -> Iterator[str]:
    tags = sorted(set(_filtered(budget, "TagKeyValue", "")) | set(_tag_keys(budget)))
    if tags:
        yield (
            f"counts by tag ({', '.join(tags)}); a tag counts once it is active as a cost "
            "allocation tag, from then on and up to 24 h later, and until then this budget stands "
            "at $0 and never rings. Activate it in the payer account: "
            "aws ce update-cost-allocation-tags-status --cost-allocation-tags-status "
            f"TagKey={_key(tags[0])},Status=Active"
        )


RULES = (
    Rule("budget subscribers", _SUBSCRIBERS, (BUDGET,), _subscribers),
    Rule("budget rungs", _CREATE, (BUDGET,), _few_rungs),
    Rule("budget rung twice", _CREATE, (BUDGET,), _rungs_once),
    Rule("budget name", _BUDGET, (BUDGET,), _name),
    Rule("budget name twice", _CREATE, (BUDGET,), _own_name),
    Rule("budget amount", f"{_API}API_budgets_Spend.html", (BUDGET,), _positive),
    Rule("budget of Bedrock", _MARKETPLACE, (BUDGET,), _misses_marketplace, warns=True),
    Rule("budget by tag", _TAGS, (BUDGET,), _wants_active_tags, warns=True),
)


def _notifications(budget: Resource) -> list[Mapping[str, Any]]:
    return objects(budget.properties.get("NotificationsWithSubscribers"))


def _rung(notification: Mapping[str, Any]) -> str:
    """Return a rung as people write it, with "?" for what is not known yet."""
    rung = mapping(notification.get("Notification"))
    unit = "USD" if rung.get("ThresholdType") == "ABSOLUTE_VALUE" else "%"
    threshold = number(rung.get("Threshold"))
    operator = _OPERATORS.get(str(rung.get("ComparisonOperator")), "?")
    kind = text(rung.get("NotificationType")) or "?"
    return f"{kind} {operator} {'?' if threshold is None else f'{shown(threshold)}'} {unit}"


def _data(budget: Resource) -> Mapping[str, Any]:
    return mapping(budget.properties.get("Budget"))


def _filtered(budget: Resource, cost_filter: str, dimension: str) -> list[str]:
    """Return the values that a budget filters by, whichever of AWS's two ways it is written in."""
    data = _data(budget)
    found = listed(mapping(data.get("CostFilters")).get(cost_filter))
    for expression in _expressions(data.get("FilterExpression")):
        of_dimension = mapping(expression.get("Dimensions"))
        if dimension and of_dimension.get("Key") == dimension:
            found = found + listed(of_dimension.get("Values"))
    return [each for each in found if isinstance(each, str)]


def _tag_keys(budget: Resource) -> Iterator[str]:
    for expression in _expressions(_data(budget).get("FilterExpression")):
        key = text(mapping(expression.get("Tags")).get("Key"))
        if key:
            yield key


def _expressions(expression: object) -> Iterator[Mapping[str, Any]]:
    for each in objects(expression):
        yield each
        for part in ("And", "Or", "Not"):
            yield from _expressions(each.get(part))


def _key(tag: str) -> str:
    """Return the key of ``user:Team$search``, as AWS writes a tag in a filter."""
    return tag.removeprefix("user:").partition("$")[0]
