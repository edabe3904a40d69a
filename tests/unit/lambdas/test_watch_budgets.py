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

from lambdas.watch_budgets import handler as watch_budgets
from lambdas.watch_budgets.handler import (
    WatchBudgets,
    every_budget,
    touched_budgets,
)
from lambdas.watch_budgets.limits_in_force import LimitsInForce
from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.budget import Budget, Override, Rung
from spendfuse.definitions import Definitions, FuseDefinition, definitions_from_json
from spendfuse.errors import UnavailableError
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger.dynamodb import DynamoLedger, DynamoTable
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides
from spendfuse.ledger.rung_store import RungStore
from spendfuse.ledger.rungs import FiredRung, Sighting
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
            limits=LimitsInForce(stored(), DEFINITIONS),
            publish=topics,
            now=lambda: NOW,
        )


def stored() -> DynamoOverrides:
    return DynamoOverrides(aws("dynamodb"), "ledger")


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


def test_a_limit_set_since_the_deployment_is_the_one_that_rings(
    watch: WatchBudgets, topics: Topics
) -> None:
    stored().put(Override("llm", "", 200 * USD))
    spend(100)
    check_all(watch)

    assert topics.rang() == [("alerts", "llm", 50)]
    assert topics.published[0][1].headline == "llm: 50 % of $200.00 is spent (2026-11)"

    stored().put(Override("llm", "", 80 * USD))
    check_all(watch)

    assert topics.rang()[1] == ("trips", "llm", 100)
    order = topics.published[1][1].trip
    assert order is not None
    assert order.id == f"acme/llm/2026-11/100/{80 * USD}/0"


def set_limit(dollars: int) -> None:
    stored().put(Override("llm", "", dollars * USD))


def test_a_raised_limit_arms_only_the_rungs_above_the_spend(
    watch: WatchBudgets, topics: Topics
) -> None:
    spend(85)
    check_all(watch)
    set_limit(160)
    check_all(watch)
    check_all(watch)

    assert len(topics.published) == 2

    spend(130)
    check_all(watch)

    assert topics.rang()[2:] == [("alerts", "llm", 80)]


def test_a_lowered_limit_rings_once_and_names_what_else_is_passed(
    watch: WatchBudgets, topics: Topics
) -> None:
    ladder = (Rung(20, ("slack",)), Rung(50, ("email",)), Rung(80, ("slack", "email")))
    watch = replace(watch, definitions=with_ladder(*ladder, LADDER[2]))
    check_all(watch)
    spend(18)
    set_limit(20)
    check_all(watch)
    check_all(watch)

    assert topics.rang() == [("alerts", "llm", 80)]
    assert "20 %, 50 % of this limit are passed" in topics.published[0][1].details


def with_ladder(*rungs: Rung) -> Definitions:
    return replace(DEFINITIONS, budgets=(replace(ROOT, ladder=rungs),))


def test_a_limit_set_today_is_none_of_yesterday_s(watch: WatchBudgets, topics: Topics) -> None:
    spend(60, period="2026-10")
    check_all(watch)
    set_limit(40)
    check_all(watch)

    assert topics.rang() == [("alerts", "llm", 50)]

    spend(80, period="2026-10")
    check_all(watch)

    assert [alert.limit_nano_usd for _, alert in topics.published] == [100 * USD] * 2


def test_a_past_period_goes_by_the_limit_that_came_back_last(
    watch: WatchBudgets, topics: Topics
) -> None:
    check_all(watch)
    set_limit(1000)
    check_all(watch)
    stored().remove("llm")
    check_all(watch)
    set_limit(1000)
    spend(60)
    check_all(replace(watch, now=lambda: datetime.fromisoformat("2026-12-01T00:00:00+00:00")))

    assert [alert.headline for _, alert in topics.published] == [
        "llm: 50 % of $100.00 is spent (2026-11)"
    ]


def test_another_watcher_s_sight_of_a_limit_holds(watch: WatchBudgets, topics: Topics) -> None:
    spend(55)
    check_all(watch)
    set_limit(160)
    faster = Sighting(160 * USD, 55 * USD, NOW, turn=2)

    class Beaten(RungStore):
        def sight(self, budget: str, period: str, sighting: Sighting) -> bool:
            super().sight(budget, period, faster)
            return super().sight(budget, period, sighting)

    spend(85)
    watch.ledger.rungs = Beaten(DynamoTable(aws("dynamodb"), "ledger"))
    check_all(watch)

    assert topics.rang()[1:] == [("alerts", "llm", 50)]


