"""A trip never comes unannounced: the configuration says so before anything is deployed."""

from __future__ import annotations

from typing import Any

import pytest

from spendfuse.config import load
from spendfuse.errors import SettingsError

BLOCK: dict[str, Any] = {
    "tags": dict.fromkeys(("Project", "Environment", "Team", "CostCenter", "Owner"), "x"),
    "alerts": {"emails": ["a@example.com"]},
    "budgets": [{"name": "llm", "limit_usd": 1000}],
}


def with_ladder(*rungs: Any, **rest: Any) -> dict[str, Any]:
    return {**BLOCK, "budgets": [{"name": "llm", "limit_usd": 1000, "ladder": [*rungs]}], **rest}


def with_bill(*percents: int, **rest: Any) -> dict[str, Any]:
    return {**BLOCK, "aws_budgets": [{"name": "bill", "actual_percents": [*percents], **rest}]}


def a_rung(percent: int, *, trip: bool) -> dict[str, Any]:
    return {"percent": percent, "trip": trip}


@pytest.mark.parametrize(
    ("block", "path", "lowest"),
    [
        (with_ladder(100), "budgets[0].ladder", 100),
        (with_ladder(100, 120), "budgets[0].ladder", 100),
        (with_ladder({"percent": 100, "notify": ["email"]}), "budgets[0].ladder", 100),
        (with_ladder(a_rung(80, trip=True), a_rung(90, trip=False)), "budgets[0].ladder", 80),
        (with_ladder(100, fuse={"mode": "dry-run"}), "budgets[0].ladder", 100),
        (with_bill(100), "aws_budgets[0].actual_percents", 100),
        (with_bill(120, 150), "aws_budgets[0].actual_percents", 120),
    ],
)
def test_a_ladder_whose_lowest_rung_trips_is_a_mistake(
    block: dict[str, Any], path: str, lowest: int
) -> None:
    with pytest.raises(SettingsError) as raised:
        load({"spendfuse": block})

    (line,) = str(raised.value).splitlines()[1:]
    assert line.startswith(f"  spendfuse.{path}: got [")
    assert f"its lowest rung, {lowest} %, trips: everything would stop before anybody" in line


@pytest.mark.parametrize(
    "block",
    [
        BLOCK,
        with_ladder(50, 100),
        with_ladder(a_rung(100, trip=False)),
        with_ladder(a_rung(100, trip=False), a_rung(120, trip=True)),
        with_ladder(50, 80),
        with_ladder(100, fuse={"mode": "off"}),
        with_bill(80, 100),
        with_bill(50),
        with_bill(100, forecast_percents=[100]),
        with_bill(100, trip=False),
        with_bill(100, period="day", limit_usd=50),
    ],
)
def test_what_is_announced_or_never_trips_is_fine(block: dict[str, Any]) -> None:
    assert load({"spendfuse": block}).definitions.root.name == "llm"


def test_a_trip_that_tells_nobody_is_a_mistake() -> None:
    silent = {"percent": 100, "notify": [], "trip": True}

    with pytest.raises(SettingsError, match=r"ladder\[1\].notify: got \[\]; it is empty; write"):
        load({"spendfuse": with_ladder(50, silent)})


def test_a_trip_for_each_user_is_a_mistake() -> None:
    per_user = {"name": "each", "limit_usd": 1, "per": "user", "ladder": [a_rung(100, trip=True)]}
    block = {**BLOCK, "budgets": [*BLOCK["budgets"], per_user]}

    with pytest.raises(SettingsError) as raised:
        load({"spendfuse": block})
    (line,) = str(raised.value).splitlines()[1:]
    assert "budgets[1].ladder: got [" in line
    assert "one user must not stop the others" in line


def test_of_a_broken_rung_only_its_own_mistake_is_told() -> None:
    with pytest.raises(SettingsError) as raised:
        load({"spendfuse": with_ladder("100", True, {"percent": None})})

    assert "trips: everything" not in str(raised.value)


def test_what_is_no_percent_announces_nothing() -> None:
    with pytest.raises(SettingsError, match="its lowest rung, 100 %, trips: everything"):
        load({"spendfuse": with_ladder(True, 100)})
