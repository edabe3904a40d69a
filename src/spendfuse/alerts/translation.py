"""What a message of any shape means to people: one Alert, with the id of its cause.

AWS's own news keeps AWS's figures and says whose they are. It joins the incident of the
budget that its AWS Budget is linked to; what is linked to nothing still reaches people.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC

from spendfuse.alerts.alert import Alert, Severity
from spendfuse.alerts.envelopes import AlarmNotice, BudgetsNotice, Envelope, Unknown
from spendfuse.budget import Rung
from spendfuse.definitions import AwsBudget, Definitions
from spendfuse.money import display_usd
from spendfuse.period import Period

EVERYBODY = ("slack", "email")
"""Who hears of what no ladder speaks of."""

_WHOSE_FIGURES = (
    "This is AWS Budgets' own message: figures from the invoice's side, 8 to 24 hours behind. They "
    "hold what AWS bills, metered or not, and no invoice of another provider."
)
_CRITICAL_PERCENT = 100
_WARNING_PERCENT = 80
_SEVERITY_LINE = re.compile(r"^severity:\s*critical\s*$", re.IGNORECASE | re.MULTILINE)
_RUNBOOK = "Runbook: "
_OWN_LINES = 2
"""What it says and its runbook, at least."""
_HASH = re.compile(r"-[0-9a-f]{8}$")


def alert_from(envelope: Envelope, definitions: Definitions) -> Alert:
    """Return the alert that an envelope's content calls for."""
    content = envelope.content
    if isinstance(content, Alert):
        return content
    if isinstance(content, AlarmNotice):
        return _of_alarm(content, definitions)
    if isinstance(content, Unknown):
        return _of_unknown(content, envelope, definitions)
    ours = definitions.aws_budget(content.aws_name)
    if ours is None:
        return _of_foreign_budget(content, envelope, definitions)
    return _of_our_budget(content, ours, envelope, definitions)


def _of_our_budget(
    notice: BudgetsNotice, ours: AwsBudget, envelope: Envelope, definitions: Definitions
) -> Alert:
    alert = _of_budget(notice, ours.budget, envelope, definitions)
    rung = _rung(notice, ours)
    channels = rung.channels if rung else EVERYBODY
    details = alert.details
    if _is_absurd(notice, definitions):
        channels = tuple(dict.fromkeys(channels + EVERYBODY))
    elif rung and rung.trips and notice.actual and not notice.daily:
        details = (
            *details,
            "This rung goes to the fuse too; what the fuse does, it reports itself.",
        )
    return replace(
        alert,
        # The hash in the name changes with every edit of the ladder; the cause does not.
        id="/".join(("aws-budgets", _HASH.sub("", ours.aws_name), *_cause(notice))),
        channels=channels,
        details=details,
        budget=ours.budget,
        period=_incident_period(notice, ours, definitions),
    )


def _of_foreign_budget(
    notice: BudgetsNotice, envelope: Envelope, definitions: Definitions
) -> Alert:
    alert = _of_budget(notice, notice.aws_name, envelope, definitions)
    foreign = f"This AWS Budget is not one of {definitions.deployment}: nothing acts on it."
    return replace(alert, details=(*alert.details, foreign))


def _of_budget(
    notice: BudgetsNotice, name: str, envelope: Envelope, definitions: Definitions
) -> Alert:
    return Alert(
        id="/".join(("aws-budgets", notice.account, notice.aws_name, *_cause(notice))),
        deployment=definitions.deployment,
        source="aws-budgets",
        severity=_severity(notice),
        headline=_headline(notice, name),
        at=envelope.at,
        channels=EVERYBODY,
        details=_details(notice, definitions),
        percent=notice.percent,
        spent_nano_usd=notice.amount_nano_usd if notice.actual else None,
        limit_nano_usd=notice.budgeted_nano_usd,
    )


def _of_alarm(notice: AlarmNotice, definitions: Definitions) -> Alert:
    words = _own_words(notice, definitions)
    was_on = notice.old_state == "ALARM"
    headlines = {
        "ALARM": words.says if words else f"Alarm: {notice.name}",
        "INSUFFICIENT_DATA": f"Alarm without data: {notice.name}",
        "OK": f"{'Resolved' if was_on else 'OK'}: {words.says if words else notice.name}",
    }
    children = ", ".join(arn.rpartition(":")[2] for arn in notice.children)
    set_off = f"Set off by: {children}" if children else ""
    change = f"CloudWatch alarm {notice.arn}, {notice.old_state or 'unknown'} → {notice.state}."
    details: tuple[str, ...]
    if words is None:
        details = (notice.reason, notice.description, set_off, change)
    else:
        follows = words.so if notice.state == "ALARM" else ""
        details = (follows, set_off, notice.reason, change, words.runbook)
    # All of our alarms come to OK when they get their first data: that is no news.
    is_news = words is None or notice.state != "OK" or was_on
    return Alert(
        id=f"cloudwatch/{notice.arn}/{notice.changed_at.astimezone(UTC).isoformat()}",
        deployment=definitions.deployment,
        source="cloudwatch",
        severity=_alarm_severity(notice),
        headline=headlines[notice.state],
        at=notice.changed_at,
        channels=EVERYBODY if is_news else (),
        details=tuple(detail for detail in details if detail),
    )


