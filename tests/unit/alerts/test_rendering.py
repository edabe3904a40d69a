"""No alert breaks a limit of Slack's or of a mail's, and none speaks for somebody else."""

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.alerts.alert_samples import (
    DEFINITIONS,
    FUSE,
    MESSAGES,
    NOW,
    UNHURRIED,
    a_rung_alert,
    a_trip_alert,
    a_trip_report,
    alert_of,
    recorded,
)

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.incident import Story, Told, story, told
from spendfuse.alerts.outlook import NextRung, Outlook, outlook
from spendfuse.alerts.rendering import mail, slack_message
from spendfuse.alerts.verbatim import readable

SNAPSHOTS = Path(__file__).parent / "snapshots"


def a_story(alert: Alert, *before: Alert, mode: str = "armed", **changes: object) -> Story:
    definitions = replace(DEFINITIONS, fuse=replace(FUSE, mode=mode))
    incident = [
        told(each, seen_at=NOW - timedelta(minutes=60 - minute))
        for minute, each in enumerate(before)
    ]
    tale = story(alert, [*incident, told(alert, seen_at=NOW)], outlook(alert, definitions))
    return replace(tale, **changes)


def slack_texts(message: dict) -> list[str]:
    texts = []
    for block in message["blocks"]:
        objects = [block.get("text"), *block.get("fields", ()), *block.get("elements", ())]
        texts += [each["text"] for each in objects if each]
    return texts


def slack_words(alert: Alert, *before: Alert, **changes: object) -> str:
    return unescape("\n".join(slack_texts(slack_message(a_story(alert, *before, **changes)))))


def mail_words(alert: Alert, *before: Alert, **changes: object) -> str:
    return " ".join(mail(a_story(alert, *before, **changes)).body.split())


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400) | st.sampled_from(
    ["&<>" * 3000, "`" * 5000, "a" * 5000, "\n" * 400, "<!channel>", "```", '"' * 4000, "機" * 4000]
)
AMOUNT = st.none() | st.integers(-(10**27) + 1, 10**27 - 1)
TIMES = st.datetimes(timezones=st.just(UTC))
SEVERITIES = st.sampled_from(["info", "warning", "critical"])
SOURCES = st.sampled_from(["ledger", "fuse", "aws-budgets", "cloudwatch", "cli", "unknown"])
ALERTS = st.builds(
    Alert,
    id=TEXT,
    deployment=TEXT,
    source=SOURCES,
    severity=SEVERITIES,
    headline=TEXT,
    at=TIMES,
    channels=st.just(("slack",)),
    details=st.lists(TEXT, max_size=60).map(tuple),
    budget=st.none() | TEXT,
    period=st.none() | TEXT,
    percent=AMOUNT,
    spent_nano_usd=AMOUNT,
    limit_nano_usd=AMOUNT,
    trip=st.sampled_from([None, a_trip_alert().trip]),
    verbatim=st.none() | TEXT,
)
TOLD = st.builds(Told, TEXT, TIMES, TIMES, SEVERITIES, SOURCES, TEXT.map(lambda text: text[:200]))
RUNGS = st.builds(NextRung, st.integers(1, 10**6), st.integers(0, 10**27 - 1), st.booleans())
OUTLOOKS = st.builds(
    Outlook,
    fuse_mode=st.sampled_from(["armed", "dry-run", "off"]),
    resets_at=st.none() | TIMES,
    left_nano_usd=AMOUNT,
    ahead=st.lists(RUNGS, max_size=3).map(tuple),
    is_ladder_known=st.booleans(),
)
STORIES = st.builds(
    Story,
    alert=ALERTS,
    outlook=OUTLOOKS,
    number=st.integers(1, 10**4),
    earlier=st.lists(TOLD, max_size=12).map(tuple),
    later=st.lists(TOLD, max_size=12).map(tuple),
    escalates=st.booleans(),
    notes=st.lists(TEXT, max_size=3).map(tuple),
)


@UNHURRIED
@given(STORIES)
def test_no_story_breaks_a_limit_of_slack(tale: Story) -> None:
    message = slack_message(tale)

    assert 0 < len(message["blocks"]) <= 50
    assert 0 < len(message["text"]) <= 3000
    assert sum(map(len, slack_texts(message))) < 12_000
    for block in message["blocks"]:
        if block["type"] == "header":
            assert 0 < len(block["text"]["text"]) <= 150
        elif "text" in block:
            assert 0 < len(block["text"]["text"]) <= 3000
        for field in block.get("fields", ()):
            assert 0 < len(field["text"]) <= 2000
        assert len(block.get("fields", ())) <= 10
    json.dumps(message).encode()


