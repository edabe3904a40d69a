"""Ledger → alerts: each rung once, whatever wakes the watcher and whatever breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from aws_tables import aws, make_table
from moto import mock_aws
from packs import NOW

from lambdas.watch_budgets.handler import WatchBudgets, every_budget, touched_budgets
from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.budget import Budget, Rung
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.period import Period

USD = 10**9
LADDER = (Rung(50, ("email",)), Rung(80, ("slack",)), Rung(100, ("slack",), trips=True))
ROOT = Budget("llm", 100 * USD, "month", LADDER)
SEARCH = Budget("search", 10 * USD, "day", LADDER, {"team": "search"})
FUSE = FuseDefinition("acme", "armed", ("api_gateway",), 10, 10)
DEFINITIONS = Definitions("acme", (ROOT, SEARCH), (), FUSE)


@dataclass
class Topics:
    """What was published, and to which topic."""

    published: list[tuple[str, Alert]] = field(default_factory=list)
    fails: bool = False

    def __call__(self, alert: str, topic: str) -> None:
        if self.fails:
            raise ConnectionError("the topic can't be reached")
        self.published.append((topic, alert_from_json(alert)))

    def rang(self) -> list[tuple[str, str | None, int | None]]:
        return [(topic, alert.budget, alert.percent) for topic, alert in self.published]


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def watch(topics: Topics) -> Iterator[WatchBudgets]:
    with mock_aws():
        yield WatchBudgets(
            ledger=DynamoLedger(aws("dynamodb"), make_table("ledger")),
            fuse=DynamoFuse(aws("dynamodb"), make_table("fuse"), "acme"),
            definitions=DEFINITIONS,
            publish=topics,
            now=lambda: NOW,
        )


def spend(dollars: int, budget: str = "llm", period: str = "2026-11", share: str = "total") -> None:
    aws("dynamodb").put_item(
        TableName="ledger",
        Item={
            "pk": {"S": f"budget#{budget}#{period}"},
            "sk": {"S": share},
            "nano_usd": {"N": str(dollars * USD)},
            "requests": {"N": "3"},
            "unpriced": {"N": "0"},
        },
    )


def check_all(watch: WatchBudgets) -> None:
    watch(every_budget(watch.definitions, watch.now()))


def later(watch: WatchBudgets, by: timedelta) -> WatchBudgets:
    return replace(watch, now=lambda: NOW + by)


def a_stream_event(*partitions: str) -> dict[str, Any]:
    return {"Records": [{"dynamodb": {"Keys": {"pk": {"S": each}}}} for each in partitions]}


def test_each_rung_rings_once_and_only_the_trip_goes_to_trips(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(100)
    check_all(watch)
    check_all(watch)

    # What trips goes first: nothing may hold it up.
    assert topics.rang() == [
        ("trips", "llm", 100),
        ("alerts", "llm", 50),
        ("alerts", "llm", 80),
    ]


def test_an_alert_says_what_was_spent_and_who_should_hear(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(85)
    check_all(watch)
    _, alert = topics.published[1]

    assert alert.headline == "llm: 80 % of $100.00 is spent (2026-11)"
    assert (alert.severity, alert.channels) == ("warning", ("slack",))
    assert (alert.spent_nano_usd, alert.limit_nano_usd) == (85 * USD, 100 * USD)
    assert alert.trip is None


def test_an_order_to_trip_names_its_cause_and_the_dearest_keys(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(101)
    spend(7, share="key#k1")
    spend(90, share="key#k2")
    check_all(watch)
    order = topics.published[0][1].trip

    assert order is not None
    assert order.id == f"acme/llm/2026-11/100/{100 * USD}/0"
    assert order.keys == (KeySpend("k2", 90 * USD), KeySpend("k1", 7 * USD))


def test_a_past_period_s_rung_only_informs(watch: WatchBudgets, topics: Topics) -> None:
    spend(100, period="2026-10")
    check_all(watch)

    assert [topic for topic, _, _ in topics.rang()] == ["alerts"] * 3
    assert [alert.trip for _, alert in topics.published] == [None] * 3


def test_what_could_not_be_published_is_pending_and_rings_a_minute_later(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(50)
    topics.fails = True
    with pytest.raises(ConnectionError):
        check_all(watch)
    topics.fails = False
    check_all(watch)

    assert topics.rang() == []  # another watcher may be publishing it right now

    check_all(later(watch, timedelta(minutes=1)))
    check_all(later(watch, timedelta(minutes=2)))

    assert topics.rang() == [("alerts", "llm", 50)]


def test_an_alert_published_late_has_the_id_it_was_given_first(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(50)
    topics.fails = True
    with pytest.raises(ConnectionError):
        check_all(watch)
    topics.fails = False
    spend(60)
    check_all(later(watch, timedelta(minutes=1)))
    (_, alert) = topics.published[0]

    assert alert.spent_nano_usd == 50 * USD
    assert alert.at == NOW


def test_one_budget_s_trouble_does_not_silence_the_others(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(9, "search", "2026-11-21")
    spend(50)
    calls: list[str] = []

    def fail_first(alert: str, topic: str) -> None:
        calls.append(alert)
        if len(calls) == 1:
            raise ConnectionError
        topics(alert, topic)

    with pytest.raises(ConnectionError):
        check_all(replace(watch, publish=fail_first))

    assert topics.rang() == [("alerts", "search", 50), ("alerts", "search", 80)]


def test_an_alert_that_can_t_be_published_does_not_hold_up_the_trip(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(100)

    def publish(alert: str, topic: str) -> None:
        if topic == "alerts":
            raise ConnectionError
        topics(alert, topic)

    with pytest.raises(ConnectionError):
        check_all(replace(watch, publish=publish))

    assert topics.rang() == [("trips", "llm", 100)]


def test_usage_ahead_of_its_period_trips_once_the_period_begins(
    watch: WatchBudgets, topics: Topics
) -> None:
    tomorrow = Period.from_key("day", "2026-11-22")
    spend(10, "search", tomorrow.key)
    watch([(SEARCH, tomorrow)])

    assert topics.published == []

    check_all(replace(watch, now=lambda: tomorrow.start))

    assert ("trips", "search", 100) in topics.rang()


def test_usage_that_comes_weeks_late_rings_within_the_hour(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(5, "search", "2026-10-20")
    check_all(later(watch, timedelta(minutes=59)))

    assert topics.rang() == []

    check_all(later(watch, timedelta(minutes=60)))

    assert topics.rang() == [("alerts", "search", 50)]


def test_after_a_restore_only_the_spent_allowance_trips_again(
    watch: WatchBudgets, topics: Topics, allow: Callable[[int, int], None]
) -> None:
    spend(100)
    check_all(watch)
    allow(1, 110)
    spend(109)
    check_all(watch)

    assert len(topics.published) == 3

    spend(110)
    check_all(watch)
    check_all(watch)

    assert topics.rang()[3:] == [("trips", "llm", 100)]
    order = topics.published[3][1].trip
    assert order is not None
    assert order.allowance == 1


@pytest.fixture
def allow() -> Callable[[int, int], None]:
    def put(number: int, until_usd: int) -> None:
        allowance = {
            "budget": {"S": "llm"},
            "period": {"S": "2026-11"},
            "number": {"N": str(number)},
            "until_nano_usd": {"N": str(until_usd * USD)},
        }
        aws("dynamodb").put_item(
            TableName="fuse",
            Item={
                "pk": {"S": "fuse#acme"},
                "sk": {"S": "state"},
                "state": {"S": "armed"},
                "epoch": {"N": "2"},
                "allowances": {"M": {"llm#2026-11": {"M": allowance}}},
            },
        )

    return put


def test_a_stream_batch_wakes_the_budgets_that_it_touches() -> None:
    event = a_stream_event(
        "budget#search#2026-11-21",
        "budget#search#2026-11-21",
        "budget#gone#2026-11",
        "budget#search#2026-11",  # from when it was a monthly budget
    )

    assert list(touched_budgets(event, DEFINITIONS)) == [
        (SEARCH, Period.from_key("day", "2026-11-21"))
    ]


def test_once_an_hour_every_period_is_checked_in_which_usage_may_still_come() -> None:
    now = datetime.fromisoformat("2026-03-01T05:00:00+00:00")
    checked = [(budget.name, period.key) for budget, period in every_budget(DEFINITIONS, now)]

    assert [key for name, key in checked if name == "llm"] == ["2026-03", "2026-02", "2026-01"]
    assert ("search", "2026-01-25") in checked
    assert len(checked) == len(set(checked))


@pytest.mark.parametrize("at", ["2026-12-01T00:00:00+00:00", "2026-12-31T23:59:59+00:00"])
def test_the_schedule_checks_this_period_and_the_one_before(at: str) -> None:
    checked = {
        (budget.name, period.key)
        for budget, period in every_budget(DEFINITIONS, datetime.fromisoformat(at))
    }

    assert {("llm", "2026-11"), ("llm", "2026-12")} <= checked