@dataclass(frozen=True, slots=True)
class _OwnWords:
    """What the description of an alarm of ours says; ``stacks.alarm`` writes it."""

    says: str
    so: str
    runbook: str


def _own_words(notice: AlarmNotice, definitions: Definitions) -> _OwnWords | None:
    """Return the words of an alarm of this deployment's, None of anybody else's."""
    lines = [line for line in notice.description.splitlines() if line.strip()]
    is_ours = notice.name.startswith(f"{definitions.deployment}-")
    if not is_ours or len(lines) < _OWN_LINES or not lines[-1].startswith(_RUNBOOK):
        return None
    says, *middle, runbook = lines
    so = " ".join(line for line in middle if not _SEVERITY_LINE.match(line))
    return _OwnWords(says.removesuffix("."), so, runbook)


def _alarm_severity(notice: AlarmNotice) -> Severity:
    """CloudWatch knows no severities: a line ``Severity: critical`` in the description is one."""
    if notice.state == "OK":
        return "info"
    if notice.state == "ALARM" and _SEVERITY_LINE.search(notice.description):
        return "critical"
    return "warning"


def _of_unknown(content: Unknown, envelope: Envelope, definitions: Definitions) -> Alert:
    # Without SNS there is no id that a redelivery keeps, but its day and text are the same.
    digest = hashlib.sha256(content.text.encode()).hexdigest()[:32]
    cause = envelope.message_id or f"{envelope.at.astimezone(UTC):%Y-%m-%d}/{digest}"
    origin = f"It came from {envelope.topic_arn}." if envelope.topic_arn else "It came without SNS."
    return Alert(
        id=f"unknown/{cause}",
        deployment=definitions.deployment,
        source="unknown",
        severity="warning",
        headline=envelope.subject or "A message that spendfuse can't read",
        at=envelope.at,
        channels=EVERYBODY,
        details=(f"spendfuse does not know this kind of message: here it is as it came. {origin}",),
        verbatim=content.text,
    )


def _cause(notice: BudgetsNotice) -> tuple[str, str, str]:
    kind = "actual" if notice.actual else "forecast"
    return (notice.period_key, kind, str(notice.threshold_nano_usd))


def _rung(notice: BudgetsNotice, ours: AwsBudget) -> Rung | None:
    """Return the highest rung that the message's percentage reaches."""
    percent = notice.percent
    reached = [rung for rung in ours.ladder if percent is not None and rung.percent <= percent]
    return reached[-1] if reached else None


def _incident_period(notice: BudgetsNotice, ours: AwsBudget, definitions: Definitions) -> str:
    """Return the linked budget's period: yesterday's bill belongs to a monthly budget's month.

    AWS's days are UTC's, and no bill can be divided: the day goes by its date, in every zone.
    """
    linked = definitions.budget(ours.budget)
    if linked is None or not (notice.daily or linked.period == "total"):
        return notice.period_key
    return Period.containing(linked.period, notice.period.start).key


def _severity(notice: BudgetsNotice) -> Severity:
    percent = notice.percent
    if percent is None:
        return "warning"
    if percent >= _CRITICAL_PERCENT:
        # A forecast has cost nothing yet.
        return "critical" if notice.actual else "warning"
    return "warning" if percent >= _WARNING_PERCENT else "info"


def _headline(notice: BudgetsNotice, name: str) -> str:
    verb = "billed" if notice.actual else "forecast"
    amounts = f"{display_usd(notice.amount_nano_usd)} of {display_usd(notice.budgeted_nano_usd)}"
    over = "" if notice.percent is None else f"over {notice.percent} %, "
    return f"AWS Budgets, {name}: {over}{amounts} {verb} for {notice.period_key}"


def _details(notice: BudgetsNotice, definitions: Definitions) -> tuple[str, ...]:
    span = "daily" if notice.daily else "monthly"
    kind = "ACTUAL" if notice.actual else "FORECASTED"
    details = [
        _WHOSE_FIGURES,
        (
            f"AWS Budget {notice.aws_name} ({span}) in account {notice.account}: {kind} amount "
            f"{display_usd(notice.amount_nano_usd)}, alert threshold "
            f"{display_usd(notice.threshold_nano_usd)}."
        ),
    ]
    if not notice.actual:
        details.append("A forecast never trips the fuse.")
    if _is_absurd(notice, definitions):
        details.append(
            f"That is more than {definitions.fuse.plausible_multiple} times the budget. AWS's "
            "estimates have been wrong by far before, so the fuse does not believe it: please look "
            "at the bill yourself."
        )
    return tuple(details)


def _is_absurd(notice: BudgetsNotice, definitions: Definitions) -> bool:
    return notice.amount_nano_usd > notice.budgeted_nano_usd * definitions.fuse.plausible_multiple
