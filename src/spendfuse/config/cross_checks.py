"""What concerns two fields at once, checked on the raw block.

On the raw block, because a mistake in one budget must not hide another's: pydantic would
skip these checks as soon as anything else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spendfuse.config.fields import MAX_STACK_NAME, STACK_NAME
from spendfuse.config.mistakes import Mistake, path_of, shown
from spendfuse.config.schema import BudgetUsedBlock
from spendfuse.config.trip_notice import unannounced_trips
from spendfuse.period import PERIOD_KINDS

MAX_BUDGETS = 100
"""Once an hour watch_budgets reads 35 days of each in one run: at 5 ms a read, 37 of its 50 s."""
AWS_PERIODS = ("day", "month")
MAX_AWS_RUNGS = 10
"""https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_Notification.html"""


def cross_mistakes(block: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the mistakes between fields; whatever has the wrong shape is left to the schema."""
    budgets = _objects(block, "budgets")
    aws_budgets = _objects(block, "aws_budgets")
    yield from limit_mistakes(block)
    yield from _repeated_names(aws_budgets=aws_budgets)
    yield from _one_root(budgets)
    yield from _too_many_rungs(aws_budgets)
    yield from _daily_forecasts(aws_budgets)
    yield from _unknown_links(aws_budgets, _names(budgets))
    yield from _links_per_value(aws_budgets, budgets)
    yield from _borrowed_limits(aws_budgets, budgets)
    yield from _no_key_stores(block)
    yield from _unheard(block, budgets)
    yield from unannounced_trips(block, budgets, aws_budgets)
    yield from _late_warning(block)
    yield from _stage_names(block)


