"""How budgets and rates read: what they count, for how long, and what happens at the limit."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping

from spendfuse.budget import Budget, Rate
from spendfuse.money import display_usd
from spendfuse.period import UTC_ZONE

_MODES = {
    "strict": "refuses what does not fit",
    "fit": "lowers max_tokens to what is left",
    "observe": "refuses nothing, and reports",
}
ALL_USAGE = "all usage"


def printable(text: str) -> str:
    """Return text that can't move a terminal's cursor: a user's id may hold anything."""
    return text if text.isprintable() else json.dumps(text)


def shell_text(text: str) -> str:
    """Return text as a shell reads it back, and as harmless to a terminal."""
    if text.isprintable():
        return shlex.quote(text)
    # Escaped byte by byte: bash, zsh and ksh read that.
    return "$'" + "".join(f"\\x{byte:02x}" for byte in text.encode()) + "'"


def match_text(match: Mapping[str, str]) -> str:
    parts = (f"{printable(name)}={printable(value)}" for name, value in match.items())
    return ", ".join(parts) or ALL_USAGE


def scope_text(each: Budget | Rate) -> str:
    """Return ``per user, team=search``: whose it is, and what counts in it."""
    if each.per is None:
        return match_text(each.match)
    of = f", {match_text(each.match)}" if each.match else ""
    return f"per {printable(each.per)}{of}"


def limit_text(budget: Budget) -> str:
    """Return ``$10.00 a day for each user``."""
    span = "in total" if budget.period == "total" else f"a {budget.period}"
    return f"{display_usd(budget.limit_nano_usd)} {span}{_each(budget.per)}"


def rate_text(rate: Rate) -> str:
    """Return ``$2.00 a minute for each team``."""
    return f"{display_usd(rate.nano_usd_per_minute)} a minute{_each(rate.per)}"


def _each(per: str | None) -> str:
    return f" for each {printable(per)}" if per else ""


def mode_text(budget: Budget) -> str:
    return f"{budget.mode}: {_MODES[budget.mode]}"


def when_down_text(budget: Budget, limit_nano_usd: int) -> str:
    """Return what happens to requests while the guard can't reach its store."""
    if budget.when_down == "local_share":
        share = display_usd(limit_nano_usd * budget.local_share_percent // 100)
        what = f"each process admits up to {budget.local_share_percent} %, {share}"
    else:
        what = "admits all" if budget.when_down == "fail_open" else "refuses all"
    return f"{budget.when_down}: {what}"


def zone_text(budget: Budget) -> str:
    return f"midnight in {budget.zone}"


def unusual_lines(budget: Budget) -> Iterator[str]:
    """Yield what differs from the defaults."""
    if budget.zone != UTC_ZONE and budget.period != "total":
        yield f"a {budget.period} begins at {zone_text(budget)}"
    if budget.mode != "strict":
        yield f"mode {mode_text(budget)}"
    if budget.when_down != "fail_closed":
        yield f"when_down {when_down_text(budget, budget.limit_nano_usd)}"
