"""However limits, ladders and spends change, and wherever watchers die: each rung rings once.

The real ``WatchBudgets`` and ``RungStore`` run over a table in memory. Two watchers run call by
call beside each other, and each may be killed between any two calls, or lose an answer; others
run in one go. What rang is then compared with what was spent, allowed and set.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lambdas.watch_budgets.handler import WatchBudgets
from spendfuse.alerts.alert import Alert, alert_from_json
from spendfuse.budget import Budget, Limits, Override, Rung
from spendfuse.definitions import Definitions, FuseDefinition
from spendfuse.errors import UnavailableError
from spendfuse.fuse_state import Allowance, FuseState
from spendfuse.ledger.posting import Delta
from spendfuse.ledger.rung_store import RungStore
from spendfuse.period import Period

USD = 10**9
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FUSE = FuseDefinition("acme", "armed", ("api_gateway",), 10, 10)
RUNGS = {
    10: Rung(10, ("slack",)),
    50: Rung(50, ("email",)),
    80: Rung(80, ("slack",)),
    90: Rung(90, ("slack", "email")),
    100: Rung(100, ("slack", "email"), trips=True),
    120: Rung(120, ("slack", "email")),
}
INFORMS_AT_100 = replace(RUNGS[100], trips=False)
LIMITS = (40, 50, 80, 100, 150, 200, 400)


class RungTable:
    """The three calls that a ``RungStore`` makes, on a dictionary."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def query(self, pk: str, prefix: str = "") -> Iterator[Mapping[str, Any]]:
        found = [key for key in sorted(self.items) if key[0] == pk and key[1].startswith(prefix)]
        return iter([copy.deepcopy(self.items[key]) for key in found])

    def update(self, **request: Any) -> None:
        self._update(**request)

    def write_if(self, operation: str, **request: Any) -> bool:
        key = _key(request.get("Key") or request["Item"])
        there = self.items.get(key)
        allows = {
            "attribute_not_exists(pk)": there is None,
            "attribute_exists(pk)": there is not None,
            "attribute_not_exists(pk) OR orders = :no": there is None
            or there.get("orders") == {"BOOL": False},
        }
        if not allows[request["ConditionExpression"]]:
            return False
        if operation == "put_item":
            self.items[key] = dict(request["Item"])
        else:
            self._update(**request)
        return True

    def _update(self, **request: Any) -> None:
        item = self.items.setdefault(_key(request["Key"]), dict(request["Key"]))
        for assignment in request["UpdateExpression"].removeprefix("SET ").split(", "):
            name, value = assignment.split(" = ")
            name = request.get("ExpressionAttributeNames", {}).get(name, name)
            item[name] = request["ExpressionAttributeValues"][value]


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


class KilledError(BaseException):
    """Passes every ``except Exception``, as a process's end does."""


Gate = Callable[[], "str | None"]
"""Waits before a call, and says what shall go wrong with it."""


@dataclass
class Gated:
    """Makes each call pass the gate, and fail as the gate says."""

    inner: Any
    gate: Gate

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **request: Any) -> Any:
            fault = self.gate()
            if fault == "refused":
                raise UnavailableError("refused")
            answer = getattr(self.inner, name)(*args, **request)
            if fault == "lost":
                raise UnavailableError("no answer")
            return answer

        return call


class MemoryLedger:
    """What the watcher asks of the ledger."""

    def __init__(self, world: World, gate: Gate) -> None:
        self._world, self._gate = world, gate
        self.rungs = RungStore(Gated(world.table, gate))

    def total(self, _budget: str, period: str) -> Delta:
        if self._gate():
            raise UnavailableError("refused")
        return Delta(self._world.spent.get(period, 0), 1, 0)

    def dearest_keys(self, *_: object, **__: object) -> tuple[()]:
        if self._gate():
            raise UnavailableError("refused")
        return ()


class World:
    """What the watchers see: spends, limits, the fuse, and the topics they publish to."""

    def __init__(self) -> None:
        self.now = NOON
        self.table = RungTable()
        self.spent: dict[str, int] = {}
        self.ladder = (RUNGS[50], RUNGS[80], RUNGS[100])
        self.limit_usd: int | None = None
        self.allowances: dict[str, Allowance] = {}
        self.published: list[Published] = []

    @property
    def today(self) -> Period:
        return Period.containing("day", self.now)

    @property
    def budget(self) -> Budget:
        return Budget("llm", (self.limit_usd or 100) * USD, "day", self.ladder)

    def state(self) -> FuseState:
        return FuseState("acme", allowances=self.allowances)

    def read(self) -> Limits:
        set_since = (
            {("llm", ""): Override("llm", "", self.limit_usd * USD)} if self.limit_usd else {}
        )
        return Limits((self.budget,), overrides=set_since)

    def publish(self, text: str, topic: str) -> None:
        alert = alert_from_json(text)
        spent = self.spent.get(str(alert.period), 0)
        self.published.append(Published(alert, topic, spent, self.budget, self.now))

    def watcher(self, gate: Gate) -> Callable[[], None]:
        budget = replace(self.budget, limit_nano_usd=100 * USD)
        gated = Gated(self, gate)
        watch = WatchBudgets(
            ledger=MemoryLedger(self, gate),
            fuse=gated,
            definitions=Definitions("acme", (budget,), (), FUSE),
            limits=gated,
            publish=gated.publish,
            now=lambda: self.now,
        )
        days = (self.today, self.today.previous)
        return lambda: watch([(budget, day) for day in days])


