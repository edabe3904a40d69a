"""What concerns two fields at once, checked on the raw block.

On the raw block, because a mistake in one budget must not hide another's: pydantic would
skip these checks as soon as anything else is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from spendfuse.config.mistakes import Mistake, path_of, shown

MAX_AWS_RUNGS = 10
"""https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_Notification.html"""


def cross_mistakes(block: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the mistakes between fields; whatever has the wrong shape is left to the schema."""
    budgets = _objects(block, "budgets")
    aws_budgets = _objects(block, "aws_budgets")
    yield from _repeated_names("budgets", budgets)
    yield from _repeated_names("aws_budgets", aws_budgets)
    yield from _one_root(budgets)
    yield from _too_many_rungs(aws_budgets)
    yield from _unknown_links(aws_budgets, {each.get("name") for _, each in budgets})
    yield from _slack_without_webhook(block, budgets)


Located = list[tuple[int, Mapping[str, Any]]]


def _objects(block: Mapping[str, Any], key: str) -> Located:
    value = block.get(key)
    if not isinstance(value, list):
        return []
    return [(index, each) for index, each in enumerate(value) if isinstance(each, Mapping)]


def _repeated_names(key: str, items: Located) -> Iterator[Mistake]:
    counts = Counter(each["name"] for _, each in items if isinstance(each.get("name"), str))
    for index, each in items:
        name = each.get("name")
        if isinstance(name, str) and counts[name] > 1:
            counts[name] = 0  # one mistake a name
            yield Mistake(
                path_of((key, index, "name")), f"got {name!r}; another one has that name already"
            )


def _one_root(budgets: Located) -> Iterator[Mistake]:
    roots = [index for index, each in budgets if not each.get("match")]
    if budgets and not roots:
        yield Mistake(
            path_of(("budgets",)),
            "every budget has a match; add one without, the root, which counts all usage",
        )
    for index in roots[1:]:
        yield Mistake(
            path_of(("budgets", index, "match")),
            f"is missing, and budgets[{roots[0]}] is the root already; "
            'say what this one counts, such as {"team": "search"}',
        )


def _too_many_rungs(aws_budgets: Located) -> Iterator[Mistake]:
    for index, each in aws_budgets:
        ladders = (each.get("actual_percents"), each.get("forecast_percents"))
        rungs = sum(len(ladder) for ladder in ladders if isinstance(ladder, list))
        if rungs > MAX_AWS_RUNGS:
            yield Mistake(
                path_of(("aws_budgets", index)),
                f"has {rungs} rungs, actual and forecast together; "
                f"an AWS Budget takes {MAX_AWS_RUNGS}",
            )


def _unknown_links(aws_budgets: Located, names: set[object]) -> Iterator[Mistake]:
    for index, each in aws_budgets:
        link = each.get("budget")
        if isinstance(link, str) and link not in names:
            known = ", ".join(sorted(str(name) for name in names))
            yield Mistake(
                path_of(("aws_budgets", index, "budget")),
                f"got {shown(link)}; there is no such budget, write one of: {known}",
            )


def _slack_without_webhook(block: Mapping[str, Any], budgets: Located) -> Iterator[Mistake]:
    alerts = block.get("alerts")
    if isinstance(alerts, Mapping) and alerts.get("slack"):
        return
    for index, budget in budgets:
        for rung_index, rung in enumerate(_rungs(budget)):
            if isinstance(rung, Mapping) and rung.get("notify") == ["slack"]:
                yield Mistake(
                    path_of(("budgets", index, "ladder", rung_index, "notify")),
                    "goes to slack alone, but there is no alerts.slack; add "
                    '{"webhook_secret": "spendfuse/slack-webhook"} there, or write ["email"]',
                )


def _rungs(budget: Mapping[str, Any]) -> list[Any]:
    ladder = budget.get("ladder")
    return ladder if isinstance(ladder, list) else []