@UNHURRIED
@given(STORIES)
def test_nothing_in_a_story_can_call_or_link(tale: Story) -> None:
    message = slack_message(tale)
    mrkdwn = [*slack_texts(message)[1:], message["text"]]

    for text in mrkdwn:
        assert not re.search("[<>]", text)
        assert not re.search("&(?!amp;|lt;|gt;)", text)


@UNHURRIED
@given(STORIES)
def test_what_is_shown_as_it_came_can_not_leave_its_block(tale: Story) -> None:
    fenced = [text for text in slack_texts(slack_message(tale))[1:] if "```" in text]

    assert len(fenced) == (tale.alert.verbatim is not None)
    for text in fenced:
        assert text.startswith("```\n")
        assert text.endswith("\n```")
        assert "```" not in text[3:-3]


@UNHURRIED
@given(STORIES)
def test_every_story_fits_a_mail(tale: Story) -> None:
    finished = mail(tale)

    assert re.fullmatch("[ -~]{1,99}", finished.subject)
    assert len(finished.body.encode()) < 256_000
    assert "\r" not in finished.body


@pytest.mark.parametrize("name", MESSAGES)
def test_every_recorded_message_can_be_told(name: str) -> None:
    tale = a_story(alert_of(name))

    assert slack_message(tale)["blocks"]
    assert mail(tale).body


def test_there_is_one_status_mark() -> None:
    message = slack_message(a_story(a_trip_report(), a_rung_alert(50), a_rung_alert(80)))
    marks = [c for c in json.dumps(message, ensure_ascii=False) if ord(c) >= 0x1F300]

    assert marks == ["🔴"]


@pytest.mark.parametrize("words", [slack_words, mail_words])
def test_a_rung_says_how_much_is_left_until_when_and_what_comes(words: object) -> None:
    told_rung = words(a_rung_alert(50))

    for fact in (
        "main",
        "2026-11",
        "$503.12 of $1,000.00 (50.3 %)",
        "$496.88",
        "1 Dec 2026, 00:00 UTC",
        "The next rung is 80 % ($800.00).",
        "At 100 % ($1,000.00) the fuse disables the API keys.",
        "acme-prod",
    ):
        assert fact in told_rung


@pytest.mark.parametrize("words", [slack_words, mail_words])
def test_a_trip_says_what_was_done_and_how_to_undo_it(words: object) -> None:
    report = words(a_trip_report(), a_rung_alert(50), a_rung_alert(80))

    assert "Disabled and verified: web (k1a2)" in report
    assert "spendfuse --deployment acme-prod fuse restore --yes" in report
    assert "Earlier in this incident" in report
    assert "21 Nov 2026, 15:00 UTC · warning · main has spent 80 %" in report
    assert "$3.12 over" in report


def test_what_will_happen_depends_on_the_fuse() -> None:
    assert "disables the API keys" in slack_words(a_rung_alert(80))
    assert "reports which API keys it would" in slack_words(a_rung_alert(80), mode="dry-run")
    assert "The fuse is off" in slack_words(a_rung_alert(80), mode="off")
    assert "blows now" in slack_words(a_trip_alert())
    assert "dry run" in slack_words(a_trip_alert(), mode="dry-run")
    assert "nothing is disabled" in slack_words(a_trip_alert(), mode="off")


def test_a_report_that_leaves_nothing_to_restore_does_not_ask_to() -> None:
    not_tripped = a_trip_report(details=("Cause: somebody",))

    assert "restore --yes" not in slack_words(not_tripped)
    assert "spendfuse --deployment acme-prod fuse status" in slack_words(not_tripped)
    assert "restore --yes" not in slack_words(a_trip_alert(), mode="dry-run")


def test_how_to_restore_is_said_once() -> None:
    assert slack_words(a_trip_report()).count("fuse restore") == 1
    assert (
        slack_words(a_trip_alert()).count("spendfuse --deployment acme-prod fuse restore --yes")
        == 1
    )


def test_not_quite_the_limit_is_not_the_limit() -> None:
    nearly = a_rung_alert(80, spent_nano_usd=999_999_999_999)

    assert "(99.9 %)" in slack_words(nearly)
    assert "(100 %)" in slack_words(a_rung_alert(80, spent_nano_usd=1000 * 10**9))


