"""Whatever arrives becomes an alert, with its cause's id, its incident and its channels."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from unit.alerts.alert_samples import (
    DEFINITIONS,
    LADDER,
    MESSAGES,
    NOW,
    alert_of,
    enveloped,
    recorded,
)

from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.alerts.envelopes import parse_envelope
from spendfuse.alerts.incident import incident_key
from spendfuse.alerts.translation import alert_from
from spendfuse.budget import Rung
from spendfuse.definitions import Definitions


def translated(message: str, definitions: Definitions = DEFINITIONS, **envelope: object) -> Alert:
    return alert_from(parse_envelope(enveloped(message, **envelope), received_at=NOW), definitions)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_recorded_message_reaches_somebody(name: str) -> None:
    alert = alert_of(name)

    assert alert.channels
    assert alert.headline
    assert alert_from_json(alert.to_json()) == alert


def test_our_own_alert_stays_as_it_is() -> None:
    assert alert_of("own-alert.json") == alert_from_json(recorded("own-alert.json"))


def test_a_message_of_our_aws_budget_joins_the_incident_of_its_budget() -> None:
    ours, aws = alert_of("own-alert.json"), alert_of("budgets-monthly-actual-80.txt")

    assert (aws.budget, aws.period) == ("main", "2026-11")
    assert incident_key(aws) == incident_key(ours)
    assert aws.id != ours.id


def test_a_daily_message_joins_the_month_of_yesterday() -> None:
    # The title says November 1; the bill is October 31's.
    daily = alert_of("budgets-daily-actual-100.txt")

    assert (daily.budget, daily.period) == ("main", "2026-10")
    assert "2026-10-31" in daily.headline


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    ("title", "joined"), [("November 1, 2026", "2026-10"), ("November 2, 2026", "2026-11")]
)
def test_a_daily_message_goes_by_its_date_in_every_zone(zone: str, title: str, joined: str) -> None:
    main = replace(DEFINITIONS.root, zone=zone)
    text = recorded("budgets-daily-actual-100.txt").replace("November 1, 2026", title)

    assert translated(text, replace(DEFINITIONS, budgets=(main,))).period == joined


@pytest.mark.parametrize("name", ["budgets-daily-actual-100.txt", "budgets-monthly-actual-80.txt"])
def test_every_message_joins_the_one_incident_of_a_total(name: str) -> None:
    definitions = replace(DEFINITIONS, budgets=(replace(DEFINITIONS.root, period="total"),))

    assert alert_of(name, definitions).period == "total"


@pytest.mark.parametrize(
    ("name", "severity", "channels"),
    [
        ("budgets-monthly-actual-50.txt", "info", ("email",)),
        ("budgets-monthly-actual-80.txt", "warning", ("slack",)),
        ("budgets-monthly-actual-100.txt", "critical", ("slack", "email")),
        ("budgets-monthly-forecasted-100.txt", "warning", ("slack", "email")),
    ],
)
def test_a_rung_of_aws_rings_where_the_ladder_says(
    name: str, severity: str, channels: tuple[str, ...]
) -> None:
    alert = alert_of(name)

    assert (alert.severity, alert.channels) == (severity, channels)


def test_a_percentage_between_two_rungs_rings_as_the_lower() -> None:
    text = recorded("budgets-monthly-actual-80.txt").replace("> $800.00", "> $799.00")

    assert (translated(text).percent, translated(text).channels) == (80, ("slack",))
    text = text.replace("> $799.00", "> $790.00")
    assert (translated(text).percent, translated(text).channels) == (79, ("email",))


def test_below_every_rung_everybody_hears() -> None:
    text = recorded("budgets-monthly-actual-80.txt").replace("> $800.00", "> $10.00")

    assert translated(text).channels == ("slack", "email")


def test_aws_says_whose_figures_these_are_and_how_old() -> None:
    details = " ".join(alert_of("budgets-monthly-actual-80.txt").details)

    assert "AWS Budgets' own message" in details
    assert "8 to 24 hours" in details
    assert "main-1a2b3c4d" in details
    assert "123456789012" in details


def test_an_absurd_bill_rings_everywhere_and_is_doubted() -> None:
    definitions = replace(
        DEFINITIONS,
        aws_budgets=(replace(DEFINITIONS.aws_budgets[0], ladder=(Rung(50, ("email",)),)),),
    )
    absurd = alert_of("budgets-absurd-amount.txt", definitions)

    assert set(absurd.channels) == {"slack", "email"}
    assert "more than 20 times the budget" in " ".join(absurd.details)
    assert "does not believe" not in " ".join(alert_of("budgets-monthly-actual-100.txt").details)


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("budgets-monthly-actual-100.txt", True),
        ("budgets-monthly-actual-80.txt", False),
        ("budgets-monthly-forecasted-100.txt", False),
        ("budgets-daily-actual-100.txt", False),
        ("budgets-absurd-amount.txt", False),
    ],
)
def test_only_what_may_blow_the_fuse_is_said_to_go_to_it(name: str, goes: bool) -> None:
    assert ("goes to the fuse" in " ".join(alert_of(name).details)) is goes


def test_no_message_of_aws_carries_an_order_to_trip() -> None:
    assert all(alert_of(name).trip is None for name in MESSAGES if name.startswith("budgets"))


def test_a_foreign_budget_reaches_everybody_with_its_facts() -> None:
    foreign = alert_of("budgets-foreign.txt")

    assert foreign.budget is None
    assert foreign.channels == ("slack", "email")
    assert foreign.spent_nano_usd == 2_113_459_070_000_000
    assert "team-blue-everything" in foreign.headline
    assert "not one of acme-prod" in " ".join(foreign.details)


def test_a_forecast_is_not_shown_as_spent() -> None:
    forecast = alert_of("budgets-monthly-forecasted-100.txt")

    assert forecast.spent_nano_usd is None
    assert "$1,871.95" in forecast.headline


def test_a_replaced_aws_budget_does_not_ring_twice() -> None:
    # A new ladder gives the AWS Budget a new hash, and AWS forgets what it has sent.
    text = recorded("budgets-monthly-actual-80.txt")
    renamed = replace(DEFINITIONS.aws_budgets[0], aws_name="main-99999999", ladder=LADDER[1:])
    again = translated(
        text.replace("main-1a2b3c4d", "main-99999999"),
        replace(DEFINITIONS, aws_budgets=(renamed,)),
        MessageId="another",
    )

    assert again.id == translated(text).id


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("November 21", "December 21"),
        ("ACTUAL", "FORECASTED"),
        ("> $800.00", "> $500.00"),
        ("main-1a2b3c4d", "daily-9f8e7d6c"),
        ("main-1a2b3c4d", "foreign"),
        ("main-1a2b3c4d", "main"),
    ],
)
def test_each_cause_of_aws_has_its_own_id(old: str, new: str) -> None:
    text = recorded("budgets-monthly-actual-80.txt")

    assert translated(text.replace(old, new)).id != translated(text).id


def test_the_same_foreign_notice_has_one_id_and_another_account_its_own() -> None:
    text = recorded("budgets-foreign.txt")

    assert translated(text, MessageId="a").id == translated(text, MessageId="b").id
    assert translated(text.replace("123456789012", "210987654321")).id != translated(text).id


@pytest.mark.parametrize(
    ("name", "severity", "headline"),
    [
        ("alarm-metric.json", "critical", "Alarm: acme-HighDailyCost"),
        ("alarm-null-description.json", "warning", "Alarm: acme-Hourly"),
        ("alarm-composite.json", "warning", "Alarm: acme-LLM-unhealthy"),
        ("alarm-ok.json", "info", "Resolved: acme-HighDailyCost"),
        ("alarm-insufficient-data.json", "warning", "Alarm without data: acme-HighDailyCost"),
    ],
)
def test_an_alarm_says_what_it_is(name: str, severity: str, headline: str) -> None:
    alert = alert_of(name)

    assert (alert.severity, alert.headline) == (severity, headline)
    assert all(alert.details)


def test_an_alarm_that_was_never_on_is_not_resolved() -> None:
    raw = {**json.loads(recorded("alarm-ok.json")), "OldStateValue": "INSUFFICIENT_DATA"}

    assert translated(json.dumps(raw)).headline == "OK: acme-HighDailyCost"


def test_a_composite_alarm_says_what_set_it_off() -> None:
    assert "Set off by: acme-HighDailyCost" in alert_of("alarm-composite.json").details


def test_each_change_of_an_alarm_has_its_own_id() -> None:
    raw = json.loads(recorded("alarm-metric.json"))
    again = {**raw, "StateChangeTime": "2026-11-21T18:00:00.000+0000"}

    assert translated(json.dumps(raw), MessageId="a").id == alert_of("alarm-metric.json").id
    assert translated(json.dumps(again)).id != alert_of("alarm-metric.json").id


OUR_ALARM = {
    **json.loads(recorded("alarm-metric.json")),
    "AlarmName": "acme-prod-hourly-spend",
    "AlarmDescription": (
        "More than $20 were spent in the last 60 minutes.\n"
        "It has not been so for long.\n"
        "Severity: critical\n"
        "Runbook: docs/runbooks/hourly-spend.md"
    ),
}


def of_our_alarm(**change: object) -> Alert:
    return translated(json.dumps({**OUR_ALARM, **change}))


def test_an_alarm_of_ours_says_in_its_headline_what_is_the_case() -> None:
    alert = of_our_alarm()

    assert alert.headline == "More than $20 were spent in the last 60 minutes"
    assert alert.severity == "critical"
    assert alert.channels == ("slack", "email")


def test_an_alarm_of_ours_ends_with_its_runbook_and_spares_its_severity_line() -> None:
    alert = of_our_alarm()

    assert alert.details[0] == "It has not been so for long."
    assert alert.details[-1] == "Runbook: docs/runbooks/hourly-spend.md"
    assert OUR_ALARM["NewStateReason"] in alert.details
    assert not [line for line in alert.details if "Severity" in line]


def test_the_end_of_an_alarm_of_ours_is_told_as_its_end() -> None:
    alert = of_our_alarm(NewStateValue="OK", OldStateValue="ALARM")

    assert alert.headline == "Resolved: More than $20 were spent in the last 60 minutes"
    assert (alert.severity, alert.channels) == ("info", ("slack", "email"))
    # What followed from it follows no more.
    assert "It has not been so for long." not in alert.details


def test_the_first_data_of_an_alarm_of_ours_is_no_news() -> None:
    # Else a deployment would tell people of each of its forty alarms that all is well.
    assert of_our_alarm(NewStateValue="OK", OldStateValue="INSUFFICIENT_DATA").channels == ()


@pytest.mark.parametrize(
    "foreign",
    [
        {"AlarmName": "other-hourly-spend"},
        {"AlarmName": "acme-production"},
        {"AlarmDescription": "Mine.\nRunbook: x.md\nSeverity: critical"},
        {"AlarmDescription": "Runbook: x.md"},
        {"AlarmDescription": None},
    ],
)
def test_an_alarm_of_anybody_else_s_keeps_its_name_and_all_of_its_text(foreign: dict) -> None:
    alert = of_our_alarm(**foreign)
    quiet = of_our_alarm(**foreign, NewStateValue="OK", OldStateValue="INSUFFICIENT_DATA")
    description = {**OUR_ALARM, **foreign}["AlarmDescription"]

    assert alert.headline == f"Alarm: {({**OUR_ALARM, **foreign})['AlarmName']}"
    assert description is None or description in alert.details
    assert quiet.channels == ("slack", "email")


@pytest.mark.parametrize("name", ["anomaly.json", "raw-text.txt", "json-broken.txt"])
def test_the_unknown_is_passed_on_word_for_word(name: str) -> None:
    alert = alert_of(name)

    assert alert.verbatim == recorded(name)
    assert (alert.source, alert.channels) == ("unknown", ("slack", "email"))


def test_an_unknown_message_keeps_its_id_when_it_comes_again_and_only_then() -> None:
    first = translated("hello", MessageId="a")

    assert translated("hello", MessageId="a").id == first.id
    assert translated("hello", MessageId="b").id != first.id


def test_an_unknown_body_without_sns_is_known_by_its_day_and_text() -> None:
    def id_of(body: str, day: int) -> str:
        at = datetime(2026, 11, day, tzinfo=UTC)
        return alert_from(parse_envelope(body, received_at=at), DEFINITIONS).id

    assert id_of("hello", 21) == id_of("hello", 21)
    assert len({id_of("hello", 21), id_of("hello", 22), id_of("other", 21)}) == 3