def test_two_watchers_that_saw_the_same_ring_once(watch: WatchBudgets, topics: Topics) -> None:
    other = replace(watch, ledger=DynamoLedger(aws("dynamodb"), "ledger"))

    class Overtaken(RungStore):
        def fire(self, budget: str, period: str, fired: FiredRung) -> bool:
            check_all(other)
            return super().fire(budget, period, fired)

    spend(100)
    watch.ledger.rungs = Overtaken(DynamoTable(aws("dynamodb"), "ledger"))
    check_all(watch)

    assert sorted(topics.rang()) == [
        ("alerts", "llm", 50),
        ("alerts", "llm", 80),
        ("trips", "llm", 100),
    ]


@pytest.fixture
def stuck(watch: WatchBudgets, topics: Topics) -> WatchBudgets:
    """A watcher, a minute after one that died before it could publish an order."""
    spend(105)
    topics.fails = True
    with pytest.raises(ConnectionError):
        check_all(watch)
    topics.fails = False
    return later(watch, timedelta(minutes=1))


def test_a_stuck_order_is_given_while_it_holds(stuck: WatchBudgets, topics: Topics) -> None:
    check_all(stuck)

    assert topics.rang().count(("trips", "llm", 100)) == 1


def test_a_stuck_order_only_informs_once_the_limit_is_raised(
    stuck: WatchBudgets, topics: Topics
) -> None:
    set_limit(150)
    check_all(stuck)
    check_all(later(stuck, timedelta(minutes=2)))
    (alert,) = [each for _, each in topics.published if each.percent == 100]

    assert "trips" not in [topic for topic, _ in topics.published]
    assert alert.trip is None
    assert alert.details[-1] == (
        "The fuse is not tripped for this any more: by now $105.00 of $150.00 is spent"
    )


def test_an_order_that_came_to_nothing_is_given_when_it_is_due_again(
    stuck: WatchBudgets, topics: Topics
) -> None:
    set_limit(150)
    check_all(stuck)
    stored().remove("llm")
    check_all(stuck)
    check_all(stuck)

    assert [topic for topic, _ in topics.published].count("trips") == 1


def test_a_stuck_order_of_a_past_period_only_informs(stuck: WatchBudgets, topics: Topics) -> None:
    check_all(replace(stuck, now=lambda: datetime.fromisoformat("2026-12-01T00:00:00+00:00")))

    assert ("alerts", "llm", 100) in topics.rang()
    assert "trips" not in [topic for topic, _ in topics.published]


def test_a_rung_that_rang_and_is_then_made_one_that_trips_trips(
    watch: WatchBudgets, topics: Topics
) -> None:
    informs = replace(LADDER[2], trips=False)
    spend(100)
    check_all(replace(watch, definitions=with_ladder(informs)))
    check_all(replace(watch, definitions=with_ladder(LADDER[2])))
    check_all(replace(watch, definitions=with_ladder(LADDER[2])))

    assert topics.rang() == [("alerts", "llm", 100), ("trips", "llm", 100)]


def test_a_limit_that_is_removed_gives_way_to_the_configured_one(
    watch: WatchBudgets, topics: Topics
) -> None:
    stored().put(Override("llm", "", 1000 * USD))
    spend(100)
    check_all(watch)
    stored().remove("llm")
    check_all(watch)

    assert ("trips", "llm", 100) in topics.rang()


def test_one_person_s_limit_is_not_the_budget_s(watch: WatchBudgets, topics: Topics) -> None:
    stored().put(Override("llm", "u1", 1 * USD))
    spend(50)
    check_all(watch)

    assert [alert.limit_nano_usd for _, alert in topics.published] == [100 * USD]


class Unreadable(DynamoOverrides):
    def __init__(self, *, fails: bool = True) -> None:
        super().__init__(aws("dynamodb"), "ledger")
        self.fails = fails

    def overrides(self) -> dict[tuple[str, str], Override]:
        if self.fails:
            raise UnavailableError("the table is slow today")
        return super().overrides()

    def put_definitions(self, *_: object) -> bool:
        raise UnavailableError("the table is slow today")


