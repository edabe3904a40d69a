"""Every mistake at once, each with its path, its value and what to write instead."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from spendfuse.config import load, stage_names
from spendfuse.definitions import definitions_from_json
from spendfuse.errors import SettingsError

TAGS = {"Project": "a", "Environment": "dev", "Team": "t", "CostCenter": "1", "Owner": "o"}
BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": TAGS,
    "alerts": {"emails": ["a@b.co"], "slack": {"webhook_secret": "acme/slack"}},
    "budgets": [
        {"name": "search", "match": {"team": "search"}, "limit_usd": "10.50", "period": "day"},
        {"name": "llm", "limit_usd": 1000},
    ],
    "aws_budgets": [{"name": "bill", "actual_percents": [50, 80, 100]}],
    "stages": {"prod": {"budgets": [{"name": "llm", "limit_usd": 5000}]}},
}


def a_context(**over: Any) -> dict[str, Any]:
    return {"spendfuse": {**copy.deepcopy(BLOCK), **over}}


def report_of(context: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as raised:
        load(context)
    return str(raised.value)


def a_budget(**over: Any) -> dict[str, Any]:
    return a_context(budgets=[{"name": "llm", "limit_usd": 1000, **over}])


def an_aws_budget(**over: Any) -> dict[str, Any]:
    return a_context(aws_budgets=[{"name": "bill", **over}])


def test_the_root_budget_comes_first_and_has_the_default_ladder() -> None:
    root = load(a_context()).definitions.root

    assert root.name == "llm"
    assert [(rung.percent, rung.channels, rung.trips) for rung in root.ladder] == [
        (50, ("email", "slack"), False),
        (80, ("slack",), False),
        (100, ("email", "slack"), True),
    ]


def test_a_limit_is_exact_to_the_nano_dollar() -> None:
    budget = load(a_context()).definitions.budgets[1]

    assert budget.limit_nano_usd == 10_500_000_000


def test_a_bare_rung_trips_from_100_percent_on() -> None:
    ladder = load(a_budget(ladder=[70, 100])).definitions.root.ladder

    assert [rung.trips for rung in ladder] == [False, True]


def test_a_stage_is_laid_over_by_name_and_names_the_deployment() -> None:
    config = load(a_context() | {"stage": "prod"})

    assert config.deployment == "acme-prod"
    assert config.definitions.root.limit_nano_usd == 5000 * 10**9
    assert config.definitions.budgets[1].name == "search"
    assert stage_names(a_context()) == ["prod"]


def test_a_limit_from_the_command_line_is_text_and_beats_the_stage() -> None:
    config = load(a_context() | {"stage": "prod", "monthly_limit_usd": "50.25"})

    assert config.definitions.root.limit_nano_usd == 50_250_000_000


def test_an_aws_budget_without_a_limit_takes_its_budget_s() -> None:
    aws_budget = load(a_context()).aws_budgets[0]

    assert (aws_budget.limit_usd, aws_budget.trip_percent) == (Decimal(1000), 100)


@pytest.mark.parametrize(
    "change",
    [
        {"actual_percents": [50, 80]},
        {"forecast_percents": [100]},
        {"emails": ["x@y.co"]},
        {"trip": False},
        {"period": "day", "limit_usd": 40},
    ],
)
def test_what_aws_would_replace_gives_the_aws_budget_a_new_name(change: dict[str, Any]) -> None:
    before = load(a_context()).aws_budgets[0].aws_name
    after = load(a_context(aws_budgets=[{"name": "bill", **change}])).aws_budgets[0].aws_name

    assert before != after
    assert after.startswith("bill-")


def test_a_new_limit_keeps_the_aws_budget_s_name() -> None:
    changed = load(a_context() | {"monthly_limit_usd": "7"})

    assert changed.aws_budgets[0].aws_name == load(a_context()).aws_budgets[0].aws_name


def test_two_deployments_never_share_an_aws_budget_s_name() -> None:
    prod = load(a_context() | {"stage": "prod"})

    assert prod.aws_budgets[0].aws_name != load(a_context()).aws_budgets[0].aws_name


def test_a_daily_aws_budget_never_trips() -> None:
    config = load(an_aws_budget(period="day", limit_usd=40))

    assert config.aws_budgets[0].trip_percent is None
    assert not any(rung.trips for rung in config.definitions.aws_budgets[0].ladder)


def test_the_definitions_survive_their_file() -> None:
    definitions = load(a_context()).definitions

    assert definitions_from_json(definitions.to_json()) == definitions


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        (a_budget(limit_usd=0), "budgets[0].limit_usd: got 0; the limit must be above 0"),
        (a_budget(limit_usd=-5), "budgets[0].limit_usd: got -5; the limit must be above 0"),
        (a_budget(limit_usd="ten"), 'budgets[0].limit_usd: got "ten"; write an amount in'),
        (a_budget(limit_usd=None), "limit_usd: got null; write an amount in dollars"),
        (a_budget(limit_usd=float("nan")), "limit_usd: got NaN; write an amount in dollars"),
        (a_budget(limit_usd=1e30), "got 1e+30; the limit may be $1,000,000,000 at most"),
        (a_budget(limit_usd=True), "budgets[0].limit_usd: got true; write an amount in"),
        (a_budget(limit_usd="NaN"), 'budgets[0].limit_usd: got "NaN"; write an amount in'),
        (a_budget(limit_usd="1e-10"), "finer than a nano-dollar"),
        (a_budget(ladder=[80, 50]), "50 % comes after 80 %; write the lowest first: [50, 80]"),
        (a_budget(ladder=[50, 50]), "50 % stands here twice"),
        (a_budget(ladder=[]), "budgets[0].ladder: got []; it is empty; write at least one rung"),
        (
            a_budget(ladder=[{"percent": 50, "notify": []}]),
            'ladder[0].notify: got []; it is empty; write "email", "slack" or both',
        ),
        (a_budget(ladder=["50%"]), 'ladder[0]: got "50%"; write a whole percent, such as 80'),
        (a_budget(ladder=[50.5]), "ladder[0]: got 50.5; write a whole percent, such as 80"),
        (a_budget(ladder=80), "budgets[0].ladder: got 80; write a list: [...]"),
        (a_budget(ladder=[{"percent": "80"}]), 'percent: got "80"; write a whole number'),
        (a_budget(ladder=[{"percent": 1001}]), "percent: got 1001; write 1000 or less"),
        (a_budget(match="x"), 'match: got "x"; write an object: {...}'),
        (a_budget(name=7), "name: got 7; write a text"),
        (a_budget(period="year"), 'period: got "year"; write "day" or "week" or "month"'),
        (a_context(budgets=[]), 'write at least one budget, such as {"name": "llm"'),
        (a_context(budgets=["llm"]), 'budgets[0]: got "llm"; write an object: {...}'),
        (a_budget(ladder=[{"percent": 0}]), "budgets[0].ladder[0].percent: got 0"),
        (a_budget(limt=3), 'budgets[0].limt: unknown key; did you mean "limit_usd"?'),
        (a_budget(name="a:b"), 'budgets[0].name: got "a:b"; write 1 to 63 letters'),
        (a_budget(match={"team": "x"}), "add one without, the root"),
        (a_context(nme="x"), 'spendfuse.nme: unknown key; did you mean "name"?'),
        (
            a_context(stage={}),
            (
                "alarms, alerts, aws_budgets, bedrock_log, budgets, cost_anomaly, fuse, name, "
                "rates, stages, tags"
            ),
        ),
        (a_context(stages={"x": {"stages": {}}}) | {"stage": "x"}, "has no stages of its own"),
        (a_context(tags={"Project": "a"}), "add the required tags Environment, Team, CostCenter"),
        (a_context(alerts={"emails": ["nope"]}), 'alerts.emails[0]: got "nope"; write one address'),
        (a_context(alerts={"emails": ["a@b.co", "a@b.co"]}), "a@b.co stands here twice; keep one"),
        (
            a_context(
                aws_budgets=[
                    {"name": "x", "actual_percents": [*range(1, 11)], "forecast_percents": [50]}
                ]
            ),
            "aws_budgets[0]: has 11 rungs, actual and forecast together; an AWS Budget takes 10",
        ),
        (a_context(alerts={}), "spendfuse.alerts: nobody would hear of anything; add emails"),
        (a_context(tags={**TAGS, "aws:x": "y"}), "not beginning with aws:; mend 'aws:x'"),
        (a_context(tags={**TAGS, "a<b>": "y"}), "mend 'a<b>'"),
        (
            a_context(tags={**TAGS, **{f"t{n}": "y" for n in range(46)}}),
            "a resource takes 50 tags",
        ),
        (a_context(stages={"dev_1": {}}), "stages.dev_1: the deployment would be called"),
        (
            a_context(
                budgets=[
                    {"name": "llm", "limit_usd": 1},
                    *({"name": f"b{n}", "match": {"n": "1"}, "limit_usd": 1} for n in range(100)),
                ]
            ),
            "spendfuse.budgets: has 101; 100 at most are watched, each minute and in one run",
        ),
        (
            a_context(aws_budgets=[{"name": "x", "period": "day", "forecast_percents": [100]}]),
            "AWS has no forecasts for daily budgets",
        ),
        (
            a_context(fuse={"mode": "on"}),
            'fuse.mode: got "on"; write "armed" or "dry-run" or "off"',
        ),
        (
            a_context(fuse={"key_stores": []}),
            "fuse.key_stores: got []; a trip would disable nothing",
        ),
        (
            an_aws_budget(filters={"Foo": ["x"]}),
            '[0].filters: got {"Foo": ["x"]}; AWS Budgets has no filter "Foo"; it has AZ, ',
        ),
        (an_aws_budget(filters={"LINKED_ACCOUNT": ["1"]}), 'did you mean "LinkedAccount"?'),
        (an_aws_budget(filters={"service": ["x"]}), 'did you mean "Service"?'),
        (an_aws_budget(filters={"Service": []}), '"Service" filters by nothing; write its values'),
        (an_aws_budget(filters={"Service": [" "]}), '"Service" filters by nothing'),
        (
            an_aws_budget(emails=[f"a{n}@b.co" for n in range(11)]),
            "write 10 at most",
        ),
        (
            an_aws_budget(period="day"),
            'limit_usd: is missing, and the limit of "llm" is for a month, not for a day; write',
        ),
        (
            an_aws_budget(budget="search"),
            'the limit of "search" is for a day, not for a month; write the dollars of one month',
        ),
        (
            a_context(aws_budgets=[{"name": "x", "budget": "lllm"}]),
            'aws_budgets[0].budget: got "lllm"; there is no such budget, write one of: llm, search',
        ),
        (
            a_context(budgets=[], aws_budgets=[{"name": "x", "budget": "llm"}]),
            'got "llm"; there is no such budget, add it to budgets',
        ),
        (a_context() | {"stage": "prd"}, '-c stage: got "prd"'),
        (a_context() | {"monthly_limit_usd": "abc"}, 'limit_usd: got "abc"; write an amount in'),
        ({}, 'cdk.json has no "spendfuse" object'),
    ],
)
def test_a_mistake_is_named_with_its_path_its_value_and_what_to_write(
    context: dict[str, Any], sentence: str
) -> None:
    assert sentence in report_of(context)


def test_no_mistake_speaks_of_python() -> None:
    wrong = ["x", 1, 50.5, True, None, [], {}, ["x"], float("nan"), float("inf"), 10**40, -1]
    fields = {
        (): ("name", "tags", "alerts", "budgets", "rates", "aws_budgets", "fuse", "stages"),
        ("budgets", 0): (
            *("name", "limit_usd", "period", "match", "ladder", "per", "zone", "mode"),
            *("when_down", "local_share_percent"),
        ),
        ("rates", 0): ("name", "usd_per_minute", "match", "per"),
        ("budgets", 0, "ladder", 0): ("percent", "notify", "trip"),
        ("aws_budgets", 0): ("budget", "limit_usd", "period", "actual_percents", "filters", "trip"),
        ("alerts",): ("emails", "slack"),
        ("fuse",): ("mode", "name", "key_stores", "allowance_percent", "plausible_multiple"),
    }
    reports = []
    for path, names in fields.items():
        for name in names:
            for value in wrong:
                context = a_budget(ladder=[{"percent": 100}])
                context["spendfuse"]["rates"] = [{"name": "burst", "usd_per_minute": 1}]
                place: Any = context["spendfuse"]
                for part in path:
                    place = place[part] if part != "fuse" else place.setdefault("fuse", {})
                place[name] = value
                try:
                    load(context)
                except SettingsError as error:
                    reports.append(str(error))

    assert len(reports) > 200
    for word in (
        "input should",
        "valid ",
        "dictionary",
        "instance",
        "Block",
        "None",
        "True",
        "nan",
    ):
        assert not [report for report in reports if word in report]


def test_a_fuse_that_is_off_needs_no_key_store() -> None:
    assert load(a_context(fuse={"mode": "off", "key_stores": []})).definitions.fuse.key_stores == ()


def test_an_aws_budget_of_another_period_has_a_limit_of_its_own() -> None:
    config = load(an_aws_budget(budget="search", limit_usd=300))

    assert config.aws_budgets[0].limit_usd == Decimal(300)


def test_a_filter_that_aws_knows_is_handed_down() -> None:
    config = load(an_aws_budget(filters={"Service": ["Amazon Bedrock"]}))

    assert config.aws_budgets[0].filters == {"Service": ("Amazon Bedrock",)}


def test_a_webhook_url_is_refused_and_not_repeated() -> None:
    url = "https://hooks.slack.com/services/T0/B0/abcdefSECRET"
    report = report_of(a_context(alerts={"slack": {"webhook_secret": url}}))

    assert "store it in AWS Secrets Manager and write the secret's name" in report
    assert "SECRET" not in report


@pytest.mark.parametrize(
    "name", ["hooks.slack.com/services/T0/B0/SECRET", "services/T0/B0/SECRET", "T0AB/B0CD/SECRET"]
)
def test_a_webhook_without_its_scheme_is_refused_too(name: str) -> None:
    report = report_of(a_context(alerts={"slack": {"webhook_secret": name}}))

    assert "a webhook URL is a secret and does not belong here" in report
    assert "SECRET" not in report


@pytest.mark.parametrize(
    ("alerts", "channel", "sentence"),
    [
        ({"emails": ["a@b.co"]}, "slack", "goes to slack alone, but alerts.slack is not set"),
        (
            {"slack": {"webhook_secret": "acme/slack"}},
            "email",
            "goes to email alone, but alerts.emails is not set",
        ),
    ],
)
def test_a_rung_that_nobody_would_hear_of_is_a_mistake(
    alerts: dict[str, Any], channel: str, sentence: str
) -> None:
    context = a_budget(ladder=[{"percent": 50, "notify": [channel]}])
    context["spendfuse"]["alerts"] = alerts

    assert f"ladder[0].notify: {sentence}" in report_of(context)


def test_an_email_only_deployment_may_keep_the_default_ladder() -> None:
    assert load(a_context(alerts={"emails": ["a@b.co"]})).slack_webhook_secret is None


def test_all_mistakes_are_reported_at_once() -> None:
    report = report_of(
        a_context(
            nme="x",
            tags={},
            budgets=[
                {"name": "llm", "limit_usd": -1, "ladder": [80, 50]},
                {"name": "llm", "limit_usd": 1, "match": {"team": "x"}},
                {"name": "other", "limit_usd": 1},
            ],
            fuse={"mode": "on"},
        )
        | {"stage": "nope"}
    )

    assert report.startswith("8 mistakes in the configuration:")
    for path in ("nme", "tags", "[0].limit_usd", "[0].ladder", "[1].name", "[2].match", "mode"):
        assert path in report
