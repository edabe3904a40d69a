from __future__ import annotations

from datetime import UTC, datetime

import pytest
from unit.guard.guards import Clock, held, limit, spent

from spendfuse.budget import Budget, Limits, Override, Rate
from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.guard import BudgetExceededError, Guard
from spendfuse.guard import tree as tree_module
from spendfuse.guard.tree import BudgetTree, counter_name


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_last_second_of_a_month_is_the_old_ones() -> None:
    clock = Clock(at("2026-11-30T23:59:59.999999"))
    guard = Guard([limit(1)], now=clock)
    reservation = guard.reserve("0.9")

    clock.at = at("2026-12-01T00:00:00")
    fresh = guard.reserve("0.9")
    reservation.settle("0.8")

    assert (reservation.hold.levels[0].period, fresh.hold.levels[0].period) == (
        "2026-11",
        "2026-12",
    )
    assert spent(guard) == 0
    clock.at = at("2026-11-30T23:59:59")
    assert spent(guard) == 0.8


def test_a_day_ends_at_the_midnight_of_its_zone() -> None:
    # On 25 October 2026 the clocks in Berlin go back: that day has 25 hours.
    clock = Clock(at("2026-10-24T21:59:59"))
    guard = Guard([limit(1, period="day", zone="Europe/Berlin")], now=clock)
    guard.reserve("1")
    clock.at = at("2026-10-24T22:00:00")
    guard.reserve("1")
    clock.at = at("2026-10-25T22:59:59")

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("1")
    clock.at = at("2026-10-25T23:00:00")
    guard.reserve("1")

    assert refused.value.figures.resets_at == at("2026-10-25T23:00:00")


def test_the_first_period_to_end_ends_what_was_found() -> None:
    clock = Clock(at("2026-11-22T23:59:59"))
    guard = Guard([limit(9, "month"), limit(1, "day", period="day")], now=clock)
    guard.reserve("1")

    clock.goes(seconds=1)

    assert [each.period for each in guard.reserve("1").hold.levels] == ["2026-11", "2026-11-23"]


def test_a_clock_that_jumps_back_finds_the_period_of_its_time() -> None:
    clock = Clock(at("2026-12-01T00:00:01"))
    guard = Guard([limit(1), limit(9, "day", period="day")], now=clock)
    guard.reserve("0.4")

    clock.at = at("2026-11-30T23:59:59")
    before = guard.reserve("0.9")

    assert [each.period for each in before.hold.levels] == ["2026-11", "2026-11-30"]


def test_a_clock_that_jumps_back_a_day_within_a_month_finds_that_day() -> None:
    clock = Clock(at("2026-11-22T00:00:01"))
    guard = Guard([limit(9), limit(1, "day", period="day")], now=clock)
    guard.reserve("1")

    clock.at = at("2026-11-21T23:59:59")

    assert [each.period for each in guard.reserve("1").hold.levels] == ["2026-11", "2026-11-21"]


def test_a_long_id_s_period_ends_too() -> None:
    clock = Clock(at("2026-11-22T23:59:59"))
    guard = Guard([limit(1, period="day", per="user")], now=clock)
    guard.reserve("1", user="x" * 300)
    guard.reserve("0", user="x" * 300)
    clock.goes(seconds=1)

    assert guard.reserve("1", user="x" * 300).hold.levels[0].period == "2026-11-23"


def test_a_total_never_ends() -> None:
    clock = Clock()
    guard = Guard([limit(1, period="total")], now=clock)
    guard.reserve("0.6")
    clock.goes(days=4000)

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.6")

    assert refused.value.figures.resets_at is None


def test_a_limit_lowered_below_the_spend_refuses_and_frees_again_when_raised() -> None:
    limits = Limits((limit(1),))
    guard = Guard(lambda: limits)
    guard.reserve("0.8").settle("0.8")

    limits = limits._replace(overrides={("all", ""): Override("all", "", 500_000_000)})
    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.01")
    limits = limits._replace(overrides={("all", ""): Override("all", "", 5_000_000_000)})
    guard.reserve("3")

    assert refused.value.figures.limit_nano_usd == 500_000_000
    assert spent(guard) == 0.8


