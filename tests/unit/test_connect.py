"""An app's way in: the environment becomes a guard and a tracker that know of each other."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from spendfuse.budget import Budget, Override, Rate
from spendfuse.connect import VARIABLES, Connection, _Parts, connect
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.guard import BudgetExceededError, FuseTrippedError
from spendfuse.guard.leasing.leased import LeasedStore
from spendfuse.guard.outage.fallback import Fallback
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.ledger.dynamodb import DynamoLedger, Posting
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.ledger.pack import UsageRecord
from spendfuse.ledger.posting import deltas

ROOT = Budget("llm", 100 * 10**9, "month")
EACH_USER = Budget("each-user", 10 * 10**9, "day", per="user")
DEFINITIONS = Definitions(
    "acme",
    (ROOT, EACH_USER),
    (),
    FuseDefinition("acme", "armed", ("api_gateway",), 10, 10),
)
PRINT = {"SPENDFUSE_SINKS": "print"}
STORES_THAT_ARE_NONE = (
    "mysql://x",
    "dynamodb:",
    "dynamodb:a table",
    "leased+memory",
    "leased+",
    "valkey:6379",
    "valkey://",
    "valkey://two words",
    "x",
)
FILE = {"budgets": [{"name": "each-user", "limit_usd": 10, "period": "day", "per": "user"}]}


@pytest.fixture
def budgets(tmp_path: Path) -> str:
    file = tmp_path / "budgets.json"
    file.write_text(json.dumps(FILE))
    return str(file)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        make_table("ledger")
        make_table("fuses")
        yield aws("dynamodb")


@pytest.fixture
def opened() -> Iterator[list[Connection]]:
    connections: list[Connection] = []
    yield connections
    for each in connections:
        each.close()


DEPLOYED = {
    **PRINT,
    "SPENDFUSE_DEPLOYMENT": "acme",
    "SPENDFUSE_LEDGER_TABLE": "ledger",
    "SPENDFUSE_FUSE_TABLE": "fuses",
}


class Unreachable:
    """A client whose every call fails."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://dynamodb")

        return call


def test_a_file_of_budgets_is_all_that_one_process_needs(
    budgets: str, opened: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    guard, tracker = connection = connect({**PRINT, "SPENDFUSE_BUDGETS": budgets})
    opened.append(connection)
    with guard.reserve("1", user="u-17"):
        record = tracker.track("gpt-4o", {"prompt_tokens": 9, "completion_tokens": 3}, user="u-17")

    assert guard.check(user="u-17")[0].spent_nano_usd == record.cost_nano_usd
    assert "openai/gpt-4o" in capsys.readouterr().out
    assert isinstance(guard._store, MemoryStore)


def test_without_budgets_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match=r"set SPENDFUSE_LEDGER_TABLE .* or SPENDFUSE_BUDGETS"):
        connect(PRINT)