def limit_mistakes(block: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield those between the fields of budgets and rates, which a file of budgets may have too."""
    budgets, rates = _objects(block, "budgets"), _objects(block, "rates")
    yield from _repeated_names(budgets=budgets, rates=rates)
    yield from _too_many_budgets(budgets)
    yield from _wrong_ladders(budgets)


def is_root(budget: Mapping[str, Any]) -> bool:
    """Return whether a raw budget counts all usage, as one."""
    return not budget.get("match") and not budget.get("per")


Located = list[tuple[int, Mapping[str, Any]]]


def _objects(block: Mapping[str, Any], key: str) -> Located:
    value = block.get(key)
    if not isinstance(value, list):
        return []
    return [(index, each) for index, each in enumerate(value) if isinstance(each, Mapping)]


def _repeated_names(**lists: Located) -> Iterator[Mistake]:
    """Yield the names that another one has: counters and people know them by their names."""
    seen: dict[str, str] = {}
    for key, items in lists.items():
        for index, each in items:
            name = each.get("name")
            if not isinstance(name, str):
                continue
            path = path_of((key, index, "name"))
            if name in seen:
                yield Mistake(path, f"got {shown(name)}; {seen[name]} has that name already")
            seen.setdefault(name, path.removeprefix("spendfuse.").removesuffix(".name"))


def _one_root(budgets: Located) -> Iterator[Mistake]:
    roots = [index for index, each in budgets if is_root(each)]
    if budgets and not roots:
        yield Mistake(
            path_of(("budgets",)),
            "every budget has a match or a per; add one without, the root, which counts all usage",
        )
    for index in roots[1:]:
        yield Mistake(
            path_of(("budgets", index, "match")),
            f"is missing, and budgets[{roots[0]}] is the root already; "
            'say what this one counts, such as {"team": "search"}',
        )


def _wrong_ladders(budgets: Located) -> Iterator[Mistake]:
    for index, each in budgets:
        ladder, per = each.get("ladder"), each.get("per")
        path = path_of(("budgets", index, "ladder"))
        if per and isinstance(per, str) and isinstance(ladder, list) and ladder:
            yield Mistake(
                path,
                f"got {shown(ladder)}; a budget per {per} refuses requests, and neither rings nor "
                f"trips: one {per} must not stop the others. Leave its ladder out, or write a "
                "budget without per",
            )
        elif ladder == [] and not per:
            yield Mistake(
                path,
                "got []; it is empty; write at least one rung, such as 100, or leave it out for "
                "the default ladder",
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


def _names(budgets: Located) -> list[str]:
    return sorted({each["name"] for _, each in budgets if isinstance(each.get("name"), str)})


def _unknown_links(aws_budgets: Located, names: Sequence[str]) -> Iterator[Mistake]:
    known = f"write one of: {', '.join(names)}" if names else "add it to budgets"
    for index, each in aws_budgets:
        link = each.get("budget")
        if isinstance(link, str) and link not in names:
            yield Mistake(
                path_of(("aws_budgets", index, "budget")),
                f"got {shown(link)}; there is no such budget, {known}",
            )


def _links_per_value(aws_budgets: Located, budgets: Located) -> Iterator[Mistake]:
    """Yield the AWS budgets that would join the incidents of a budget that has none."""
    pers = {each.get("name"): each.get("per") for _, each in budgets if each.get("per")}
    for index, each in aws_budgets:
        link = each.get("budget")
        if isinstance(link, str) and link in pers:
            yield Mistake(
                path_of(("aws_budgets", index, "budget")),
                f"got {shown(link)}, which is a budget for each {pers[link]}; AWS's bill knows "
                "none of them: name a budget without per, or leave it out for the root",
            )


def _borrowed_limits(aws_budgets: Located, budgets: Located) -> Iterator[Mistake]:
    """Yield the AWS budgets that would take a day's, a week's or a total limit for a month's."""
    for index, aws_budget in aws_budgets:
        wanted = aws_budget.get("budget")
        link = next(
            (
                each
                for _, each in budgets
                if (is_root(each) if wanted is None else each.get("name") == wanted)
            ),
            None,
        )
        if link is None or aws_budget.get("limit_usd") is not None:
            continue
        period, other = (each.get("period", "month") for each in (aws_budget, link))
        if period != other and period in AWS_PERIODS and other in PERIOD_KINDS:
            span = "for all time" if other == "total" else f"for a {other}"
            yield Mistake(
                path_of(("aws_budgets", index, "limit_usd")),
                f"is missing, and the limit of {shown(link.get('name'))} is {span}, not "
                f"for a {period}; write the dollars of one {period}",
            )


def _no_key_stores(block: Mapping[str, Any]) -> Iterator[Mistake]:
    fuse = block.get("fuse")
    if isinstance(fuse, Mapping) and fuse.get("key_stores") == [] and fuse.get("mode") != "off":
        yield Mistake(
            path_of(("fuse", "key_stores")),
            'got []; a trip would disable nothing: write ["api_gateway"], '
            'leave it out, or set fuse.mode to "off"',
        )


def _unheard(block: Mapping[str, Any], budgets: Located) -> Iterator[Mistake]:
    """Yield the rungs that no one would hear of; a mail stands in where there is no Slack."""
    alerts = block.get("alerts", {})
    if not isinstance(alerts, Mapping):
        return
    if not alerts.get("emails") and not alerts.get("slack"):
        yield Mistake(
            path_of(("alerts",)),
            "nobody would hear of anything; add emails, or slack with a webhook_secret, or both",
        )
        return
    missing = next((key for key in ("emails", "slack") if not alerts.get(key)), None)
    channel = {"emails": "email", "slack": "slack"}.get(str(missing))
    for index, budget in budgets:
        for rung_index, rung in enumerate(_rungs(budget)):
            if channel and isinstance(rung, Mapping) and rung.get("notify") == [channel]:
                yield Mistake(
                    path_of(("budgets", index, "ladder", rung_index, "notify")),
                    f"goes to {channel} alone, but alerts.{missing} is not set; "
                    "set it, or name the other channel",
                )


def _late_warning(block: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the warning that would only come once it is critical; defaults count too."""
    alarms = block.get("alarms")
    used = alarms.get("budget_used") if isinstance(alarms, Mapping) else None
    if not isinstance(used, Mapping):
        return
    defaults = BudgetUsedBlock()
    warning = used.get("warning_percent", defaults.warning_percent)
    critical = used.get("critical_percent", defaults.critical_percent)
    if isinstance(warning, int) and isinstance(critical, int) and warning >= critical:
        yield Mistake(
            path_of(("alarms", "budget_used")),
            f"warns at {warning} % and is critical from {critical} % on; "
            "write a warning_percent below the critical_percent",
        )


def _stage_names(block: Mapping[str, Any]) -> Iterator[Mistake]:
    stages = block.get("stages")
    for stage in stages if isinstance(stages, Mapping) else ():
        name = f"{block.get('name', 'spendfuse')}-{stage}"
        if not STACK_NAME.fullmatch(name):
            yield Mistake(
                path_of(("stages", stage)),
                f"the deployment would be called {shown(name)}, and its stacks after it; "
                f"write 1 to {MAX_STACK_NAME} letters, digits and -, name and stage together",
            )


def _too_many_budgets(budgets: Located) -> Iterator[Mistake]:
    if len(budgets) > MAX_BUDGETS:
        yield Mistake(
            path_of(("budgets",)),
            f"has {len(budgets)}; {MAX_BUDGETS} at most are watched, each minute and in one run. "
            'Where there is one for each team or user, write one with "per"',
        )


def _daily_forecasts(aws_budgets: Located) -> Iterator[Mistake]:
    for index, each in aws_budgets:
        if each.get("period") == "day" and each.get("forecast_percents"):
            yield Mistake(
                path_of(("aws_budgets", index, "forecast_percents")),
                "AWS has no forecasts for daily budgets; leave it out, or write period month",
            )


def _rungs(budget: Mapping[str, Any]) -> list[Any]:
    ladder = budget.get("ladder")
    return ladder if isinstance(ladder, list) else []