def test_one_user_can_have_another_limit() -> None:
    budget = limit(1, "user", per="user")
    overrides = {("user", "u1"): Override("user", "u1", 5_000_000_000)}
    guard = Guard(Limits((budget,), (), overrides))

    guard.reserve("3", user="u1")

    with pytest.raises(BudgetExceededError):
        guard.reserve("3", user="u2")


def test_a_budget_added_while_running_holds_at_once() -> None:
    limits = Limits((limit(9),))
    guard = Guard(lambda: limits)
    guard.reserve("1", team="search")

    limits = Limits((limit(9), limit(0.5, "team", match={"team": "search"})))

    with pytest.raises(BudgetExceededError):
        guard.reserve("1", team="search")
    assert held(guard) == 1


def test_equal_limits_are_matched_once() -> None:
    guard = Guard(lambda: Limits((limit(9),)))

    first = guard.reserve("1").hold.levels
    second = guard.reserve("1").hold.levels

    assert first is second


def test_limits_that_can_t_be_read_stay_as_they_were(caplog) -> None:
    answers = [Limits((limit(1),))]

    def limits() -> Limits:
        if not answers:
            raise UnavailableError("the table is away")
        return answers.pop()

    guard = Guard(limits)

    guard.reserve("0.5")
    with pytest.raises(BudgetExceededError):
        guard.reserve("0.6")
    assert guard.health().limits_unreadable == 2
    assert caplog.text.count("the table is away") == 1


def test_limits_must_be_there_at_the_start() -> None:
    def limits() -> Limits:
        raise UnavailableError("the table is away")

    with pytest.raises(UnavailableError):
        Guard(limits)


def test_rates_of_one_name_would_share_a_window() -> None:
    with pytest.raises(SettingsError, match="rate"):
        Guard(Limits((limit(name="x"),), (Rate("rate", 1), Rate("rate", 2))))


def test_attributes_that_no_budget_asks_for_share_what_was_found() -> None:
    tree = BudgetTree(Limits((limit(), limit(name="user", per="user"))))
    clock = Clock()

    levels = {
        id(tree.levels({"user": "u1", "request": str(number)}, clock.at)) for number in range(50)
    }

    assert len(levels) == 1


def test_what_is_remembered_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_CACHED", 10)
    tree = BudgetTree(Limits((limit(per="user"),)))

    for number in range(1000):
        tree.levels({"user": "x" * 1000 + str(number)}, Clock().at)

    assert len(tree._found) <= 10
    assert all(len(key[0].encode()) <= 256 for key in tree._found)


def test_long_ids_that_begin_alike_stay_apart() -> None:
    guard = Guard([limit(1, per="user")])
    guard.reserve("1", user="x" * 300 + "a")

    guard.reserve("1", user="x" * 300 + "b")

    with pytest.raises(BudgetExceededError):
        guard.reserve("1", user="x" * 300 + "a")


@pytest.mark.parametrize(
    "name", ["user:x}:y", "all/2026-11", "a/b", "", "\x00", "ü", "*", "\ud800"]
)
def test_no_user_s_name_reaches_another_counter(name: str) -> None:
    names = {counter_name("all", "2026-11", each) for each in (name, "u1", "anonymous")}
    names.add(counter_name("all", "2026-11"))

    assert len(names) == (4 if name else 3)
    assert all(each.isascii() and "}" not in each for each in names)


def test_many_attributes_are_counted_as_the_meter_counts_them() -> None:
    guard = Guard([limit(1, "tag", match={"tag99": "v"}), limit(2, "user", per="user")])

    reservation = guard.reserve("0.1", user="u1", **{f"tag{n}": "v" for n in range(100)})

    assert [each.budget for each in reservation.hold.levels] == ["user"]


def test_a_budget_of_a_model_s_seller_is_found_by_the_model(monkeypatch) -> None:
    guard = Guard([Budget("openai", 10**9, "day", match={"provider": "openai"})])

    by_model = guard.reserve("0.1", model="gpt-4o")
    unknown = guard.reserve("0.1", model="nobody-knows-it")
    given = guard.reserve("0.1", model="my-model", provider="openai")

    assert len(by_model.hold.levels) == len(given.hold.levels) == 1
    assert not unknown.hold.levels