@dataclass(frozen=True)
class Published:
    alert: Alert
    topic: str
    spent: int
    """Of the alert's period, when it was published."""
    budget: Budget
    """As it was in force then."""
    at: datetime

    @property
    def day(self) -> str:
        return str(self.alert.period)

    @property
    def percent(self) -> int:
        return self.alert.percent or 0

    @property
    def limit(self) -> int:
        return self.alert.limit_nano_usd or 0

    @property
    def passed(self) -> set[int]:
        lines = [each for each in self.alert.details if "of this limit" in each]
        return {int(part.split()[0]) for line in lines for part in line.split(", ")}


@dataclass(frozen=True)
class Sight:
    """What a limit was first seen with on one day."""

    limit: int
    spent: int
    was_raised: bool
    ladder: tuple[Rung, ...]


class Stepped:
    """A watcher in a thread of its own that makes one call at a time."""

    def __init__(self, world: World) -> None:
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._order: str | None = None
        self.ended = False
        self._work = world.watcher(self._gate)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def step(self, order: str | None = None) -> None:
        """Let it make its next call; ``order`` is ``kill``, ``refused`` or ``lost``."""
        if not self.ended:
            self._order = order
            self._go.release()
            self._stopped.acquire()

    def step_on(self, calls: int) -> None:
        for _ in range(calls):
            self.step()

    def run_out(self) -> None:
        while not self.ended:
            self.step()

    def _gate(self) -> str | None:
        self._stopped.release()
        self._go.acquire()
        if self._order == "kill":
            raise KilledError
        return self._order

    def _run(self) -> None:
        try:
            self._work()
        except (KilledError, UnavailableError):
            pass
        finally:
            self.ended = True
            self._stopped.release()


class QuietRungs(RuleBasedStateMachine):
    """Everything that can happen to one budget, and watchers that nothing disturbs."""

    calm = True
    """Whether no watcher dies, and none runs beside another."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.watchers: list[Stepped] = []
        self.sights: dict[str, dict[int, Sight]] = {}
        """Each day's limits, as they were first seen; the last in force is the last."""

    @rule(tenths=st.integers(1, 12), late=st.integers(0, 3).map(lambda n: n == 3))
    def spend(self, tenths: int, late: bool) -> None:
        """Records come; that a stream record gets lost is that nobody looks."""
        day = self.world.today.previous if late else self.world.today
        self.world.spent[day.key] = self.world.spent.get(day.key, 0) + tenths * 10 * USD

    @rule(limit=st.sampled_from((None, *LIMITS)))
    def set_limit(self, limit: int | None) -> None:
        self.world.limit_usd = limit

    @rule(percents=st.sets(st.sampled_from(sorted(RUNGS))), informs_at_100=st.booleans())
    def deploy_a_ladder(self, percents: set[int], informs_at_100: bool) -> None:
        rungs = {**RUNGS, 100: INFORMS_AT_100} if informs_at_100 else RUNGS
        self.world.ladder = tuple(rungs[percent] for percent in sorted(percents))

    @rule()
    def restore(self) -> None:
        day = self.world.today.key
        before = self.world.allowances.get(f"llm#{day}")
        number = before.number + 1 if before else 1
        until = self.world.spent.get(day, 0) + self.world.budget.limit_nano_usd // 10
        self.world.allowances[f"llm#{day}"] = Allowance("llm", day, number, until)

    @rule()
    def look(self) -> None:
        """The stream or the schedule wakes a watcher that nothing interrupts."""
        before, today = list(self.world.published), self.world.today.key
        seen = self.sights.setdefault(today, {})
        was = next(reversed(seen.values()), None)
        limit = self.world.budget.limit_nano_usd
        is_new = limit not in seen
        was_raised = was is not None and was.limit < limit
        new = Sight(limit, self.world.spent.get(today, 0), was_raised, self.world.ladder)
        sight = seen.pop(limit, new)
        seen[limit] = sight
        self.world.watcher(lambda: None)()
        rang = [each for each in self.world.published[len(before) :] if each.day == today]
        for each in rang:
            if each.topic == "trips":
                assert each.budget.limit_nano_usd == each.limit, "an order by a limit of the past"
                assert each.spent >= each.limit
        if self.calm:
            _no_passed_rung_rings_under_a_raised_limit(rang, before, sight)
            if is_new and was is not None and limit < was.limit:
                _one_message_tells_of_a_lowered_limit(rang)

    @rule()
    def a_minute_later(self) -> None:
        self._pass(timedelta(minutes=1))

    @rule()
    def the_next_day(self) -> None:
        self._pass(timedelta(days=1))

    def _pass(self, time: timedelta) -> None:
        self.world.now += time

    @invariant()
    def nothing_rings_that_was_not_reached(self) -> None:
        for each in self.world.published:
            assert each.spent >= max(RUNGS[each.percent].threshold_nano_usd(each.limit), 1)
            assert each.topic == ("trips" if each.alert.trip else "alerts")

    @invariant()
    def what_rings_again_rings_with_the_same_id(self) -> None:
        told: dict[tuple[str, int, int, int], set[str]] = {}
        for each in self.world.published:
            allowance = int(each.alert.id.rsplit("#", 1)[1])
            told.setdefault((each.day, each.percent, each.limit, allowance), set()).add(
                each.alert.id
            )
        assert all(len(ids) == 1 for ids in told.values())

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for watcher in self.watchers:
            watcher.run_out()
        for _ in range(2):
            self.a_minute_later()
            self.look()
        self.nothing_rings_that_was_not_reached()
        self.what_rings_again_rings_with_the_same_id()
        self._every_reached_rung_is_known_of()
        if self.calm:
            self._nothing_rang_twice()

    def _every_reached_rung_is_known_of(self) -> None:
        world = self.world
        day, budget = world.today.key, world.budget
        rang = [each for each in world.published if each.day == day]
        for rung in budget.ladder:
            allowance = world.allowances.get(f"llm#{day}") if rung.trips else None
            threshold = max(rung.threshold_nano_usd(budget.limit_nano_usd), 1)
            threshold = max(threshold, allowance.until_nano_usd if allowance else 0)
            if world.spent.get(day, 0) < threshold:
                continue
            number = allowance.number if allowance else 0
            alert_id = f"rung/acme/llm/{day}/{rung.percent:04d}#{budget.limit_nano_usd}#{number}"
            if rung.trips:
                assert [each for each in rang if each.alert.id == alert_id and each.alert.trip]
            elif alert_id not in {each.alert.id for each in rang}:
                assert _heard_otherwise(rung, budget.limit_nano_usd, rang), alert_id

    def _nothing_rang_twice(self) -> None:
        counts: dict[tuple[str, bool], int] = {}
        for each in self.world.published:
            what = (each.alert.id, each.alert.trip is not None)
            counts[what] = counts.get(what, 0) + 1
        assert set(counts.values()) <= {1}


