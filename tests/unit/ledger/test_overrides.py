"""Limits set while running: they hold until they are removed, and one bad row hides no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aws_tables import aws, make_table
from moto import mock_aws
from packs import NOW

from spendfuse.budget import Budget, Override
from spendfuse.definitions import Definitions, FuseDefinition, definitions_from_json
from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides, StoredLimits

ROOT = Budget("llm", 10**12, "month", zone="Europe/Berlin")
USER = Budget("user", 10**9, "total", per="user")
FUSE = FuseDefinition("acme", "armed", ("api_gateway",), 10, 10)
DEFINITIONS = Definitions("acme", (ROOT, USER), (), FUSE)
RAISED = Override("llm", "", 2 * 10**12, "ann", "launch day", NOW)


@pytest.fixture
def overrides() -> Iterator[DynamoOverrides]:
    with mock_aws():
        yield DynamoOverrides(aws("dynamodb"), make_table("ledger"))


def put_row(sk: str, **attributes: dict[str, str]) -> None:
    aws("dynamodb").put_item(
        TableName="ledger", Item={"pk": {"S": "budgets"}, "sk": {"S": sk}, **attributes}
    )


def test_a_new_table_has_no_budgets_and_no_overrides(overrides: DynamoOverrides) -> None:
    assert overrides.limits() == StoredLimits(None, None, {})
    assert overrides.overrides() == {}


def test_an_override_holds_with_who_set_it_and_why(overrides: DynamoOverrides) -> None:
    overrides.put(RAISED)
    overrides.put(Override("user", "u#1}:y", 0))

    assert overrides.limits().overrides == {
        ("llm", ""): RAISED,
        ("user", "u#1}:y"): Override("user", "u#1}:y", 0),
    }
    assert overrides.overrides() == overrides.limits().overrides


def test_the_last_one_set_holds_until_it_is_removed(overrides: DynamoOverrides) -> None:
    overrides.put(RAISED)
    overrides.put(RAISED._replace(limit_nano_usd=7))
    overrides.put(Override("llm", "u1", 8))

    assert overrides.limits().overrides["llm", ""].limit_nano_usd == 7
    assert overrides.remove("llm")
    assert not overrides.remove("llm")
    assert overrides.limits().overrides.keys() == {("llm", "u1")}


def test_overrides_of_many_pages_are_all_read(overrides: DynamoOverrides) -> None:
    overrides.put_definitions(DEFINITIONS, NOW)
    for number in range(30):
        overrides.put(Override("user", f"u{number}", number, reason="x" * 50_000))
    limits = overrides.limits()

    assert len(limits.overrides) == 30
    assert limits.version == DEFINITIONS.version


def test_definitions_are_written_when_they_differ_and_an_older_deployment_can_come_back(
    overrides: DynamoOverrides,
) -> None:
    raised = replace(DEFINITIONS, budgets=(replace(ROOT, limit_nano_usd=5), USER))

    assert overrides.put_definitions(DEFINITIONS, NOW)
    assert not overrides.put_definitions(DEFINITIONS, NOW)
    assert overrides.put_definitions(raised, NOW)
    assert overrides.put_definitions(DEFINITIONS, NOW)
    assert overrides.limits().version == DEFINITIONS.version
    assert definitions_from_json(overrides.limits().definitions_json or "") == DEFINITIONS


def test_a_deployment_leaves_the_overrides_alone(overrides: DynamoOverrides) -> None:
    overrides.put(RAISED)
    overrides.put_definitions(DEFINITIONS, NOW)

    assert overrides.limits().overrides == {("llm", ""): RAISED}


N, S = "N", "S"


@pytest.mark.parametrize(
    ("sk", "attributes"),
    [
        ("override#llm#u1", {}),
        ("override#llm#u1", {"budget": {S: "llm"}, "value": {S: "u1"}}),
        ("override#llm#u1", {"budget": {S: "llm"}, "value": {S: "u1"}, "limit_nano_usd": {S: "5"}}),
        (
            "override#llm#u1",
            {"budget": {S: "llm"}, "value": {S: "u1"}, "limit_nano_usd": {N: "-5"}},
        ),
        (
            "override#llm#u1",
            {"budget": {S: "llm"}, "value": {S: "u1"}, "limit_nano_usd": {N: "0.5"}},
        ),
        (
            "override#llm#u1",
            {"budget": {S: "llm"}, "value": {S: "u2"}, "limit_nano_usd": {N: "5"}},
        ),
        (
            "override#llm#u1",
            {
                "budget": {S: "llm"},
                "value": {S: "u1"},
                "limit_nano_usd": {N: "5"},
                "at": {S: "noon"},
            },
        ),
        ("definitions", {"version": {S: "v"}}),
        ("definitions", {"version": {N: "1"}, "json": {S: "{}"}}),
    ],
)
def test_a_row_that_can_t_be_read_is_named_once_and_hides_no_other(
    overrides: DynamoOverrides,
    sk: str,
    attributes: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    overrides.put(RAISED)
    put_row(sk, **attributes)
    put_row("what a later version writes")

    for _ in range(2):
        assert overrides.limits() == StoredLimits(None, None, {("llm", ""): RAISED})
    assert caplog.text.count(f"the row budgets / {sk} is passed over: ") == 1
    assert "later version" not in caplog.text


def test_broken_definitions_are_written_anew(overrides: DynamoOverrides) -> None:
    put_row("definitions", version={S: DEFINITIONS.version}, json={S: "{"})

    assert overrides.put_definitions(DEFINITIONS, NOW)
    assert overrides.limits().definitions_json == DEFINITIONS.to_json()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        (Override("llm", "", -1), "can't be below 0, got -1"),
        (Override("llm", "u" * 257, 1), "longer than 256 bytes"),
        (Override("llm", "\ud800", 1), "or no text"),
    ],
)
def test_what_is_no_limit_is_refused_and_changes_nothing(
    overrides: DynamoOverrides, override: Override, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        overrides.put(override)
    assert overrides.limits().overrides == {}


def test_a_strange_reason_is_kept_as_far_as_it_is_text(overrides: DynamoOverrides) -> None:
    overrides.put(Override("llm", "", 1, by="\ud800", reason="why \ud800"))

    assert overrides.overrides()["llm", ""].reason == "why ?"


def test_a_table_that_can_t_be_read_is_no_table_without_overrides(
    overrides: DynamoOverrides,
) -> None:
    aws("dynamodb").delete_table(TableName="ledger")

    with pytest.raises(UnavailableError):
        overrides.limits()
    with pytest.raises(UnavailableError):
        overrides.overrides()
