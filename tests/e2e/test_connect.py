"""From a deployed stack to a guarded app: `spendfuse connect`, the app policy, limits and fuse."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from spendfuse.cli.context import Context
from spendfuse.cli.main import main
from spendfuse.connect import Connection, connect
from spendfuse.errors import UnavailableError
from spendfuse.guard import BudgetExceededError, FuseTrippedError
from spendfuse.sandbox.demo.stage import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LIMIT = 50 * 10**9
WATCHED_SECONDS = 30


def spendfuse(stage: Deployed, *arguments: str) -> str:
    context = Context(deployment="spendfuse", aws=stage.sandbox.client)
    result = CliRunner().invoke(main, arguments, obj=context, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def wait_for(is_so: Callable[[], bool], seconds: float) -> float:
    """Return the seconds until it is so."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds
        time.sleep(0.2)
    return time.monotonic() - began


def wake_the_watcher(stage: Deployed) -> None:
    """As its schedule does each minute: then it writes the budgets down for apps."""
    functions = stage.sandbox.client("lambda")
    names = [each["FunctionName"] for each in functions.list_functions()["Functions"]]
    (watcher,) = [each for each in names if each.startswith("spendfuse-ledger-WatchBudgets")]
    functions.invoke(FunctionName=watcher, Payload=json.dumps({"source": "schedule"}))


@pytest.fixture(scope="module")
def connection(stage: Deployed, app: Any) -> Iterator[Connection]:
    variables = json.loads(spendfuse(stage, "connect", "--json"))["variables"]
    assert stage.outputs["UsageQueueUrl"] in variables["SPENDFUSE_SINKS"]
    # The story of test_demo counts what is in the ledger; test_metering sends records to it.
    variables["SPENDFUSE_SINKS"] = "print"
    wake_the_watcher(stage)
    until = time.monotonic() + WATCHED_SECONDS
    while True:
        try:
            connected = connect(variables, dynamodb=app)
            break
        except UnavailableError:
            assert time.monotonic() < until
            time.sleep(1)
    yield connected
    connected.close()


def test_the_deployed_budget_holds(connection: Connection) -> None:
    (llm,) = connection.guard.check(user="u-17")

    assert (llm.budget, llm.limit_nano_usd) == ("llm", LIMIT)
    with pytest.raises(BudgetExceededError, match=r"of \$50\.00"):
        connection.guard.reserve("50.01", user="u-17")


def test_a_call_is_held_and_charged(connection: Connection) -> None:
    (before,) = connection.guard.check()
    with connection.guard.reserve(model="gpt-4o", prompt=2000, max_tokens=300, user="u-17"):
        usage = {"prompt_tokens": 1200, "completion_tokens": 300}
        record = connection.tracker.track("gpt-4o", usage, user="u-17")
    wait_for(lambda: connection.guard.check()[0].held_nano_usd == 0, 10)
    (after,) = connection.guard.check()

    assert after.spent_nano_usd - before.spent_nano_usd == record.cost_nano_usd


def test_a_limit_that_is_set_holds_in_a_running_app_within_five_seconds(
    stage: Deployed, connection: Connection
) -> None:
    def limit() -> int:
        return connection.guard.check()[0].limit_nano_usd

    spendfuse(stage, "budgets", "set", "llm", "60", "--reason", "launch", "--yes")
    try:
        set_after = wait_for(lambda: limit() == 60 * 10**9, 5)
        listed = json.loads(spendfuse(stage, "budgets", "list", "--json"))
    finally:
        spendfuse(stage, "budgets", "unset", "llm", "--yes")
    wait_for(lambda: limit() == LIMIT, 5)

    assert set_after < 5
    assert "60" in json.dumps(listed["budgets"][0])


def test_a_tripped_fuse_stops_a_running_app_within_seconds(
    stage: Deployed, connection: Connection
) -> None:
    table, name = stage.outputs["FuseTableName"], stage.outputs["FuseName"]
    dynamodb = stage.sandbox.client("dynamodb")
    key = {"pk": {"S": f"fuse#{name}"}, "sk": {"S": "state"}}
    before = dynamodb.get_item(TableName=table, Key=key).get("Item")

    def is_stopped() -> bool:
        try:
            connection.guard.reserve("0.01", user="u-17").release()
        except FuseTrippedError:
            return True
        return False

    assert not is_stopped()
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    tripped = {"state": {"S": "tripped"}, "epoch": {"N": "1"}, "since": {"S": since}}
    dynamodb.put_item(TableName=table, Item={**key, **(before or {}), **tripped})
    try:
        wait_for(is_stopped, 3)
    finally:
        if before is None:
            dynamodb.delete_item(TableName=table, Key=key)
        else:
            dynamodb.put_item(TableName=table, Item=before)
    wait_for(lambda: not is_stopped(), 3)
