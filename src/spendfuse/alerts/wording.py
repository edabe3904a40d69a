"""The words of an alert, the same on every channel: plain text, not yet cut or escaped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal

from spendfuse.alerts.alert import Alert, Source
from spendfuse.alerts.incident import Story, Told
from spendfuse.alerts.outlook import NextRung, Outlook
from spendfuse.alerts.verbatim import cut, one_line
from spendfuse.money import display_usd

_SHOWN_OF_AN_INCIDENT = 5
_MANY_TIMES = 10
_RESTORE = "spendfuse fuse restore"
_SOURCES: dict[Source, str] = {
    "ledger": "the ledger",
    "fuse": "the fuse",
    "aws-budgets": "AWS Budgets",
    "cloudwatch": "CloudWatch",
    "cli": "the command line",
    "unknown": "an unknown sender",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something the reader can do, and the command that does it."""

    purpose: str
    command: str = ""


def facts(story: Story) -> list[tuple[str, str]]:
    """Return the figures, each with its label."""
    alert, outlook = story.alert, story.outlook
    spent_label = "Billed" if alert.source == "aws-budgets" else "Spent"
    pairs = [
        ("Budget", cut(one_line(alert.budget or ""), 200)),
        ("Period", cut(one_line(alert.period or ""), 200)),
        (spent_label, _spent(alert)),
        ("Left", _left(outlook)),
        ("Rung", "" if alert.percent is None else f"{alert.percent} %"),
        ("Resets", "" if outlook.resets_at is None else moment(outlook.resets_at)),
    ]
    if alert.spent_nano_usd is None and alert.limit_nano_usd is not None:
        pairs[2] = ("Limit", display_usd(alert.limit_nano_usd))
    return [(label, value) for label, value in pairs if value]


def next_steps(story: Story) -> list[str]:
    """Return what will happen by itself, sooner first; nothing where we can't know."""
    alert, outlook = story.alert, story.outlook
    if alert.trip is not None:
        return [_blowing(alert.trip.fuse, outlook)]
    if not outlook.is_ladder_known:
        return []
    if not outlook.ahead:
        return ["No further rung stands above this one."]
    following = outlook.ahead[0]
    lines = [] if following.trips else [f"The next rung is {_place(following)}."]
    tripping = next((rung for rung in outlook.ahead if rung.trips), None)
    return [*lines, _will_blow(tripping, outlook)] if tripping else lines


def details(story: Story) -> list[str]:
    """Return the alert's own lines; how to restore is said among the actions."""
    alert = story.alert
    return [line for line in alert.details if not _names_restore(alert, line)]


def actions(story: Story) -> list[Action]:
    """Return what the reader can do."""
    alert = story.alert
    see_fuse = Action("See the state of the fuse", _command(alert, "fuse status"))
    blows = alert.trip is not None and story.outlook.fuse_mode == "armed"
    # Not every report of the fuse leaves something to restore; one that does says so.
    if blows or any(_names_restore(alert, line) for line in alert.details):
        return [
            Action("See the fuse and the keys it holds", see_fuse.command),
            Action(
                "Enable the keys again, once the cause is mended",
                _command(alert, "fuse restore --yes"),
            ),
        ]
    if alert.source == "ledger":
        return [
            Action(
                "Stop the spending now",
                _command(alert, 'fuse trip --reason "over budget" --yes'),
            ),
            Action("Change the limit or its rungs: edit cdk.json, then", "cdk deploy --all"),
        ]
    if alert.source == "unknown":
        return [Action("Find out who publishes this; nothing acts on a message of unknown kind.")]
    if alert.source == "cloudwatch":
        return [Action("Open the alarm in CloudWatch and look at its graph.")]
    if alert.source == "aws-budgets":
        return [Action("Look in AWS Cost Explorer for what was billed."), see_fuse]
    return [see_fuse]


def _command(alert: Alert, words: str) -> str:
    """Return a command for the alert's own deployment: a reader may have several."""
    return f"spendfuse --deployment {shlex.quote(one_line(alert.deployment))} {words}"


def incident_lines(incident: Sequence[Told]) -> list[str]:
    """Return one line for each of the latest alerts of an incident, oldest first."""
    hidden = len(incident) - _SHOWN_OF_AN_INCIDENT
    lines = [
        f"{moment(each.at)} · {each.severity} · {one_line(each.headline)}"
        for each in incident[-_SHOWN_OF_AN_INCIDENT:]
    ]
    return [f"({hidden} before these)", *lines] if hidden > 0 else lines


def footer(story: Story) -> str:
    """Return whose alert it is, from where, and its place in the incident."""
    alert = story.alert
    parts = [
        f"deployment {cut(one_line(alert.deployment), 200)}",
        f"{alert.severity}, from {_SOURCES[alert.source]}",
        moment(alert.at),
    ]
    if story.number > 1:
        rise = ", the gravest so far" if story.escalates else ""
        parts.append(f"alert {story.number} of this incident{rise}")
    return " · ".join(parts)


def moment(at: datetime) -> str:
    """Return ``21 Nov 2026, 14:03 UTC``."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def _names_restore(alert: Alert, line: str) -> bool:
    return alert.source == "fuse" and _RESTORE in line


def _spent(alert: Alert) -> str:
    spent, limit = alert.spent_nano_usd, alert.limit_nano_usd
    if spent is None:
        return ""
    if not limit or limit < 0:
        return display_usd(spent)
    return f"{display_usd(spent)} of {display_usd(limit)} ({_share(spent, limit)})"


def _share(spent: int, limit: int) -> str:
    """Return spent ÷ limit, rounded down: $999.99 of $1,000 is not yet 100 %."""
    if spent >= limit * _MANY_TIMES:
        return f"{spent // limit:,} times"
    percent = (Decimal(spent * 100) / limit).quantize(Decimal("0.1"), ROUND_DOWN)
    return f"{percent.normalize():f} %"


def _left(outlook: Outlook) -> str:
    left = outlook.left_nano_usd
    if left is None:
        return ""
    return display_usd(left) if left >= 0 else f"nothing, {display_usd(-left)} over"


def _place(rung: NextRung) -> str:
    return f"{rung.percent} % ({display_usd(rung.threshold_nano_usd)})"


def _will_blow(rung: NextRung, outlook: Outlook) -> str:
    return {
        "armed": f"At {_place(rung)} the fuse disables the API keys.",
        "dry-run": f"At {_place(rung)} the fuse reports which API keys it would disable.",
        "off": "The fuse is off: nothing will be disabled.",
    }[outlook.fuse_mode]


def _blowing(fuse: str, outlook: Outlook) -> str:
    return {
        "armed": f"The fuse {one_line(fuse)} blows now and disables its API keys. What it did "
        "follows in a report.",
        "dry-run": f"The fuse {one_line(fuse)} is on a dry run: a report follows on the API keys "
        "it would have disabled.",
        "off": f"The fuse {one_line(fuse)} is off: nothing is disabled.",
    }[outlook.fuse_mode]
