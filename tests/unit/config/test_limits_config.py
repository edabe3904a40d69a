"""Budgets per value, zones, modes and rates: how they are read, and every mistake in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.budget import MODES, WHEN_DOWN, Budget, Rate, Rung
from spendfuse.config import load
from spendfuse.config.load import MAX_DEFINITIONS_BYTES
from spendfuse.definitions import definitions_from_json
from spendfuse.errors import SettingsError
from spendfuse.period import PERIOD_KINDS

BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": {"Project": "a", "Environment": "dev", "Team": "t", "CostCenter": "1", "Owner": "o"},
    "alerts": {"emails": ["a@b.co"], "slack": {"webhook_secret": "acme/slack"}},
}
ROOT = {"name": "llm", "limit_usd": 1000}


def a_context(*budgets: dict[str, Any], **over: Any) -> dict[str, Any]:
    return {"spendfuse": {**BLOCK, "budgets": [ROOT, *budgets], **over}}


def a_budget(**over: Any) -> dict[str, Any]:
    return {"name": "b", "limit_usd": 1, "match": {"team": "search"}, **over}


def read(**over: Any) -> Budget:
    return load(a_context(a_budget(**over))).definitions.budgets[1]


def report_of(context: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as raised:
        load(context)
    return str(raised.value)


def test_every_key_of_a_budget_gets_through() -> None:
    budget = read(
        match={"team": "search", "model": "gpt-4o*"},
        per="user",
        period="day",
        zone="Europe/Berlin",
        mode="fit",
        when_down="local_share",
        local_share_percent=25,
    )

    assert budget == Budget(
        name="b",
        limit_nano_usd=10**9,
        period="day",
        match={"team": "search", "model": "gpt-4o*"},
        per="user",
        zone="Europe/Berlin",
        mode="fit",
        when_down="local_share",
        local_share_percent=25,
    )


def test_what_is_left_out_takes_the_strictest_default() -> None:
    budget = read()

    assert (budget.period, budget.zone, budget.per) == ("month", "UTC", None)
    assert (budget.mode, budget.when_down, budget.local_share_percent) == (
        "strict",
        "fail_closed",
        10,
    )
    assert budget.ladder == (
        Rung(50, ("email", "slack")),
        Rung(80, ("slack",)),
        Rung(100, ("email", "slack"), trips=True),
    )


def test_a_budget_per_value_has_no_rungs_whether_or_not_that_is_written() -> None:
    assert read(per="user").ladder == read(per="user", ladder=[]).ladder == ()


def test_a_budget_per_value_is_not_the_root_and_stands_behind_it() -> None:
    per_user = {"name": "user-day", "limit_usd": 10, "per": "user", "period": "day"}
    context = {"spendfuse": {**BLOCK, "budgets": [per_user, ROOT]}}

    assert [each.name for each in load(context).definitions.budgets] == ["llm", "user-day"]


def test_a_monthly_limit_from_the_command_line_is_the_root_s_not_each_user_s() -> None:
    per_user = {"name": "each", "limit_usd": 10, "per": "user"}
    context = {"spendfuse": {**BLOCK, "budgets": [per_user, ROOT]}, "monthly_limit_usd": "70"}
    budgets = load(context).definitions.budgets

    assert [(each.name, each.limit_nano_usd // 10**9) for each in budgets] == [
        ("llm", 70),
        ("each", 10),
    ]


def test_rates_get_through() -> None:
    rates = [
        {"name": "burst", "usd_per_minute": "0.25"},
        {"name": "team-burst", "usd_per_minute": 2, "per": "team", "match": {"model": "o*"}},
    ]

    assert load(a_context(rates=rates)).definitions.limits.rates == (
        Rate("burst", 250_000_000),
        Rate("team-burst", 2 * 10**9, {"model": "o*"}, "team"),
    )


def test_a_stage_is_laid_over_a_rate_by_its_name() -> None:
    rates = [{"name": "burst", "usd_per_minute": 2, "per": "team"}]
    stages = {
        "dev": {
            "rates": [
                {"name": "burst", "usd_per_minute": 1},
                {"name": "more", "usd_per_minute": 3},
            ]
        }
    }
    shown = load(a_context(rates=rates, stages=stages) | {"stage": "dev"}).definitions.rates

    assert shown == (Rate("burst", 10**9, per="team"), Rate("more", 3 * 10**9))


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"period": "year"}, 'got "year"; write "day" or "week" or "month" or "total"'),
        ({"zone": "europe/berlin"}, 'did you mean "Europe/Berlin"? write an IANA name'),
        ({"zone": "rome"}, 'did you mean "Europe/Rome"?'),
        ({"zone": "New York"}, 'did you mean "America/New_York"?'),
        ({"zone": "Europe/Berln"}, 'did you mean "Europe/Berlin"?'),
        ({"zone": "localtime"}, 'got "localtime"; there is no such time zone; write'),
        ({"zone": "../../etc/passwd"}, "there is no such time zone"),
        ({"zone": ""}, 'budgets[1].zone: got ""; there is no such time zone; write an IANA name'),
        ({"zone": 1}, "budgets[1].zone: got 1; write a text"),
        ({"mode": "soft"}, 'got "soft"; write "strict" or "fit" or "observe"'),
        (
            {"when_down": "open"},
            'got "open"; write "fail_closed" or "fail_open" or "local_share"',
        ),
        ({"local_share_percent": 0}, "local_share_percent: got 0; write 1 or more"),
        ({"local_share_percent": 101}, "local_share_percent: got 101; write 100 or less"),
        ({"local_share_percent": 10.5}, "local_share_percent: got 10.5; write a whole number"),
        ({"per": ""}, 'budgets[1].per: got ""; an attribute\'s name has 1 to 256 bytes and no *'),
        ({"per": "team*"}, 'budgets[1].per: got "team*"; an attribute\'s name'),
        ({"per": " user"}, 'budgets[1].per: got " user"; an attribute\'s name'),
        ({"per": ["user"]}, 'budgets[1].per: got ["user"]; write a text'),
        ({"match": {"te*": "x"}}, 'budgets[1].match: got {"te*": "x"}; an attribute\'s name'),
        ({"match": {"team": ""}}, 'the value of "team" is no text of 1 to 256 bytes'),
        ({"match": {"team": "x" * 257}}, 'the value of "team" is no text of 1 to 256 bytes'),
        ({"match": {"team": "\ud800"}}, 'the value of "team" is no text of 1 to 256 bytes'),
        ({"match": {"model": "gpt-*-mini"}}, '"model" has a * before the end, where it would'),
        ({"match": {"model": "gpt**"}}, '"model" has a * before the end'),
        ({"match": {"team": 7}}, "budgets[1].match.team: got 7; write a text"),
        ({"per": "user", "ladder": [80]}, "a budget per user refuses requests, and neither rings"),
        (
            {"per": "user", "ladder": [{"percent": 100, "trip": True}]},
            "budgets[1].ladder: got [",
        ),
        ({"match": {}, "per": "user", "ladder": [100]}, "one user must not stop the others"),
    ],
)
def test_a_mistake_in_a_budget_says_what_to_write(over: dict[str, Any], sentence: str) -> None:
    report = report_of(a_context(a_budget(**over)))

    assert report.startswith("1 mistake in the configuration:")
    assert sentence in report


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ({"name": "r"}, "write a list: [...]"),
        ([{"name": "r"}], "rates[0].usd_per_minute: is missing"),
        ([{"name": "r", "usd_per_minute": 0}], "above 0; write the dollars of one minute"),
        ([{"name": "r", "usd_per_minute": "1e-10"}], "finer than a nano-dollar"),
        ([{"name": "r", "usd_per_minute": 1, "period": "day"}], "rates[0].period: unknown key"),
        ([{"name": "r", "usd_per_minut": 1}], 'did you mean "usd_per_minute"?'),
        ([{"name": "r", "usd_per_minute": 1, "per": "*"}], "rates[0].per"),
        ([{"name": "llm", "usd_per_minute": 1}], 'rates[0].name: got "llm"; budgets[0] has that'),
        ([{"name": "r", "usd_per_minute": 1}] * 2, 'rates[1].name: got "r"; rates[0] has that'),
    ],
)
def test_a_mistake_in_a_rate_says_what_to_write(rates: Any, sentence: str) -> None:
    assert sentence in report_of(a_context(rates=rates))


def test_budgets_per_value_alone_leave_the_root_missing() -> None:
    per_user = {"name": "each", "limit_usd": 10, "per": "user"}

    assert "every budget has a match or a per; add one without, the root" in report_of(
        {"spendfuse": {**BLOCK, "budgets": [per_user]}}
    )


@pytest.mark.parametrize(
    ("budget", "aws", "sentence"),
    [
        (
            {"per": "user"},
            {"budget": "b"},
            'aws_budgets[0].budget: got "b", which is a budget for each user',
        ),
        (
            {"per": "user"},
            {"budget": "b", "limit_usd": 5},
            "AWS's bill knows none of them",
        ),
        (
            {"period": "total"},
            {"budget": "b"},
            'the limit of "b" is for all time, not for a month; write the dollars of one month',
        ),
    ],
)
def test_an_aws_budget_can_t_join_what_aws_does_not_count(
    budget: dict[str, Any], aws: dict[str, Any], sentence: str
) -> None:
    context = a_context(a_budget(**budget), aws_budgets=[{"name": "bill", **aws}])

    assert sentence in report_of(context)


def test_an_aws_budget_may_join_a_total_with_a_limit_of_its_own_and_a_zoned_month() -> None:
    context = a_context(
        a_budget(period="total"),
        a_budget(name="c", zone="Europe/Berlin", limit_usd=7),
        aws_budgets=[
            {"name": "one", "budget": "b", "limit_usd": 5},
            {"name": "two", "budget": "c"},
        ],
    )

    assert [each.limit_usd for each in load(context).aws_budgets] == [5, 7]


def test_an_aws_budget_without_a_link_takes_the_root_s_limit_and_no_user_s() -> None:
    per_user = {"name": "each", "limit_usd": 10, "per": "user", "period": "day"}
    context = {
        "spendfuse": {**BLOCK, "budgets": [per_user, ROOT], "aws_budgets": [{"name": "bill"}]}
    }

    assert load(context).aws_budgets[0].limit_usd == 1000


def test_definitions_too_large_for_one_item_are_refused() -> None:
    match = {f"attribute-{number}": "x" * 250 for number in range(49)}
    wide = [a_budget(name=f"b{number}", match=match) for number in range(40)]
    report = report_of(a_context(*wide))

    assert f"write {MAX_DEFINITIONS_BYTES:,} at most" in report


_TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
_NAMES = _TEXTS.filter(lambda text: "*" not in text and text == text.strip())
_VALUES = st.builds(str.__add__, _NAMES, st.sampled_from(["", "*"]))
_USD = st.decimals(min_value="0.000000001", max_value=1_000_000_000, places=9).map(str)
_MATCHES = st.dictionaries(_NAMES, _VALUES, max_size=3)
_PERS = st.none() | _NAMES
_BUDGETS = st.fixed_dictionaries(
    {
        "limit_usd": _USD,
        "period": st.sampled_from(PERIOD_KINDS),
        "match": _MATCHES.filter(bool),
        "per": _PERS,
        "zone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
        "mode": st.sampled_from(MODES),
        "when_down": st.sampled_from(WHEN_DOWN),
        "local_share_percent": st.integers(1, 100),
    }
)
_RATES = st.fixed_dictionaries({"usd_per_minute": _USD, "match": _MATCHES, "per": _PERS})


@given(st.lists(_BUDGETS, max_size=4), st.lists(_RATES, max_size=4))
def test_whatever_the_configuration_takes_survives_its_file(
    budgets: list[dict[str, Any]], rates: list[dict[str, Any]]
) -> None:
    context = a_context(
        *({"name": f"b{number}", **each} for number, each in enumerate(budgets)),
        rates=[{"name": f"r{number}", **each} for number, each in enumerate(rates)],
    )
    definitions = load(context).definitions

    assert definitions_from_json(definitions.to_json()) == definitions
    assert [each.per for each in definitions.limits.budgets[1:]] == [
        each["per"] for each in budgets
    ]
    assert len(definitions.limits.rates) == len(rates)