def test_an_absurd_share_is_told_in_multiples() -> None:
    assert "(183,965,812 times)" in slack_words(alert_of("budgets-absurd-amount.txt"))


@pytest.mark.parametrize("words", [slack_words, mail_words])
def test_what_overtook_an_alert_is_told_with_it(words: object) -> None:
    later = (told(a_trip_alert(), seen_at=NOW),)

    assert "Already told since" in words(a_rung_alert(80), later=later)


def test_a_long_incident_shows_its_latest_alerts() -> None:
    before = [a_rung_alert(50, id=f"{n}", headline=f"alert no {n}.") for n in range(9)]
    words = slack_words(a_rung_alert(80), *before)

    assert "(4 before these)" in words
    assert "alert no 8." in words
    assert "alert no 3." not in words


@pytest.mark.parametrize("words", [slack_words, mail_words])
def test_notes_about_other_channels_are_told(words: object) -> None:
    assert "Slack is gone" in words(a_rung_alert(80), notes=("Slack is gone",))


def test_the_unknown_stands_there_as_it_came() -> None:
    text = recorded("json-broken.txt")

    assert text in slack_words(alert_of("json-broken.txt"))
    assert text in mail(a_story(alert_of("json-broken.txt"))).body


def test_what_is_cut_says_how_much() -> None:
    alert = replace(alert_of("raw-text.txt"), verbatim="x" * 50_000)

    assert "Cut: the last 47,201 of 50,000 characters are missing." in slack_words(alert)
    assert "Cut: the last 40,000 of 50,000 characters are missing." in mail_words(alert)


def test_what_only_looks_escaped_is_not_called_cut() -> None:
    assert "Cut" not in slack_words(replace(alert_of("raw-text.txt"), verbatim="a &lt; b &amp; c"))


def test_json_on_one_line_is_broken_up_and_nothing_else_is_changed() -> None:
    text = recorded("anomaly.json")
    shown = readable(text)

    assert shown.count("\n") > 20
    assert json.loads(shown) == json.loads(text)
    assert '"maxImpact": 131.2' in shown
    assert readable('{"a": 1.50, "b": "{ , }"}') == '{\n "a": 1.50,\n "b": "{ , }"\n}'


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 900 + "0,0" * 10_000 + "]" * 900])
def test_deep_json_makes_no_mountain_of_spaces(text: str) -> None:
    assert len(readable(text)) < 2_000_000


def test_a_subject_is_ascii_and_says_the_worst_first() -> None:
    alert = a_rung_alert(80, headline="Étude 機械\nBcc: x has spent 80 %", severity="critical")

    assert mail(a_story(alert)).subject == ("[acme-prod] critical: Etude ?? Bcc: x has spent 80 %")


def test_a_mail_ends_with_what_to_do() -> None:
    assert mail(a_story(a_trip_report())).body.endswith(
        "      spendfuse --deployment acme-prod fuse restore --yes\n"
    )


def as_text(tale: Story, channel: str) -> str:
    if channel == "mail":
        return f"Subject: {mail(tale).subject}\n\n{mail(tale).body}"
    return json.dumps(slack_message(tale), indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("name", "channel", "tale"),
    [
        ("slack-rung.json", "slack", a_story(a_rung_alert(50))),
        ("slack-unknown.json", "slack", a_story(alert_of("raw-text.txt"))),
        ("mail-trip.txt", "mail", a_story(a_trip_report(), a_rung_alert(50), a_rung_alert(80))),
        ("mail-aws.txt", "mail", a_story(alert_of("budgets-monthly-actual-80.txt"))),
    ],
)
def test_messages_read_as_they_were_approved(name: str, channel: str, tale: Story) -> None:
    """Look at the difference; if it is meant, write it with SPENDFUSE_APPROVE=1."""
    file = SNAPSHOTS / name
    if os.environ.get("SPENDFUSE_APPROVE"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(as_text(tale, channel), encoding="utf-8")

    assert file.read_text(encoding="utf-8") == as_text(tale, channel)
    assert len(as_text(tale, channel).splitlines()) < 100


def test_times_are_told_in_utc() -> None:
    at = datetime.fromisoformat("2026-11-21T16:00:00-05:00")

    assert "21 Nov 2026, 21:00 UTC" in slack_words(a_rung_alert(80, at=at))
