from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from spendfuse.sandbox.budget_notice import (
    BudgetNotice,
    Spend,
    dollars,
    due_notice,
    period_key,
    subject,
    text,
)

ENVELOPES = Path(__file__).parents[2] / "envelopes"
NOV_21 = datetime(2026, 11, 21, 22, 13, tzinfo=UTC)


def a_notice(**changes):
    fields = {
        "account": "123456789012",
        "budget": "main-1a2b3c4d",
        "time_unit": "MONTHLY",
        "alert_type": "ACTUAL",
        "limit_usd": Decimal(1000),
        "threshold_usd": Decimal(800),
        "amount_usd": Decimal("812.40"),
        "at": NOV_21,
    }
    return BudgetNotice(**{**fields, **changes})


def a_budget(**changes):
    limit = {"Amount": "1000", "Unit": "USD"}
    return {"BudgetName": "main", "TimeUnit": "MONTHLY", "BudgetLimit": limit, **changes}


def a_notification(**changes):
    return {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 80,
        **changes,
    }


def due(notification, actual="0", forecast=None):
    spend = Spend(Decimal(actual), NOV_21, None if forecast is None else Decimal(forecast))
    return due_notice(a_budget(), notification, spend, "123456789012")


def test_a_monthly_notice_reads_as_recorded():
    recorded = (ENVELOPES / "budgets-monthly-actual-80.txt").read_text(encoding="utf-8")

    assert text(a_notice()).strip() == recorded.strip()


def test_a_daily_notice_reads_as_recorded():
    notice = a_notice(
        budget="daily-9f8e7d6c",
        time_unit="DAILY",
        limit_usd=Decimal("0.75"),
        threshold_usd=Decimal("0.75"),
        amount_usd=Decimal("0.81"),
        at=datetime(2026, 11, 1, tzinfo=UTC),
    )
    recorded = (ENVELOPES / "budgets-daily-actual-100.txt").read_text(encoding="utf-8")

    assert text(notice).strip() == recorded.strip()


def test_a_forecast_is_called_one_throughout():
    notice = a_notice(alert_type="FORECASTED", amount_usd=Decimal("1871.95"))

    assert "Alert Type: FORECASTED\n" in text(notice)
    assert "FORECASTED Amount: $1,871.95\n" in text(notice)
    assert "ACTUAL" not in text(notice)


def test_the_subject_names_the_budget():
    assert subject(a_notice()) == "AWS Budgets: main-1a2b3c4d has exceeded your alert threshold"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.005", "$0.01"), ("183965812157.54", "$183,965,812,157.54"), ("1e3", "$1,000.00")],
)
def test_dollars_are_shown_to_the_cent_with_separators(amount, shown):
    assert dollars(Decimal(amount)) == shown


@pytest.mark.parametrize(("actual", "fires"), [("800", False), ("800.01", True)])
def test_a_notification_is_due_above_its_percentage_of_the_limit(actual, fires):
    assert (due(a_notification(), actual) is not None) is fires


def test_an_absolute_threshold_is_in_dollars():
    notice = due(a_notification(Threshold=12.5, ThresholdType="ABSOLUTE_VALUE"), "13")

    assert notice.threshold_usd == Decimal("12.5")


def test_a_forecast_rung_looks_at_the_forecast_alone():
    rung = a_notification(NotificationType="FORECASTED", Threshold=100)

    assert due(rung, "5000") is None
    assert due(rung, "1", "1000.01").amount_usd == Decimal("1000.01")


@pytest.mark.parametrize(
    ("time_unit", "key"),
    [
        ("DAILY", "2026-11-20"),
        ("MONTHLY", "2026-11"),
        ("QUARTERLY", "2026-Q4"),
        ("ANNUALLY", "2026"),
    ],
)
def test_a_notification_fires_once_in_its_budgets_period(time_unit, key):
    assert period_key(time_unit, NOV_21) == key