def test_while_no_override_can_be_read_the_configured_limits_hold(
    watch: WatchBudgets, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    stored().put(Override("llm", "", 1000 * USD))
    spend(100)
    check_all(replace(watch, limits=LimitsInForce(Unreadable(), DEFINITIONS)))

    assert ("trips", "llm", 100) in topics.rang()
    assert "the last ones hold: the table is slow today" in caplog.text


def test_a_raised_limit_that_was_read_before_holds_while_it_can_t_be_read(
    watch: WatchBudgets, topics: Topics
) -> None:
    stored().put(Override("llm", "", 1000 * USD))
    spend(100)
    unsteady = Unreadable(fails=False)
    watch = replace(watch, limits=LimitsInForce(unsteady, DEFINITIONS))
    check_all(watch)
    unsteady.fails = True
    check_all(watch)

    assert topics.rang() == []


def test_the_schedule_writes_down_what_is_deployed_and_the_stream_does_not(
    watch: WatchBudgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_budgets, "build", lambda: watch)
    watch_budgets.handler(a_stream_event("budget#llm#2026-11"), None)

    assert stored().limits().version is None

    watch_budgets.handler({"source": "schedule"}, None)
    limits = stored().limits()

    assert limits.version == DEFINITIONS.version
    assert definitions_from_json(limits.definitions_json or "") == DEFINITIONS


def test_budgets_that_can_t_be_written_down_silence_nothing(
    watch: WatchBudgets,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spend(50)
    unwritable = replace(watch, limits=LimitsInForce(Unreadable(), DEFINITIONS))
    monkeypatch.setattr(watch_budgets, "build", lambda: unwritable)
    watch_budgets.handler({"source": "schedule"}, None)

    assert topics.rang() == [("alerts", "llm", 50)]
    assert "apps can't see the deployed budgets" in caplog.text


def test_a_budget_of_each_person_rings_for_nobody() -> None:
    person = Budget("person", USD, "day", per="user")
    definitions = replace(DEFINITIONS, budgets=(ROOT, person))
    event = a_stream_event("budget#person#2026-11-21")

    assert {budget.name for budget, _ in every_budget(definitions, NOW)} == {"llm"}
    assert list(touched_budgets(event, definitions)) == []


def test_a_total_is_checked_once_and_rings_in_its_one_period(
    watch: WatchBudgets, topics: Topics
) -> None:
    ever = Budget("ever", 100 * USD, "total", LADDER)
    definitions = replace(DEFINITIONS, budgets=(ever,))
    for minute in (0, 1):
        checked = list(every_budget(definitions, NOW.replace(minute=minute)))
        assert [(budget.name, period.key) for budget, period in checked] == [("ever", "total")]
    spend(100, "ever", "total")
    watch = replace(watch, definitions=definitions)
    watch(touched_budgets(a_stream_event("budget#ever#total"), definitions))

    assert topics.rang()[0] == ("trips", "ever", 100)


@pytest.mark.parametrize(
    ("at", "key"),
    [
        ("2026-11-21T22:59:59+00:00", "2026-11-21"),
        ("2026-11-21T23:00:00+00:00", "2026-11-22"),
        ("2026-03-28T22:59:59+00:00", "2026-03-28"),
        ("2026-03-28T23:00:00+00:00", "2026-03-29"),  # the day of 23 hours
        ("2026-03-29T21:59:59+00:00", "2026-03-29"),
        ("2026-03-29T22:00:00+00:00", "2026-03-30"),
    ],
)
def test_a_zone_s_day_trips_until_its_own_midnight(
    watch: WatchBudgets, topics: Topics, at: str, key: str
) -> None:
    berlin = Budget("berlin", 100 * USD, "day", LADDER, zone="Europe/Berlin")
    definitions = replace(DEFINITIONS, budgets=(berlin,))
    now = datetime.fromisoformat(at)
    (_, current), (_, past), *_ = every_budget(definitions, now)

    assert (current.key, past.end) == (key, current.start)

    spend(100, "berlin", key)
    spend(100, "berlin", past.key)
    watch = replace(watch, definitions=definitions, now=lambda: now)
    event = a_stream_event(f"budget#berlin#{key}", f"budget#berlin#{past.key}")
    watch(touched_budgets(event, definitions))

    orders = [alert.trip for _, alert in topics.published if alert.trip]
    assert [order.period for order in orders] == [key]


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
