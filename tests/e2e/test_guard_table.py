"""The guard's table as deployed, used by an app that may do just what the app policy says.

The sandbox takes one call at a time, so its transactions never collide: what happens then is
staged in tests/unit/guard/test_dynamodb.py. And it knows no ``dynamodb:LeadingKeys``: that an app
reads only the rows of budgets is held to the template, in tests/infra/test_permissions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from contract.guard.steps import DOLLAR, level

from spendfuse.clock import utc_now
from spendfuse.guard.step import Granted, Hold, Level, Reserve, Settle, Standing
from spendfuse.guard.stores.dynamodb import DynamoStore
from spendfuse.sandbox.demo.stage import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NICKEL = DOLLAR // 20


@pytest.fixture
def open_store(stage: Deployed, app: Any) -> Callable[..., DynamoStore]:
    """Opens the store as one process of the app does."""

    def open_it(now: Callable[[], datetime] = utc_now, client: Any = app) -> DynamoStore:
        return DynamoStore(client, stage.outputs["GuardTableName"], deployment="spendfuse", now=now)

    return open_it


def levels(test: str, limit: int = DOLLAR) -> tuple[Level, ...]:
    """Four levels of a test's own, the tightest in the middle."""
    return (
        level(f"{test}-all", 10 * limit),
        level(f"{test}-team", limit),
        level(f"{test}-user", 2 * limit, value="u-17"),
        level(f"{test}-seen", limit // 2, mode="observe"),
    )


def reserve(store: DynamoStore, id: str, nano_usd: int, on: tuple[Level, ...]) -> Hold | None:
    outcome = store.reserve(Reserve(id, nano_usd, nano_usd, on, seeds={}))
    return outcome.hold if isinstance(outcome, Granted) else None


def test_eight_threads_spend_a_dollar_and_no_nano_dollar_more(open_store) -> None:
    on = levels("threads")

    def worker(number: int) -> int:
        store, settled = open_store(), 0
        while hold := reserve(store, f"threads-{number}-{settled}", NICKEL, on):
            store.settle(Settle(hold, NICKEL, seeds={}))
            settled += 1
        return settled

    with ThreadPoolExecutor(8) as workers:
        settled = sum(workers.map(worker, range(8)))

    assert settled == 20
    assert open_store().look([each.counter for each in on]) == [Standing(DOLLAR, 0)] * 4


def test_the_holds_of_a_killed_worker_are_free_again_a_minute_after_their_end(open_store) -> None:
    on = levels("killed")
    for number in range(20):
        assert reserve(open_store(), f"killed-{number}", NICKEL, on)
    assert reserve(open_store(), "too-early", NICKEL, on) is None

    later = open_store(now=lambda: utc_now() + timedelta(seconds=661))

    assert reserve(later, "later", DOLLAR, on)
    assert later.look([each.counter for each in on]) == [Standing(0, DOLLAR)] * 4


class Metered:
    """A client that keeps what its transactions took."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.taken: list[Any] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            if operation != "transact_write_items":
                return getattr(self._client, operation)(**request)
            answer = self._client.transact_write_items(**request, ReturnConsumedCapacity="INDEXES")
            self.taken += answer["ConsumedCapacity"]
            return answer

        return call


def test_a_pair_over_four_levels_takes_twenty_write_units_and_two_for_the_index(
    open_store, app
) -> None:
    on = levels("units")
    reserve(open_store(), "units-seeds", 0, on)
    client = Metered(app)
    store = open_store(client=client)

    hold = reserve(store, "units", NICKEL, on)
    assert hold
    store.settle(Settle(hold, NICKEL, seeds={}))

    index = [each["GlobalSecondaryIndexes"]["Held"]["CapacityUnits"] for each in client.taken]
    assert [each["WriteCapacityUnits"] for each in client.taken] == [10, 10]
    assert index == [1, 1]


def test_an_app_reads_totals_and_limits_and_writes_none(stage: Deployed, app: Any) -> None:
    table = stage.outputs["LedgerTableName"]
    month = datetime.now(UTC).strftime("%Y-%m")
    total = {"pk": {"S": f"budget#llm#{month}"}, "sk": {"S": "total"}}
    override = {"pk": {"S": "budgets"}, "sk": {"S": "override#llm#"}}
    forbidden: list[tuple[str, dict[str, Any]]] = [
        ("put_item", {"Item": override}),
        ("update_item", {"Key": total}),
        ("delete_item", {"Key": total}),
        ("scan", {}),
        ("transact_write_items", {"TransactItems": [{"Put": {"Item": override}}]}),
    ]

    app.get_item(TableName=table, Key=total, ConsistentRead=True)
    app.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "budgets"}},
    )
    for operation, request in forbidden:
        if operation == "transact_write_items":
            request["TransactItems"][0]["Put"]["TableName"] = table
        else:
            request["TableName"] = table
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(app, operation)(**request)


def test_an_app_deletes_no_counter_and_lists_none(stage: Deployed, app: Any) -> None:
    table = stage.outputs["GuardTableName"]
    key = {"pk": {"S": "counter#spendfuse#a"}, "sk": {"S": "counter"}}

    for operation, request in (("delete_item", {"Key": key}), ("scan", {})):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(app, operation)(TableName=table, **request)
