"""Every shape that AWS sends is read, and nothing that anybody sends raises."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.alerts.alert_samples import UNHURRIED

from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.alerts.envelopes import (
    AlarmNotice,
    BudgetsNotice,
    Envelope,
    Unknown,
    parse_envelope,
)
from spendfuse.errors import InputError

RECORDED = Path(__file__).parents[2] / "envelopes"
NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"


def recorded(name: str) -> str:
    return (RECORDED / name).read_bytes().decode()


def enveloped(message: str, **changes: object) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "2f6a8f0e",
            "TopicArn": TOPIC,
            "Subject": "a subject",
            "Message": message,
            "Timestamp": "2026-11-21T14:03:10.000Z",
            **changes,
        }
    )


def parsed(message: str) -> Envelope:
    return parse_envelope(enveloped(message), received_at=NOW)


def notice(name: str) -> BudgetsNotice:
    content = parsed(recorded(name)).content
    assert isinstance(content, BudgetsNotice)
    return content


def alarm(name: str) -> AlarmNotice:
    content = parsed(recorded(name)).content
    assert isinstance(content, AlarmNotice)
    return content


@pytest.mark.parametrize(
    ("pattern", "shape"),
    [
        ("budgets-*", BudgetsNotice),
        ("alarm-*", AlarmNotice),
        ("anomaly*", Unknown),
        ("raw-*", Unknown),
        ("json-*", Unknown),
    ],
)
def test_each_recorded_message_is_what_its_name_says(pattern: str, shape: type) -> None:
    unreadable = {"budgets-half-a-message.txt", "budgets-quarterly.txt"}
    files = [file for file in RECORDED.glob(pattern) if file.name not in unreadable]

    assert files
    assert {type(parsed(recorded(file.name)).content) for file in files} == {shape}


def test_what_sns_says_about_a_message_is_kept() -> None:
    envelope = parsed("hello")

    assert envelope.topic_arn == TOPIC
    assert envelope.message_id == "2f6a8f0e"
    assert envelope.subject == "a subject"
    assert envelope.at == datetime(2026, 11, 21, 14, 3, 10, tzinfo=UTC)


def test_our_own_alert_comes_out_as_it_went_in() -> None:
    alert = parsed(recorded("own-alert.json")).content

    assert isinstance(alert, Alert)
    assert parsed(alert.to_json()).content == alert


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "loud"},
        {"source": "elsewhere"},
        {"channels": [1]},
        {"headline": ""},
        {"headline": 5},
        {"details": [None]},
        {"percent": "80"},
        {"spent_nano_usd": 1.5},
        {"spent_nano_usd": True},
        {"limit_nano_usd": 10**40},
        {"at": "0001-01-01T00:00:00+23:00"},
        {"budget": "\ud800"},
        {"trip": {"fuse": "x"}},
        {"surprise": 1},
    ],
)
def test_an_alert_of_ours_that_can_not_be_rendered_is_passed_on_as_text(change: dict) -> None:
    message = json.dumps({**json.loads(recorded("own-alert.json")), **change})

    with pytest.raises(InputError):
        alert_from_json(message)
    assert parsed(message).content == Unknown(message)


def test_an_alert_of_a_newer_schema_is_passed_on_as_text() -> None:
    message = recorded("own-alert-of-a-newer-schema.json")

    assert parsed(message).content == Unknown(message)


def test_a_monthly_notice_is_read_whole() -> None:
    assert notice("budgets-monthly-actual-80.txt") == BudgetsNotice(
        aws_name="main-1a2b3c4d",
        account="123456789012",
        actual=True,
        daily=False,
        budgeted_nano_usd=1_000 * 10**9,
        threshold_nano_usd=800 * 10**9,
        amount_nano_usd=812_400_000_000,
        date=date(2026, 11, 21),
    )
    assert notice("budgets-monthly-actual-80.txt").percent == 80
    assert notice("budgets-monthly-actual-80.txt").period_key == "2026-11"


def test_a_daily_notice_speaks_of_the_day_before() -> None:
    daily = notice("budgets-daily-actual-100.txt")

    assert daily.daily
    assert daily.period_key == "2026-10-31"
    assert daily.amount_nano_usd == 810_000_000


def test_a_forecast_is_not_spent() -> None:
    assert not notice("budgets-monthly-forecasted-100.txt").actual
    assert notice("budgets-monthly-actual-100.txt").actual


def test_an_older_wording_means_the_same() -> None:
    older = notice("budgets-older-wording.txt")

    assert older.actual
    assert older.amount_nano_usd == 812_400_000_000
    assert older.period_key == "2026-05"


def test_absurd_amounts_are_read_to_the_cent() -> None:
    assert notice("budgets-absurd-amount.txt").amount_nano_usd == 183_965_812_157_540_000_000


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("budgets-name-text.txt", "context-llm"),
        (
            "budgets-name-alarmname.txt",
            '{"AlarmName" "x"} Alert Type FORECASTED budget is greater than $9.00 per day',
        ),
        ("budgets-name-unicode.txt", "Étude 機械 <!channel> & *co*"),
    ],
)
def test_a_name_can_imitate_the_text_and_change_nothing(file: str, name: str) -> None:
    read = notice(file)

    assert read.aws_name == name
    assert read.actual
    assert not read.daily


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_ends_of_any_kind_are_read(ending: str) -> None:
    text = recorded("budgets-monthly-actual-80.txt").replace("\n", ending)

    assert parsed(text).content == notice("budgets-monthly-actual-80.txt")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS Budget Notification November 21, 2026", "AWS Budget Notification Smarch 21, 2026"),
        ("November 21, 2026", "November 31, 2026"),
        ("November 21, 2026", "November 21, 1926"),
        ("AWS Account 123456789012", "AWS Account 1234"),
        ("AWS Account 123456789012", "AWS Account ١٢٣٤٥٦٧٨٩٠١٢"),
        ("Budget Name: main-1a2b3c4d", ""),
        ("Alert Type: ACTUAL", "Alert Type: ACTUAL\nAlert Type: FORECASTED"),
        ("Alert Type: ACTUAL", "Alert Type: GUESSED"),
        ("Alert Type: ACTUAL", "Alert Type: FORECASTED"),
        ("Alert Threshold: > $800.00", "Alert Threshold: < $800.00"),
        ("Alert Threshold: > $800.00", "Alert Threshold: > 80%"),
        ("ACTUAL Amount: $812.40", "ACTUAL Amount: ¥812.40"),
        ("ACTUAL Amount: $812.40", "ACTUAL Amount: $8,12.40"),
        ("ACTUAL Amount: $812.40", "ACTUAL Amount: $-812.40"),
        ("ACTUAL Amount: $812.40", "ACTUAL Amount: $" + "9" * 5000),
        ("ACTUAL Amount: $812.40", "ACTUAL Amount: $0.0000000001"),
        ("current month", "current year"),
    ],
)
def test_a_notice_that_says_something_else_is_passed_on_as_text(old: str, new: str) -> None:
    text = recorded("budgets-monthly-actual-80.txt")
    assert old in text
    text = text.replace(old, new)

    assert parsed(text).content == Unknown(text)


@pytest.mark.parametrize(
    ("budgeted", "threshold", "percent"),
    [
        ("$3.00", "$1.50", 50),
        ("$0.75", "$0.38", 51),
        ("$8.00", "$0.04", 1),
        ("$0.00", "$1.00", None),
    ],
)
def test_the_rung_is_threshold_over_budget(
    budgeted: str, threshold: str, percent: int | None
) -> None:
    text = recorded("budgets-monthly-actual-80.txt")
    text = text.replace("Budgeted Amount: $1,000.00", f"Budgeted Amount: {budgeted}")
    text = text.replace("Threshold: > $800.00", f"Threshold: > {threshold}")
    content = parsed(text).content

    assert isinstance(content, BudgetsNotice)
    assert content.percent == percent


def test_a_metric_alarm_is_read_whole() -> None:
    read = alarm("alarm-metric.json")

    assert read.name == "acme-HighDailyCost"
    assert read.arn == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:acme-HighDailyCost"
    assert (read.state, read.old_state) == ("ALARM", "OK")
    assert read.changed_at == datetime(2026, 11, 21, 10, 2, 11, 640_000, tzinfo=UTC)
    assert not read.composite


def test_a_composite_alarm_names_what_set_it_off() -> None:
    read = alarm("alarm-composite.json")

    assert read.composite
    assert read.children == ("arn:aws:cloudwatch:us-east-1:123456789012:alarm:acme-HighDailyCost",)


def test_a_description_may_be_null_or_absent() -> None:
    assert alarm("alarm-null-description.json").description == ""
    assert alarm("alarm-insufficient-data.json").description == ""


@pytest.mark.parametrize(
    "change",
    [
        {"NewStateValue": "WEIRD"},
        {"NewStateValue": ["ALARM"]},
        {"AlarmName": None},
        {"AlarmName": 5},
        {"StateChangeTime": "yesterday"},
        {"StateChangeTime": "9999-12-31T23:59:59-23:00"},
    ],
)
def test_an_alarm_that_can_not_be_read_is_passed_on_as_text(change: dict) -> None:
    message = json.dumps({**json.loads(recorded("alarm-metric.json")), **change})

    assert parsed(message).content == Unknown(message)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "42",
        "not json at all",
        "[" * 100_000,
        '{"Message": "no type"}',
        enveloped("hello", Type="SubscriptionConfirmation"),
        enveloped("hello", TopicArn=None),
        enveloped("hello", Message={"AlarmName": "x"}),
        recorded("own-alert.json"),
        recorded("budgets-monthly-actual-100.txt"),
    ],
)
def test_a_body_that_sns_did_not_wrap_is_passed_on_as_text(body: str) -> None:
    # Nobody vouches for its topic, so it can't be taken for news of ours or of AWS's.
    assert parse_envelope(body, received_at=NOW) == Envelope(Unknown(body), NOW)


def test_a_wrong_timestamp_falls_back_on_the_time_of_receipt() -> None:
    for timestamp in (None, "yesterday", "0001-01-01T00:00:00+23:00"):
        assert parse_envelope(enveloped("x", Timestamp=timestamp), received_at=NOW).at == NOW


def test_half_a_surrogate_pair_is_made_fit_to_be_sent() -> None:
    half = "\\ud800 and more"
    body = enveloped(half, Subject=half).replace("\\\\ud800", "\\ud800")
    raw = recorded("alarm-metric.json").replace("acme-HighDailyCost", half)
    plain, alarm_notice = parse_envelope(body, received_at=NOW), parsed(raw).content

    assert plain.content == Unknown("? and more")
    assert plain.subject == "? and more"
    assert isinstance(alarm_notice, AlarmNotice)
    assert alarm_notice.name == "? and more"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@UNHURRIED
@given(st.text(st.characters()) | JSON.map(json.dumps))
def test_no_text_raises(text: str) -> None:
    parse_envelope(text, received_at=NOW)
    content = parsed(text).content

    assert isinstance(content, Unknown)
    content.text.encode()


@UNHURRIED
@given(
    st.sampled_from(["alarm-metric.json", "alarm-composite.json", "own-alert.json"]),
    st.data(),
    JSON,
)
def test_no_value_in_a_known_shape_raises(file: str, data: st.DataObject, value: object) -> None:
    raw = json.loads(recorded(file))
    raw[data.draw(st.sampled_from(sorted(raw)))] = value

    parsed(json.dumps(raw))


@UNHURRIED
@given(st.text(st.characters(exclude_characters=":\\\r\n"), min_size=1, max_size=100))
def test_any_name_of_a_budget_leaves_the_rest_readable(name: str) -> None:
    text = recorded("budgets-monthly-actual-100.txt").replace("main-1a2b3c4d", name)
    content = parsed(text).content

    if isinstance(content, Unknown):
        assert not name.strip()
    else:
        assert isinstance(content, BudgetsNotice)
        assert (content.percent, content.period_key) == (100, "2026-11")
        assert content.actual
        assert not content.daily
