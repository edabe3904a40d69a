"""Alarms in cdk.json: off, on, or with figures of one's own; and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from spendfuse.config import AlarmsConfig, CostAnomalyConfig, load
from spendfuse.errors import SettingsError

TAGS = {"Project": "a", "Environment": "dev", "Team": "t", "CostCenter": "1", "Owner": "o"}
DEFAULTS = AlarmsConfig(
    high_daily_cost_usd=Decimal(100),
    hourly_spend_usd=Decimal(20),
    budget_warning_percent=80,
    budget_critical_percent=100,
    expensive_request_usd=Decimal("0.05"),
    error_percent=10,
    latency_p95_ms=10_000,
    anomaly_band=3,
    anomaly_usd=Decimal(1),
    silent_minutes=60,
    unmetered_tokens_an_hour=100_000,
    dead_letters=True,
    function_errors=True,
    function_throttles=True,
    stream_lag_seconds=120,
    queue_age_seconds=600,
    queue_stuck=True,
    delivery_failures=True,
    unconfirmed_emails=True,
    heartbeat=True,
    spend_incident=True,
    runbooks="docs/runbooks",
)
FIGURES = {
    "high_daily_cost": ["high_daily_cost_usd"],
    "hourly_spend": ["hourly_spend_usd"],
    "budget_used": ["budget_warning_percent", "budget_critical_percent"],
    "expensive_request": ["expensive_request_usd"],
    "error_rate": ["error_percent"],
    "latency_p95": ["latency_p95_ms"],
    "spend_anomaly": ["anomaly_band", "anomaly_usd"],
    "metering_silent": ["silent_minutes"],
    "unmetered_use": ["unmetered_tokens_an_hour"],
    "stream_lag": ["stream_lag_seconds"],
    "queue_age": ["queue_age_seconds"],
}
SWITCHES = (
    *("dead_letters", "function_errors", "function_throttles", "queue_stuck"),
    *("delivery_failures", "unconfirmed_emails", "heartbeat", "spend_incident"),
)


def a_context(**over: Any) -> dict[str, Any]:
    block = {
        "name": "acme",
        "tags": TAGS,
        "alerts": {"emails": ["a@b.co"]},
        "budgets": [{"name": "llm", "limit_usd": 1000}],
        **over,
    }
    return {"spendfuse": block}


def alarms(**block: Any) -> AlarmsConfig:
    return load(a_context(alarms=block)).alarms


def report_of(context: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as raised:
        load(context)
    return str(raised.value)


def test_without_a_word_every_alarm_is_on_with_its_default() -> None:
    assert load(a_context()).alarms == DEFAULTS


@pytest.mark.parametrize("key", FIGURES)
def test_true_is_the_default_figures_and_so_is_an_empty_object(key: str) -> None:
    assert alarms(**{key: True}) == alarms(**{key: {}}) == DEFAULTS


@pytest.mark.parametrize("key", FIGURES)
def test_false_is_no_alarm_and_touches_no_other(key: str) -> None:
    assert alarms(**{key: False}) == replace(DEFAULTS, **dict.fromkeys(FIGURES[key]))


@pytest.mark.parametrize("key", SWITCHES)
def test_an_alarm_without_figures_is_on_or_off(key: str) -> None:
    assert alarms(**{key: False}) == replace(DEFAULTS, **{key: False})


def test_a_figure_left_out_keeps_its_default() -> None:
    assert alarms(budget_used={"warning_percent": 60}) == replace(
        DEFAULTS, budget_warning_percent=60
    )


@pytest.mark.parametrize("usd", [7.25, "7.25"])
def test_dollars_are_exact_as_text_or_as_a_number(usd: object) -> None:
    assert alarms(hourly_spend={"usd": usd}).hourly_spend_usd == Decimal("7.25")


def test_a_stage_changes_one_figure_and_switches_one_off() -> None:
    stages = {"dev": {"alarms": {"hourly_spend": {"usd": 2}, "heartbeat": False}}}
    base = {"hourly_spend": {"usd": 50}, "queue_age": {"seconds": 90}}
    context = a_context(alarms=base, stages=stages)

    assert load(context | {"stage": "dev"}).alarms == replace(
        DEFAULTS, hourly_spend_usd=Decimal(2), queue_age_seconds=90, heartbeat=False
    )
    assert load(context).alarms.hourly_spend_usd == Decimal(50)


def test_a_stage_can_switch_on_what_is_off() -> None:
    stages = {"prod": {"alarms": {"metering_silent": True}}}
    context = a_context(alarms={"metering_silent": False}, stages=stages)

    assert load(context | {"stage": "prod"}).alarms == DEFAULTS


def test_runbooks_may_be_anywhere_and_need_no_slash_at_the_end() -> None:
    assert alarms(runbooks="https://wiki.example.com/llm//").runbooks == (
        "https://wiki.example.com/llm"
    )


def test_cost_anomalies_are_asked_for_or_not() -> None:
    arn = "arn:aws:ce::123456789012:anomalymonitor/1a2b3c4d-0000-1111-2222-333344445555"

    assert load(a_context()).cost_anomaly is None
    assert load(a_context(cost_anomaly={})).cost_anomaly == CostAnomalyConfig(Decimal(20), None)
    assert load(
        a_context(cost_anomaly={"impact_usd": 5, "monitor_arn": arn})
    ).cost_anomaly == CostAnomalyConfig(Decimal(5), arn)


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"hourly_spent": True}, 'alarms.hourly_spent: unknown key; did you mean "hourly_spend"?'),
        (
            {"hourly_spend": {"dollars": 5}},
            "alarms.hourly_spend.dollars: unknown key; known here: usd",
        ),
        (
            {"budget_used": {"warning": 5}},
            'alarms.budget_used.warning: unknown key; did you mean "warning_percent"?',
        ),
        (
            {"hourly_spend": 20},
            'hourly_spend: got 20; write true, false, or its figures, such as {"usd": 20}',
        ),
        ({"queue_age": "10m"}, 'write true, false, or its figures, such as {"seconds": 600}'),
        ({"queue_age": None}, "queue_age: got null; write true, false, or its figures"),
        ({"heartbeat": "yes"}, 'heartbeat: got "yes"; write true or false'),
        ({"heartbeat": {}}, "heartbeat: got {}; write true or false"),
        ({"high_daily_cost": {"usd": 0}}, "usd: got 0; the amount must be above 0; write the"),
        ({"high_daily_cost": {"usd": "ten"}}, 'got "ten"; write an amount in dollars'),
        ({"expensive_request": {"usd": "1e-10"}}, "it is finer than a nano-dollar"),
        ({"hourly_spend": {"usd": 10**10}}, "the amount may be $1,000,000,000 at most"),
        ({"budget_used": {"warning_percent": 0}}, "warning_percent: got 0; write 1 or more"),
        ({"budget_used": {"critical_percent": 1001}}, "got 1001; write 1000 or less"),
        (
            {"budget_used": {"warning_percent": 100}},
            "alarms.budget_used: warns at 100 % and is critical from 100 % on; write a warning",
        ),
        ({"budget_used": {"critical_percent": 70}}, "warns at 80 % and is critical from 70 % on"),
        ({"error_rate": {"percent": 101}}, "percent: got 101; write 100 or less"),
        ({"error_rate": {"percent": 2.5}}, "got 2.5; write a whole number"),
        ({"latency_p95": {"ms": -1}}, "ms: got -1; write 1 or more"),
        ({"spend_anomaly": {"band": 0}}, "band: got 0; write the band's width in standard"),
        # Python writes it as 1e-07 into the expression, which metric math does not read.
        ({"spend_anomaly": {"band": 0.0000001}}, "band: got 1e-07; write the band's width"),
        ({"spend_anomaly": {"band": True}}, "band: got true; write the band's width"),
        ({"spend_anomaly": {"band": float("nan")}}, "write the band's width"),
        ({"metering_silent": {"minutes": "60"}}, 'got "60"; write a whole number'),
        ({"stream_lag": {"seconds": 86_401}}, "got 86401; write 86400 or less"),
        ({"queue_age": {"seconds": 1_209_601}}, "got 1209601; write 1209600 or less"),
        ({"runbooks": ""}, 'runbooks: got ""; write the folder or URL of the runbooks'),
        ({"runbooks": "our wiki"}, "without spaces"),
        ({"runbooks": "x" * 401}, "1 to 400 characters"),
        ({"runbooks": False}, "runbooks: got false; write a text"),
    ],
)
def test_a_mistake_is_named_with_its_path_its_value_and_what_to_write(
    block: dict[str, Any], sentence: str
) -> None:
    assert sentence in report_of(a_context(alarms=block))


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"impact_usd": 0}, "cost_anomaly.impact_usd: got 0; the amount must be above 0"),
        ({"monitor_arn": "my-monitor"}, 'got "my-monitor"; write the ARN of a Cost Anomaly'),
        ({"usd": 5}, "cost_anomaly.usd: unknown key"),
    ],
)
def test_a_mistake_about_cost_anomalies_is_named_too(block: dict[str, Any], sentence: str) -> None:
    assert sentence in report_of(a_context(cost_anomaly=block))


def test_alarms_are_an_object() -> None:
    assert "alarms: got false; write an object" in report_of(a_context(alarms=False))


def test_no_mistake_speaks_of_python() -> None:
    wrong = ["x y", 1.5, None, [], ["x"], float("nan"), 10**40, -1]
    figures = ("usd", "percent", "seconds", "ms", "band")
    reports = [
        report_of(a_context(alarms={key: each}))
        for key in (*FIGURES, *SWITCHES, "runbooks")
        for value in wrong
        for each in (value, dict.fromkeys(figures, value))
    ]

    for word in ("input should", "valid ", "dictionary", "instance", "Block", "None", "nan"):
        assert not [report for report in reports if word in report]
