"""An alert's story as a Slack message (Block Kit) and as a plain-text mail.

Slack refuses a message that breaks one of its limits as a whole, so everything is cut to
size here: header 150, section 3,000, ten fields, and some 13,000 characters in all.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spendfuse.alerts import wording
from spendfuse.alerts.alert import Severity
from spendfuse.alerts.incident import Story
from spendfuse.alerts.verbatim import cut, one_line, readable
from spendfuse.alerts.wording import Action

_MARKS: dict[Severity, str] = {"info": "🔵", "warning": "🟠", "critical": "🔴"}
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_HEADER_CHARACTERS = 150
_FIELD_CHARACTERS = 250
_LINE_CHARACTERS = 400
_SECTION_CHARACTERS = 1500
_VERBATIM_CHARACTERS = 2800
# SNS wants fewer than a hundred.
_SUBJECT_CHARACTERS = 99
# SNS takes 256 KB, and a character has up to four bytes.
_MAIL_VERBATIM_CHARACTERS = 10_000
_MAIL_LINE_CHARACTERS = 1000
_MAIL_LINES = 40
_MAIL_COLUMNS = 76


@dataclass(frozen=True, slots=True)
class Mail:
    """A finished mail, within what SNS takes."""

    subject: str
    body: str


def slack_message(story: Story) -> dict[str, Any]:
    """Return the message as a webhook takes it."""
    alert = story.alert
    headline = f"{_MARKS[alert.severity]} {one_line(alert.headline)}"
    blocks = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": cut(headline, _HEADER_CHARACTERS)},
        },
        *_fields(wording.facts(story)),
        *_section("What happens next", wording.next_steps(story)),
        *_section("", wording.details(story)),
        *_code_block(alert.verbatim),
        *_section("What you can do", [_slack_action(each) for each in wording.actions(story)]),
        *_section("Earlier in this incident", wording.incident_lines(story.earlier)),
        *_section("Already told since", wording.incident_lines(story.later)),
        *_section("", story.notes),
        {"type": "context", "elements": [_mrkdwn(wording.footer(story), _LINE_CHARACTERS)]},
    ]
    return {"text": slack_text(story), "blocks": blocks}


def slack_text(story: Story) -> str:
    """Return the alert in one line: for notifications, and where blocks are refused."""
    alert = story.alert
    line = f"{alert.severity}: {one_line(alert.headline)} ({one_line(alert.deployment)})"
    return _escaped(line, _LINE_CHARACTERS)


def mail(story: Story) -> Mail:
    """Return the mail; its body ends with what the reader can do."""
    alert = story.alert
    parts = [
        _wrapped(cut(one_line(alert.headline), _LINE_CHARACTERS)),
        _table(wording.facts(story)),
        _paragraphs("", story.notes),
        _paragraphs("What happens next", wording.next_steps(story)),
        _paragraphs("", wording.details(story)),
        _mail_verbatim(alert.verbatim),
        _paragraphs("Earlier in this incident", wording.incident_lines(story.earlier)),
        _paragraphs("Already told since", wording.incident_lines(story.later)),
        _wrapped(wording.footer(story)),
        "\n\n".join(["What you can do", *map(_mail_action, wording.actions(story))]),
    ]
    body = "\n\n".join(part for part in parts if part) + "\n"
    return Mail(_subject(story), body)


def _fields(facts: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    if not facts:
        return []
    fields = [_mrkdwn(value, _FIELD_CHARACTERS, before=f"*{label}*\n") for label, value in facts]
    return [{"type": "section", "fields": fields}]


def _section(title: str, lines: Sequence[str]) -> list[dict[str, Any]]:
    text = "\n".join(cut(one_line(line), _LINE_CHARACTERS) for line in lines if one_line(line))
    if not text:
        return []
    before = f"*{title}*\n" if title else ""
    return [{"type": "section", "text": _mrkdwn(text, _SECTION_CHARACTERS, before=before)}]


def _code_block(text: str | None) -> list[dict[str, Any]]:
    if text is None:
        return []
    shown = _without_fences(readable(text))
    code = f"```\n{_escaped(shown, _VERBATIM_CHARACTERS)}\n```"
    block = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": code, "verbatim": True},
    }
    return [block, *_section("", _missing(shown, _kept(shown, _VERBATIM_CHARACTERS)))]


def _missing(shown: str, kept: int) -> list[str]:
    missing = len(shown) - kept
    return (
        [f"Cut: the last {missing:,} of {len(shown):,} characters are missing."] if missing else []
    )


def _mrkdwn(text: str, limit: int, *, before: str = "") -> dict[str, Any]:
    # "verbatim" keeps Slack from making links and mentions of what looks like them.
    return {
        "type": "mrkdwn",
        "text": before + _escaped(_without_fences(text), limit),
        "verbatim": True,
    }


def _without_fences(text: str) -> str:
    # Two backticks in a row are on their way to three, which begin or end a block of code.
    return text.replace("``", "`\u200b`")


def _escaped(text: str, limit: int) -> str:
    """Escape what Slack would interpret, in at most ``limit`` characters, no entity cut."""
    kept = _kept(text, limit)
    escaped = "".join(_ESCAPES.get(character, character) for character in text[:kept])
    return escaped if kept == len(text) else escaped + "…"


def _kept(text: str, limit: int) -> int:
    """Return how many characters of ``text`` fit into ``limit`` once they are escaped."""
    lengths = [len(_ESCAPES.get(character, "x")) for character in text]
    total, kept = sum(lengths), len(lengths)
    if total <= limit:
        return kept
    while total >= limit:
        kept -= 1
        total -= lengths[kept]
    return kept


def _slack_action(action: Action) -> str:
    return f"{action.purpose}: `{action.command}`" if action.command else action.purpose


def _mail_action(action: Action) -> str:
    if not action.command:
        return _wrapped(action.purpose, indent="  ")
    return f"{_wrapped(action.purpose + ':', indent='  ')}\n\n      {action.command}"


def _table(facts: Sequence[tuple[str, str]]) -> str:
    width = max((len(label) for label, _ in facts), default=0)
    return "\n".join(f"  {label + ':':<{width + 2}}{value}" for label, value in facts)


def _paragraphs(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    indent = "  " if title else ""
    wrapped = [
        _wrapped(cut(one_line(line), _MAIL_LINE_CHARACTERS), indent=indent)
        for line in lines[:_MAIL_LINES]
    ]
    return "\n".join([title, *wrapped] if title else wrapped)


def _wrapped(text: str, *, indent: str = "") -> str:
    # Commands and links stay whole; a line may then be long.
    return textwrap.fill(
        text,
        _MAIL_COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _mail_verbatim(text: str | None) -> str:
    if text is None:
        return ""
    shown = readable(text)
    head = shown[:_MAIL_VERBATIM_CHARACTERS]
    quoted = textwrap.indent(head, "| ", lambda _: True)
    return "\n\n".join([quoted, *_missing(shown, len(head))])


def _subject(story: Story) -> str:
    alert = story.alert
    line = f"[{one_line(alert.deployment)}] {alert.severity}: {one_line(alert.headline)}"
    # Accents fall off; what has no ASCII likeness shows as a question mark.
    folded = unicodedata.normalize("NFKD", line)
    bare = "".join(c for c in folded if not unicodedata.combining(c))
    ascii_only = re.sub(r"[^ -~]", "?", bare)
    if len(ascii_only) <= _SUBJECT_CHARACTERS:
        return ascii_only
    return ascii_only[: _SUBJECT_CHARACTERS - 3].rstrip() + "..."
