"""A file of budgets is read as cdk.json is, and names itself in every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spendfuse.config import budgets_from_file, load
from spendfuse.errors import SettingsError

TAGS = {"Project": "a", "Environment": "dev", "Team": "t", "CostCenter": "1", "Owner": "o"}
USER_DAY = {"name": "user-day", "per": "user", "period": "day", "limit_usd": 10}
BURST = {"name": "burst", "usd_per_minute": 2}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "budgets.json"


def report_of(file: Path, value: Any, **over: Any) -> str:
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(SettingsError) as raised:
        budgets_from_file(file, **over)
    return str(raised.value)


def a_cdk_json(**over: Any) -> dict[str, Any]:
    block = {"name": "acme", "tags": TAGS, "alerts": {"emails": ["a@b.co"]}}
    budgets = [{"name": "llm", "limit_usd": 1000}, USER_DAY]
    return {"context": {"spendfuse": {**block, "budgets": budgets, "rates": [BURST], **over}}}


def test_an_app_s_file_may_hold_one_budget_for_each_user_and_nothing_else(file: Path) -> None:
    file.write_text(json.dumps({"budgets": [USER_DAY]}))
    limits = budgets_from_file(file)

    assert [(each.name, each.per, each.limit_nano_usd) for each in limits.budgets] == [
        ("user-day", "user", 10 * 10**9)
    ]
    assert limits.rates == ()


def test_rates_alone_will_do(file: Path) -> None:
    file.write_text(json.dumps({"rates": [BURST]}))

    assert [each.name for each in budgets_from_file(file).rates] == ["burst"]


def test_a_whole_cdk_json_gives_what_its_deployment_enforces(file: Path) -> None:
    file.write_text(json.dumps(a_cdk_json()))

    assert budgets_from_file(str(file)) == load(a_cdk_json()["context"]).definitions.limits


def test_a_stage_of_a_cdk_json_is_laid_over_it(file: Path) -> None:
    stages = {"dev": {"budgets": [{"name": "user-day", "limit_usd": 1}]}}
    file.write_text(json.dumps(a_cdk_json(stages=stages)))

    assert budgets_from_file(file, stage="dev").budgets[1].limit_nano_usd == 10**9
    assert budgets_from_file(file).budgets[1].limit_nano_usd == 10 * 10**9


def test_what_only_the_deployment_needs_is_not_asked_of_an_app(file: Path) -> None:
    file.write_text(json.dumps(a_cdk_json(tags={}, fuse={"mode": "nonsense"})))

    assert len(budgets_from_file(file).budgets) == 2


def test_every_mistake_is_told_at_once_with_the_file_s_own_paths(file: Path) -> None:
    wrong = [
        {**USER_DAY, "limit_usd": -1, "zone": "berlin"},
        {"name": "burst", "limit_usd": 1},
        {**USER_DAY, "name": "z", "ladder": [100]},
    ]
    report = report_of(file, {"budgets": wrong, "rates": [BURST], "rate": []})

    assert report.splitlines()[0] == f"{file}: 5 mistakes in the configuration:"
    assert [line.split(":")[0] for line in report.splitlines()[1:]] == [
        "  budgets[0].limit_usd",
        "  budgets[0].zone",
        "  budgets[2].ladder",
        "  rate",
        "  rates[0].name",
    ]
    assert 'rate: unknown key; did you mean "rates"? known here: budgets, rates' in report


def test_a_mistake_in_a_cdk_json_has_the_path_that_config_check_prints(file: Path) -> None:
    report = report_of(file, a_cdk_json(rates=[{"name": "burst"}]))

    assert f"{file}: 1 mistake" in report
    assert "  spendfuse.rates[0].usd_per_minute: is missing" in report


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], 'must hold an object, such as {"budgets": [...]}'),
        ({}, "budgets: there are none, and no rates; write at least one"),
        ({"budgets": [], "rates": []}, "budgets: there are none, and no rates"),
        ({"budgets": {}}, "budgets: got {}; write a list"),
        ({"context": []}, 'there is no "spendfuse" object in its context'),
        ({"context": {"spendfuse": 3}}, 'there is no "spendfuse" object in its context; got 3'),
        ({"context": {"spendfuse": {}}}, "spendfuse.budgets: there are none, and no rates"),
    ],
)
def test_a_file_that_holds_no_budgets_says_what_to_write(
    file: Path, value: Any, sentence: str
) -> None:
    report = report_of(file, value)

    assert str(file) in report
    assert sentence in report


def test_a_stage_that_is_not_there_is_a_mistake(file: Path) -> None:
    assert '-c stage: got "prd"' in report_of(file, a_cdk_json(), stage="prd")


def test_a_file_that_is_not_there_says_so(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"budgets\.json can't be read: No such file"):
        budgets_from_file(file)
