"""How the nets' delays read: for people, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spendfuse.cli.ledger_text import folded
from spendfuse.cli.price_layout import GAP, table, width
from spendfuse.upkeep.nets import Net, Nets
from spendfuse.upkeep.reach import PACE_MULTIPLE, BudgetReach, Level, PaceReach, Sighting

_CENT = Decimal("0.01")
_WIDEST = 98
_HEADS = ("", "reached at", "seen by", "within", "spent")
_WHO_SEES_WHAT = (
    "Guard, ledger, fuse and alarms see metered calls of any provider. AWS Budgets and Cost "
    "Anomaly Detection see AWS's bill alone: no invoice of OpenAI's or Anthropic's. The guard "
    "refuses in apps that reserve; a forecast of AWS's needs 5 weeks of history."
)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Reach:
    """All that is shown of one deployment."""

    deployment: str
    is_given: bool
    """Whether somebody said how fast money goes."""
    nets: Nets
    budgets: tuple[BudgetReach, ...]
    aws_budgets: tuple[BudgetReach, ...]
    usd_per_hour: Decimal
    """For the alarms on the pace."""
    paces: tuple[PaceReach, ...]


def reach_json(reach: Reach) -> dict[str, Any]:
    """Return it for programs: dollars are text, seconds numbers, None where there is no bound."""
    return {
        "deployment": reach.deployment,
        "usd_per_hour": _usd(reach.usd_per_hour) if reach.is_given else None,
        "pace": "given" if reach.is_given else f"{PACE_MULTIPLE} times each budget's even pace",
        "budgets": [_budget_json(each) for each in reach.budgets],
        "aws_budgets": [_budget_json(each) for each in reach.aws_budgets],
        "paces": [
            {
                "net": each.name,
                "figure": each.figure,
                "usd_per_hour": _usd(reach.usd_per_hour),
                "seconds": each.seconds,
                "usd": None if each.usd is None else _usd(each.usd),
                "note": each.note,
                "sees": each.net.sees,
                "steps": _steps_json(each.net),
            }
            for each in reach.paces
        ],
    }


def _budget_json(budget: BudgetReach) -> dict[str, Any]:
    return {
        "name": budget.name,
        "limit_usd": _usd(budget.limit_usd),
        "period": budget.period,
        "per": budget.per,
        "usd_per_hour": _usd(budget.usd_per_hour),
        "rungs": [_level_json(each) for each in budget.levels],
    }


def _level_json(level: Level) -> dict[str, Any]:
    return {
        "percent": level.percent,
        "kind": level.kind,
        "reached_at_usd": _usd(level.usd),
        "trips": level.trips,
        "nets": [
            {
                "net": each.net.name,
                "sees": each.net.sees,
                "seconds": each.seconds,
                "usd": None if each.usd is None else _usd(each.usd),
                "note": each.note,
                "steps": _steps_json(each.net),
            }
            for each in level.sightings
        ],
    }


def _steps_json(net: Net) -> list[dict[str, Any]]:
    return [
        {"what": step.what, "seconds": step.seconds, "source": step.source} for step in net.steps
    ]


def reach_lines(reach: Reach) -> Iterator[str]:
    """Yield it for people, as wide as their terminal."""
    yield f"{reach.deployment}: how late each net is at worst, and what is spent until then"
    for budget in reach.budgets:
        yield ""
        yield from _title(budget, "budget", is_given=reach.is_given)
        yield from _levels(budget)
    for budget in reach.aws_budgets:
        yield ""
        yield from _title(budget, "AWS budget", is_given=reach.is_given)
        yield from _levels(budget)
    if reach.paces:
        yield ""
        yield f"alarms on the pace, from when {_rate(reach.usd_per_hour)} begin"
        rows = [_pace_row(each) for each in reach.paces]
        yield from table(list(folded(rows, columns=(1, 2))), right=(2, 3))
    yield ""
    yield from _steps(reach)


def _title(budget: BudgetReach, what: str, *, is_given: bool) -> list[str]:
    span = "in total" if budget.period == "total" else f"a {budget.period}"
    each = f" for each {budget.per}" if budget.per else ""
    why = "" if is_given else f", {PACE_MULTIPLE} times its even pace"
    title = (
        f"{what} {budget.name}: {_dollars(budget.limit_usd)} {span}{each}; "
        f"at {_rate(budget.usd_per_hour)}{why}"
    )
    return textwrap.wrap(title, _columns(), subsequent_indent=GAP)


def _levels(budget: BudgetReach) -> Iterator[str]:
    if not budget.levels:
        yield "  nothing looks at it: it has no rungs, and the guard lets everything pass"
        return
    rows: list[tuple[str, ...]] = [_HEADS]
    for level in budget.levels:
        head = (_kind(level), _dollars(level.usd))
        for sighting in level.sightings:
            rows.append((*head, sighting.net.name, *_within(sighting)))
            head = ("", "")
    yield from table(list(folded(rows, columns=(2,))), right=(1, 3, 4))


def _kind(level: Level) -> str:
    words = {"rung": "", "alarm": "alarm", "limit": "limit", "forecast": "forecast"}
    return f"{level.percent:>4} % {'trips' if level.trips else words[level.kind]}".rstrip()


def _within(sighting: Sighting) -> tuple[str, str]:
    if sighting.seconds is None or sighting.usd is None:
        return "no bound", ""
    within = duration(sighting.seconds) if sighting.seconds else "before"
    return within, _dollars(sighting.usd)


def _pace_row(pace: PaceReach) -> tuple[str, ...]:
    if pace.seconds is None or pace.usd is None:
        return pace.name, pace.figure, pace.note, ""
    return pace.name, pace.figure, duration(pace.seconds), _dollars(pace.usd)


def _steps(reach: Reach) -> Iterator[str]:
    nets = reach.nets
    yield "The worst of each step, where AWS is up and each takes what its settings allow:"
    for net in (nets.by_stream, nets.by_schedule, nets.after_a_crash, nets.fuse):
        yield from _wrapped(net.name, net)
    alarms = [each.net for each in reach.paces if each.net.name.startswith("alarm")]
    for net in alarms[:1]:
        yield from _wrapped(net.name, net)
    yield from textwrap.wrap(_WHO_SEES_WHAT, _columns())


def _wrapped(title: str, net: Net) -> Iterator[str]:
    yield f"  {title}"
    line = "   "
    for step in net.steps:
        part = f" {step.what} {duration(step.seconds)};"
        if len(line) + len(part) > _columns():
            yield line
            line = "   "
        line += part
    yield line.rstrip(";")


def _columns() -> int:
    return min(width(), _WIDEST)


def duration(seconds: int) -> str:
    """Return ``2 min 48 s``, ``24 h 1 min``: the two largest parts."""
    days, rest = divmod(seconds, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2]) or "0 s"


def _rate(amount: Decimal) -> str:
    return f"{_dollars(amount)} an hour"


def _dollars(amount: Decimal) -> str:
    return f"${amount.quantize(_CENT, ROUND_HALF_UP):,}"


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.000000001')):f}"