def test_a_table_of_the_ledger_without_a_name_is_none(
    budgets: str, opened: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    nameless = {**PRINT, "SPENDFUSE_LEDGER_TABLE": "", "SPENDFUSE_FUSE_TABLE": ""}
    opened.append(connect({**nameless, "SPENDFUSE_BUDGETS": budgets}))

    assert not caplog.records
    with pytest.raises(SettingsError, match="set SPENDFUSE_LEDGER_TABLE"):
        connect(nameless)


def test_without_a_region_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(SettingsError, match="set AWS_DEFAULT_REGION, such as"):
        connect({**PRINT, "SPENDFUSE_LEDGER_TABLE": "ledger"})


def test_the_deployed_budgets_and_the_limits_set_since_hold(
    dynamodb: Any, opened: list[Connection]
) -> None:
    stored = DynamoOverrides(dynamodb, "ledger")
    stored.put_definitions(DEFINITIONS, datetime.now(UTC))
    stored.put(Override("each-user", "u-17", 25 * 10**9))
    opened.append(connect(DEPLOYED, dynamodb=dynamodb))
    guard = opened[0].guard

    assert guard.check(user="u-17")[1].limit_nano_usd == 25 * 10**9
    assert guard.check(user="u-18")[1].limit_nano_usd == 10 * 10**9


def test_a_file_beats_what_is_deployed_and_not_what_was_set_since(
    budgets: str, dynamodb: Any, opened: list[Connection]
) -> None:
    stored = DynamoOverrides(dynamodb, "ledger")
    stored.put_definitions(DEFINITIONS, datetime.now(UTC))
    stored.put(Override("each-user", "", 7 * 10**9))
    opened.append(connect({**DEPLOYED, "SPENDFUSE_BUDGETS": budgets}, dynamodb=dynamodb))
    (only,) = opened[0].guard.check(user="u-17")

    assert only.limit_nano_usd == 7 * 10**9


def test_a_stack_in_its_first_minute_is_told_apart(dynamodb: Any) -> None:
    with pytest.raises(UnavailableError, match="writes them within a minute of the deployment"):
        connect(DEPLOYED, dynamodb=dynamodb)


def test_without_a_file_an_app_does_not_start_unguarded() -> None:
    with pytest.raises(UnavailableError):
        connect(DEPLOYED, dynamodb=Unreachable())


def test_with_a_file_it_starts_and_says_that_the_table_is_missing(
    budgets: str, opened: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    environ = {**DEPLOYED, "SPENDFUSE_BUDGETS": budgets}
    with caplog.at_level(logging.WARNING):
        opened.append(connect(environ, dynamodb=Unreachable()))

    assert "the limits in the ledger's table can't be read, the last one holds" in caplog.text
    assert opened[0].guard.health().limits_unreadable >= 1


def test_a_tripped_fuse_stops_the_app(dynamodb: Any, opened: list[Connection]) -> None:
    DynamoOverrides(dynamodb, "ledger").put_definitions(DEFINITIONS, datetime.now(UTC))
    dynamodb.put_item(
        TableName="fuses",
        Item={
            "pk": {"S": "fuse#acme"},
            "sk": {"S": "state"},
            "state": {"S": "tripped"},
            "epoch": {"N": "1"},
        },
    )
    opened.append(connect(DEPLOYED, dynamodb=dynamodb))

    assert DynamoFuse(dynamodb, "fuses", "acme").state().state == "tripped"
    with pytest.raises(FuseTrippedError, match="the fuse acme is tripped"):
        opened[0].guard.reserve("0.01", user="u-17")


def test_an_unreadable_fuse_is_counted_and_stops_nobody(
    budgets: str, opened: list[Connection]
) -> None:
    environ = {**PRINT, "SPENDFUSE_BUDGETS": budgets, "SPENDFUSE_FUSE_TABLE": "fuses"}
    opened.append(connect(environ, dynamodb=Unreachable()))
    guard = opened[0].guard
    guard.reserve("0.01", user="u-17")

    assert guard.health().fuse_unreadable >= 1


def test_a_new_counter_begins_at_what_the_ledger_says(
    dynamodb: Any, opened: list[Connection], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    DynamoOverrides(dynamodb, "ledger").put_definitions(DEFINITIONS, now)
    environ = {**DEPLOYED, "SPENDFUSE_PSEUDONYM_KEY_FILE": str(key)}
    opened.append(connect(environ, dynamodb=dynamodb))
    guard, tracker = opened[0]
    pseudonym = tracker.recorded_user("u-17")
    spent = deltas(
        [UsageRecord("r-1", now, 9_990_000_000, {"user": pseudonym})], DEFINITIONS.budgets
    )
    ledger = DynamoLedger(dynamodb, "ledger")
    ledger.post([Posting("pack-1", spent)], now)

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.02", user="u-17")
    assert pseudonym != "u-17"
    assert refused.value.figures.spent_nano_usd == 9_990_000_000
    assert guard.reserve("0.02", user="u-18").held_usd == Decimal("0.02")


@pytest.mark.parametrize(
    ("store", "inner"),
    [
        ("valkey://127.0.0.1:1/0", "ValkeyStore"),
        ("leased+redis://127.0.0.1:1/0", "LeasedStore"),
        ("dynamodb:guards", "DynamoStore"),
        ("leased+dynamodb:guards", "LeasedStore"),
    ],
)
def test_a_shared_store_has_a_fallback_around_it(
    budgets: str, opened: list[Connection], store: str, inner: str, dynamodb: Any
) -> None:
    environ = {**PRINT, "SPENDFUSE_BUDGETS": budgets, "SPENDFUSE_GUARD_STORE": store}
    opened.append(connect(environ, dynamodb=dynamodb))
    fallback = opened[0].guard._store

    assert isinstance(fallback, Fallback)
    assert type(fallback._store).__name__ == inner
    assert isinstance(fallback._store, LeasedStore) == store.startswith("leased+")


@pytest.mark.parametrize("store", STORES_THAT_ARE_NONE)
def test_a_store_that_is_none_is_refused(budgets: str, store: str) -> None:
    with pytest.raises(SettingsError, match="SPENDFUSE_GUARD_STORE: "):
        connect({**PRINT, "SPENDFUSE_BUDGETS": budgets, "SPENDFUSE_GUARD_STORE": store})


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("mysql://me:hunter2@cache:6379", "mysql://***@cache:6379"),
        ("redis:me:hunter2@cache", "redis:***@cache"),
        (":hunter2@cache", ":***@cache"),
        ("mysql://cache?db=1&password=hunter2&x=1", "mysql://cache?db=1&password=***&x=1"),
    ],
)
def test_a_password_is_never_repeated(budgets: str, store: str, shown: str) -> None:
    environ = {**PRINT, "SPENDFUSE_BUDGETS": budgets}
    with pytest.raises(SettingsError) as refused:
        connect({**environ, "SPENDFUSE_GUARD_STORE": store})

    assert "hunter2" not in str(refused.value)
    assert f"got '{shown}'" in str(refused.value)


def test_a_password_file_that_is_not_there_is_named(budgets: str, tmp_path: Path) -> None:
    environ = {
        **PRINT,
        "SPENDFUSE_BUDGETS": budgets,
        "SPENDFUSE_GUARD_STORE": "valkey://127.0.0.1:1",
        "SPENDFUSE_VALKEY_PASSWORD_FILE": str(tmp_path / "none"),
    }
    with pytest.raises(SettingsError, match=r"SPENDFUSE_VALKEY_PASSWORD_FILE: .*FileNotFoundError"):
        connect(environ)


def test_rates_that_the_store_can_t_keep_are_a_mistake_at_the_start(
    dynamodb: Any, tmp_path: Path
) -> None:
    file = tmp_path / "budgets.json"
    file.write_text(json.dumps({**FILE, "rates": [{"name": "burst", "usd_per_minute": 1}]}))
    environ = {**PRINT, "SPENDFUSE_BUDGETS": str(file), "SPENDFUSE_GUARD_STORE": "dynamodb:guards"}

    with pytest.raises(SettingsError, match="rates in dollars a minute need"):
        connect(environ, dynamodb=dynamodb)


def test_rates_deployed_later_stop_no_app(
    dynamodb: Any, opened: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    stored = DynamoOverrides(dynamodb, "ledger")
    stored.put_definitions(DEFINITIONS, datetime.now(UTC))
    limits = _Parts({**DEPLOYED}, dynamodb).limits(takes_rates=False)
    kept = limits()
    stored.put_definitions(replace(DEFINITIONS, rates=(Rate("burst", 10**9),)), datetime.now(UTC))
    limits._source.refresh()  # type: ignore[attr-defined]

    assert kept.rates == ()
    assert limits().rates == ()
    assert limits() is limits()
    assert "they are not enforced here" in caplog.text


def test_every_variable_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connect.md").read_text()

    for name in VARIABLES:
        assert f"`{name}`" in page