class Rungs(QuietRungs):
    """The same with watchers that die, lose answers, and run call by call beside each other."""

    calm = False

    @rule(calls=st.integers(0, 14), fault=st.sampled_from(("kill", "refused", "lost")))
    def a_watcher_fails(self, calls: int, fault: str) -> None:
        watcher = Stepped(self.world)
        watcher.step_on(calls)
        watcher.step(fault)
        watcher.run_out()

    @precondition(lambda self: len(self.watchers) < 2)
    @rule(calls=st.integers(0, 14))
    def a_slow_watcher_comes(self, calls: int) -> None:
        self.watchers.append(Stepped(self.world))
        self.watchers[-1].step_on(calls)

    @precondition(lambda self: self.watchers)
    @rule(which=st.integers(0, 1), calls=st.integers(1, 14))
    def a_slow_watcher_goes_on(self, which: int, calls: int) -> None:
        watcher = self.watchers[which % len(self.watchers)]
        watcher.step_on(calls)
        self.watchers = [each for each in self.watchers if not each.ended]


def _no_passed_rung_rings_under_a_raised_limit(
    rang: list[Published], before: list[Published], sight: Sight
) -> None:
    for each in rang:
        heard = [e for e in before if (e.day, e.percent) == (each.day, each.percent)]
        passed = {
            rung.percent
            for rung in sight.ladder
            if rung.threshold_nano_usd(sight.limit) <= sight.spent
        }
        was_passed = each.percent in passed
        if sight.was_raised and was_passed and not each.alert.trip:
            assert not [e for e in heard if e.limit < sight.limit]


def _one_message_tells_of_a_lowered_limit(rang: list[Published]) -> None:
    informing = sorted((e for e in rang if not e.alert.trip), key=lambda e: e.percent)
    for each in informing[:-1]:
        assert not set(each.alert.channels) <= set(informing[-1].alert.channels)


def _heard_otherwise(rung: Rung, limit: int, rang: list[Published]) -> bool:
    """Whether people heard of the rung: under a lower limit, or by a higher rung's alert."""
    return any(
        (each.limit < limit and rung.percent in (each.percent, *each.passed))
        or (
            each.limit == limit
            and rung.percent in each.passed
            and set(rung.channels) <= set(each.alert.channels)
        )
        for each in rang
    )


TestQuietRungs = QuietRungs.TestCase
TestQuietRungs.settings = settings(max_examples=100, stateful_step_count=30)
TestRungs = Rungs.TestCase
TestRungs.settings = settings(max_examples=200, stateful_step_count=30)
