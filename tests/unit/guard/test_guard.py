from __future__ import annotations

import math
import subprocess
import sys
import threading
import uuid
from decimal import Decimal

import pytest
from unit.guard.guards import NOON, USD, Clock, FarStore, held, limit, spent

import spendfuse.guard
from spendfuse.budget import Budget, Limits, Rate
from spendfuse.errors import InputError, SettingsError, UnavailableError
from spendfuse.fuse_state import FuseState
from spendfuse.guard import (
    BudgetExceededError,
    FuseTrippedError,
    Guard,
    GuardDownError,
    MemoryStore,
    RateExceededError,
    ReservationError,
)
from spendfuse.guard.step import Refused, Standing
from spendfuse.metering.attribution import attributed


def test_what_was_held_is_settled_with_what_it_cost() -> None:
    guard = Guard([limit()])

    reservation = guard.reserve("0.05")
    before = held(guard)
    reservation.settle("0.0123")

    assert before == 0.05
    assert (spent(guard), held(guard)) == (0.0123, 0)
    assert reservation.held_usd == Decimal("0.05")


def test_what_is_released_costs_nothing() -> None:
    guard = Guard([limit()])

    reservation = guard.reserve(Decimal("0.05"))

    assert guard.release(reservation) is True
    assert guard.release(reservation) is False
    assert (spent(guard), held(guard)) == (0, 0)


def test_a_limit_is_reached_to_the_nano_dollar() -> None:
    guard = Guard([limit(1)])

    for _ in range(10):
        guard.reserve("0.1")

    with pytest.raises(BudgetExceededError):
        guard.reserve("0.000000001")
    assert guard.reserve("0").held_usd == 0
    assert held(guard) == 1


def test_every_budget_that_matches_is_charged() -> None:
    guard = Guard(
        [
            limit(10, "all"),
            limit(5, "search", match={"team": "search"}),
            limit(5, "mail", match={"team": "mail"}),
            limit(2, "user", per="user"),
            limit(5, "gpt", match={"model": "gpt-4o*", "provider": "openai"}),
        ]
    )

    reservation = guard.reserve(
        "1", team="search", user="u1", model="gpt-4o-mini", provider="openai"
    )

    assert [each.budget for each in reservation.hold.levels] == ["all", "search", "user", "gpt"]


def test_attributes_around_count_and_those_given_win() -> None:
    guard = Guard([limit(name="team", match={"team": "search"}), limit(name="user", per="user")])

    with attributed(team="search", user="u1"):
        around = guard.reserve("0.1")
        given = guard.reserve("0.1", user="u2", team="")
        other = guard.reserve("0.1", team="mail")

    assert [(each.budget, each.value) for each in around.hold.levels] == [
        ("team", ""),
        ("user", "u1"),
    ]
    assert [(each.budget, each.value) for each in given.hold.levels] == [
        ("team", ""),
        ("user", "u2"),
    ]
    assert [each.value for each in other.hold.levels] == ["u1"]


def test_two_branches_share_a_users_budget() -> None:
    guard = Guard(
        [
            limit(1, "search", match={"team": "search"}),
            limit(1, "mail", match={"team": "mail"}),
            limit(0.5, "user", per="user"),
        ]
    )
    guard.reserve("0.3", team="search", user="u1")

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.3", team="mail", user="u1")
    guard.reserve("0.3", team="mail", user="u2")

    assert (refused.value.figures.budget, refused.value.figures.value) == ("user", "u1")
    assert held(guard, "mail", team="mail", user="u1") == 0.3


@pytest.mark.parametrize("user", [17, "17", uuid.UUID(int=5), "ü" * 200, "x" * 5000, "user:x}:y"])
def test_a_users_id_counts_as_the_meter_writes_it(user: object) -> None:
    guard = Guard([limit(per="user")])

    guard.reserve("0.1", user=user)
    with attributed(user=user):
        again = guard.reserve("0.1")

    assert held(guard, user=user) == 0.2
    assert len(again.hold.levels[0].value.encode()) <= 256


def test_nobody_is_one_user() -> None:
    guard = Guard([limit(per="user")])

    guard.reserve("0.1")
    guard.reserve("0.1", user="")
    guard.reserve("0.1", user=None)

    assert held(guard, user="anonymous") == 0.3


def test_the_strictest_of_the_refusing_budgets_is_named() -> None:
    guard = Guard(
        [limit(9, "all"), limit(3, "team"), limit(2, "user"), limit(0, "seen", mode="observe")]
    )
    guard.reserve("1.5")

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("1.8")

    error = refused.value
    assert error.figures.budget == "user"
    assert [each.budget for each in error.budgets if each.is_short] == ["team", "user", "seen"]
    assert error.body()["asked_usd"] == "1.8"


def test_a_fit_budget_with_room_is_not_the_one_that_refuses() -> None:
    guard = Guard([limit(0.5, "fit", mode="fit"), limit(0.9, "strict")])
    guard.reserve("0.5", hold_id="first").settle("0.4")

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.09", hold_id="fits") and guard.reserve("0.6")

    assert refused.value.figures.budget == "fit"


@pytest.mark.parametrize(
    ("period", "settled", "asked", "seconds"),
    [
        ("day", "0.9", "0.2", 12 * 3600),
        ("month", "0.9", "0.2", 8 * 86400 + 12 * 3600),
        ("day", None, "0.2", 5),
        ("total", None, "0.2", 5),
        ("total", "0.9", "0.2", None),
        ("day", "0.1", "1.2", None),
    ],
)
def test_retry_after_says_when_there_can_be_room(period, settled, asked, seconds) -> None:
    guard = Guard([limit(1, period=period)], now=Clock())
    reservation = guard.reserve("0.9")
    if settled:
        reservation.settle(settled)

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve(asked)

    assert refused.value.retry_after_seconds == seconds


def test_retry_after_waits_for_the_last_of_the_refusing_budgets() -> None:
    guard = Guard([limit(1, "day", period="day"), limit(2, "month")], now=Clock())
    guard.reserve("0").settle("2")

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.5")

    assert refused.value.figures.budget == "day"
    assert refused.value.retry_after_seconds == 8 * 86400 + 12 * 3600


class _Refusing(MemoryStore):
    takes_rates = True

    def __init__(self, *waits: float, short: bool = False) -> None:
        super().__init__()
        self.waits = waits
        self.spent = USD if short else 0

    def reserve(self, step):
        return Refused(tuple(Standing(self.spent, 0) for _ in step.levels), self.waits)


@pytest.mark.parametrize(
    ("waits", "rate", "seconds"), [((0, 2.2), "b", 3), ((30, -1), "b", None), ((4, 0), "a", 4)]
)
def test_a_rate_refuses_until_its_window_has_room(waits, rate, seconds) -> None:
    rates = (Rate("a", USD), Rate("b", USD, per="user"))
    guard = Guard(Limits((limit(),), rates), store=_Refusing(*waits))

    with pytest.raises(RateExceededError) as refused:
        guard.reserve("0.5", user="u1")

    assert (refused.value.rate, refused.value.retry_after_seconds) == (rate, seconds)
    assert guard.health().refused == {("rate_exceeded", rate): 1}


def test_a_budget_that_refuses_is_named_before_a_rate() -> None:
    guard = Guard(Limits((limit(),), (Rate("a", USD),)), store=_Refusing(3, short=True))

    with pytest.raises(BudgetExceededError):
        guard.reserve("0.5")


def test_a_store_that_refuses_without_saying_why_is_believed() -> None:
    guard = Guard([limit(2, "wide"), limit(1, "all")], store=_Refusing())

    with pytest.raises(BudgetExceededError) as refused:
        guard.reserve("0.5")

    assert refused.value.figures.budget == "all"
    assert refused.value.retry_after_seconds == 5


@pytest.mark.parametrize(
    "amount",
    [
        "-0.01",
        -1,
        math.nan,
        "NaN",
        math.inf,
        "Infinity",
        "",
        "five",
        True,
        b"1",
        [1],
        "1e-10",
        10**7,
        "1e400",
    ],
)
def test_an_amount_that_can_t_be_changes_nothing(amount: object) -> None:
    guard = Guard([limit()])
    reservation = guard.reserve("0.1")

    with pytest.raises(InputError):
        guard.reserve(amount)
    with pytest.raises(InputError):
        reservation.settle(amount)

    assert (spent(guard), held(guard)) == (0, 0.1)


@pytest.mark.parametrize("amount", ["0.05", Decimal("0.05"), 0.05, " 0.05 ", "5e-2"])
def test_an_amount_is_text_or_a_number(amount: object) -> None:
    assert Guard([limit()]).reserve(amount).hold.nano_usd == 50_000_000


@pytest.mark.parametrize(
    ("computed", "nano"),
    [
        (0.1 + 0.2, 300_000_000),
        (1.7250000000000002e-05, 17_250),
        (3 * 1.1e-9, 4),
        (1e-30, 1),
        (0.0, 0),
        (123456.789012345, 123_456_789_012_345),
    ],
)
def test_a_float_that_was_computed_is_rounded_up_to_a_nano_dollar(computed, nano) -> None:
    guard = Guard([limit(10**6)])
    reservation = guard.reserve("0.1")

    reservation.settle(computed)
    reservation.settle(computed)

    assert guard.check()[0].spent_nano_usd == nano


@pytest.mark.parametrize(
    "attributes",
    [
        {"user": 1.5},
        {"user": True},
        {"user": ["u1"]},
        {"user": {"id": 1}},
        {"user": b"u1"},
        {"user": object()},
        {"tenant": 5},
        {"tenant": ["a"]},
        {"elsewhere": 5},
    ],
)
def test_an_attribute_that_no_budget_could_match_is_refused(attributes) -> None:
    guard = Guard([limit(), limit(name="t", match={"tenant": "5"}), limit(name="u", per="user")])
    guard.reserve("0.1", user="u1", tenant="5")

    with pytest.raises(InputError, match=next(iter(attributes))):
        guard.reserve("0.1", **attributes)

    assert held(guard) == 0.1


def test_bytes_are_called_what_they_are() -> None:
    with pytest.raises(InputError, match="user must be text, got bytes"):
        Guard([limit()]).reserve("0.1", user=b"u1")


def test_a_prompt_is_not_shown_in_an_error() -> None:
    guard = Guard([limit()])

    with pytest.raises(InputError) as error:
        guard.reserve("0.1", tenant=["my secret"])

    assert "secret" not in str(error.value)


@pytest.mark.parametrize("hold_id", ["", "x" * 257, "ü" * 129, 5, b"id", "\ud800"])
def test_an_id_is_a_text_of_1_to_256_bytes(hold_id) -> None:
    guard = Guard([limit()])

    with pytest.raises(ReservationError):
        guard.reserve("0.1", hold_id=hold_id)
    with pytest.raises(ReservationError):
        guard.settle(hold_id, "0.1")

    assert held(guard) == 0


def test_the_same_id_holds_once() -> None:
    guard = Guard([limit(1)])

    first = guard.reserve("0.7", hold_id="a")
    reserved = guard.health().reserved
    second = guard.reserve("0.7", hold_id="a")

    assert held(guard) == 0.7
    assert (first.is_again, second.is_again) == (False, True)
    assert (reserved, guard.health().reserved) == (1, 1)
    with pytest.raises(ReservationError):
        guard.reserve("0.6", hold_id="a")


def test_another_process_settles_by_the_bare_id() -> None:
    store = MemoryStore()
    here, there = Guard([limit()], store=store), Guard([limit()], store=store)
    reservation = here.reserve("0.5")

    there.settle(reservation.id, "0.2")

    assert (spent(here), held(here)) == (0.2, 0)


def test_an_unknown_id_changes_nothing() -> None:
    guard = Guard([limit()])
    guard.reserve("0.5")

    with pytest.raises(ReservationError, match="nobody"):
        guard.settle("nobody", "0.2")
    with pytest.raises(ReservationError, match="nobody"):
        guard.release("nobody")

    assert (spent(guard), held(guard)) == (0, 0.5)


def test_two_settles_with_different_amounts_count_the_first() -> None:
    guard = Guard([limit()])
    reservation = guard.reserve("0.5")
    reservation.settle("0.2")
    reservation.settle("0.2")

    with pytest.raises(ReservationError):
        reservation.settle("0.3")

    assert spent(guard) == 0.2
    assert guard.health().settled == 1


def test_a_reservation_is_settled_by_the_guard_that_holds_it() -> None:
    guard, other = Guard([limit()]), Guard([limit()])
    reservation = guard.reserve("0.1")

    with pytest.raises(ReservationError, match="another guard's"):
        other.settle(reservation, "0.05")
    with pytest.raises(ReservationError, match="another guard's"):
        other.release(reservation)

    assert (held(guard), spent(other)) == (0.1, 0)
    reservation.settle("0.05")
    assert (held(guard), spent(guard)) == (0, 0.05)


def test_what_costs_more_than_was_held_counts_in_full() -> None:
    guard = Guard([limit(1)])

    guard.reserve("0.5").settle("3")

    assert spent(guard) == 3
    with pytest.raises(BudgetExceededError):
        guard.reserve("0.1")


def test_a_settle_after_the_release_counts_and_is_late() -> None:
    guard = Guard([limit()])
    reservation = guard.reserve("0.5")
    reservation.release()

    reservation.settle("0.2")

    assert spent(guard) == 0.2
    assert guard.health().late == 1


def test_an_observing_budget_reports_and_lets_pass(caplog) -> None:
    guard = Guard([limit(0.1, "seen", mode="observe", per="user"), limit(9, "all")])

    fits = guard.reserve("0.1", user="Ada")
    over = guard.reserve("0.2", user="Ada")
    said = caplog.text.count("seen")
    guard.reserve("0.2", user="Ada")

    assert fits.observed == ()
    assert [(each.budget, each.value, each.held_nano_usd) for each in over.observed] == [
        ("seen", "Ada", USD // 10)
    ]
    assert over.observed[0].is_short
    assert guard.health().observed_over == {"seen": 2}
    assert (said, caplog.text.count("seen")) == (1, 1)
    assert "Ada" not in caplog.text


def test_a_tripped_fuse_refuses_before_the_store_is_asked() -> None:
    store, state = FarStore(), FuseState("app", "tripped", trip_id="t1", since=NOON)
    guard = Guard([limit()], store=store, fuse=lambda: state)

    with pytest.raises(FuseTrippedError) as refused:
        guard.reserve("nonsense")

    assert (refused.value.status_code, refused.value.fuse, refused.value.trip_id) == (
        503,
        "app",
        "t1",
    )
    assert not store.threads
    assert guard.health().refused == {("fuse_tripped", "app"): 1}


@pytest.mark.parametrize("state", ["armed", "disarmed"])
def test_a_fuse_that_is_not_tripped_lets_pass(state) -> None:
    guard = Guard([limit()], fuse=lambda: FuseState("app", state))

    assert guard.reserve("0.1").held_usd == Decimal("0.1")


def test_a_fuse_that_can_t_be_read_keeps_its_last_state(caplog) -> None:
    states = [FuseState("app"), FuseState("app", "tripped")]

    def fuse() -> FuseState:
        if not states:
            raise UnavailableError("the table is away")
        return states.pop(0)

    guard = Guard([limit()], fuse=fuse)
    guard.reserve("0.1")

    for _ in range(3):
        with pytest.raises(FuseTrippedError):
            guard.reserve("0.1")
    assert guard.health().fuse_unreadable == 2
    assert caplog.text.count("the table is away") == 1


def test_a_store_that_is_down_refuses_without_naming_hosts() -> None:
    store = FarStore()
    guard = Guard([limit(9, "open", when_down="fail_open"), limit(name="all")], store=store)
    store.is_down = True

    with pytest.raises(GuardDownError) as refused:
        guard.reserve("0.1")

    error = refused.value
    assert (error.budget, error.status_code) == ("all", 503)
    assert "10.0.0.7" not in str(error.body()) + str(error)
    assert "10.0.0.7" in str(error.__cause__)
    assert guard.health().store_failures == 1
    assert guard.health().refused == {("guard_down", "all"): 1}


@pytest.mark.parametrize(
    "budgets",
    [
        [limit(when_down="fail_open")],
        [limit(when_down="local_share")],
        [limit(mode="observe")],
    ],
)
def test_without_a_fallback_a_refusal_says_what_is_missing(budgets) -> None:
    far = FarStore()
    far.is_down = True

    with pytest.raises(GuardDownError, match=r"budget all .* put a Fallback around") as refused:
        Guard(budgets, store=far).reserve("0.1")

    assert "fail_closed" not in str(refused.value)
    assert Guard(budgets, store=spendfuse.guard.Fallback(far)).reserve("0.1").held_usd


def test_a_refusal_names_the_budget_that_is_closed_while_the_store_is_down() -> None:
    far = FarStore()
    far.is_down = True
    budgets = [limit(name="o", mode="observe"), limit(name="f", when_down="fail_open"), limit()]

    with pytest.raises(GuardDownError, match=r"budget all .* \(when_down: fail_closed\)"):
        Guard(budgets, store=far).reserve("0.1")


def test_every_step_that_the_store_could_not_take_is_counted() -> None:
    store = FarStore()
    guard = Guard([limit()], store=store)
    reservation = guard.reserve("0.1")
    store.is_down = True

    for step in (
        lambda: reservation.settle("0.05"),
        reservation.release,
        lambda: guard.settle("by-id", "0.05"),
    ):
        with pytest.raises(UnavailableError):
            step()
    gauges = guard.gauges()

    assert guard.health().store_failures == 4
    assert [(each.spent_nano_usd, each.held_nano_usd) for each in gauges] == [(None, None)]
    assert (guard.health().settled, guard.health().released) == (0, 0)


def test_only_a_release_that_did_something_is_counted() -> None:
    guard = Guard([limit()])
    reservation = guard.reserve("0.1")

    reservation.release()
    reservation.release()

    assert guard.health().released == 1


def test_a_settle_that_fails_can_be_repeated() -> None:
    store = FarStore()
    guard = Guard([limit()], store=store)
    reservation = guard.reserve("0.1")
    store.is_down = True

    with pytest.raises(UnavailableError):
        reservation.settle("0.05")
    store.is_down = False
    reservation.settle("0.05")

    assert spent(guard) == 0.05


def test_checking_holds_nothing() -> None:
    guard = Guard([limit(1), limit(0.5, "user", per="user")])
    guard.reserve("0.5", user="u1")

    first = guard.check(user="u1")
    second = guard.check(user="u1")

    assert first == second
    assert [(each.budget, each.held_nano_usd, each.is_short) for each in first] == [
        ("all", USD // 2, False),
        ("user", USD // 2, True),
    ]


def test_counts_are_right_however_often_somebody_looks_and_whoever_counts() -> None:
    guard = Guard([limit(9)])

    def work() -> None:
        for _ in range(200):
            guard.reserve("0.001").settle("0.001")
            guard.health()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert (guard.health().reserved, guard.health().settled) == (800, 800)
    assert spent(guard) == 0.8


def test_budgets_of_one_name_would_share_a_counter() -> None:
    with pytest.raises(SettingsError, match="all"):
        Guard([limit(1), limit(2)])


@pytest.mark.parametrize(
    ("limits", "wrong"),
    [
        (limit(), "list of budgets.*got Budget"),
        ("budgets.json", "list of budgets.*got str"),
        (None, "list of budgets.*got NoneType"),
        (lambda: [limit()], "a function that returns Limits, got list"),
        ([{"name": "all"}], "a budget must be a Budget, got dict"),
        ([Budget("all", 1.5, "day")], r"budget 'all': limit_nano_usd .* got 1\.5; nano_usd"),
        ([Budget("all", Decimal(9), "day")], r"limit_nano_usd .* got Decimal\('9'\)"),
        ([Budget("all", True, "day")], "limit_nano_usd .* got True"),
        ([limit(-1)], "limit_nano_usd .* got -1000000000"),
        ([limit(period="dayly")], "period must be one of day, .* got 'dayly'"),
        ([limit(mode="strct")], "mode must be one of strict, fit, observe, got 'strct'"),
        ([limit(when_down="open")], "when_down must be one of fail_closed, .* got 'open'"),
        ([limit(zone="Mars/Base")], "budget 'all': 'Mars/Base' is no time zone"),
        ([Budget(5, 10**9, "day")], "budget 5: name must be text"),
        ([Budget("", 10**9, "day")], "budget '': name must be text"),
        (Limits((), (Rate("burst", 0.5),)), "rate 'burst': nano_usd_per_minute .* got 0.5"),
        ([limit(-1), limit(name="b", mode="x")], "got -1000000000; .*; budget 'b': mode"),
    ],
)
def test_a_budget_that_can_t_be_is_told_at_the_start(limits, wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        Guard(limits)


def test_limits_that_become_wrong_leave_the_last_ones_in_force(caplog) -> None:
    limits = Limits((limit(1),))
    guard = Guard(lambda: limits)
    limits = Limits((limit(2), limit(3)))

    # Two of one name would hold everything twice on one counter.
    guard.reserve("0.75")
    with pytest.raises(BudgetExceededError, match=r"left of \$1\.00"):
        guard.reserve("0.5")

    assert guard.health().limits_unreadable == 2
    assert "needs a name of its own: all" in caplog.text


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e18, 0.0001, "600", None, True])
def test_a_hold_must_last_and_end(seconds) -> None:
    with pytest.raises(SettingsError, match=r"hold_seconds must be from 0\.001 to 2592000"):
        Guard([limit()], hold_seconds=seconds)


@pytest.mark.parametrize("seconds", [0.001, 1, 30 * 86_400])
def test_a_hold_lasts_as_long_as_a_store_can_keep_it(seconds) -> None:
    assert Guard([limit()], hold_seconds=seconds).reserve("0.1").held_usd == Decimal("0.1")


def test_importing_the_guard_loads_no_vendor() -> None:
    vendors = {"valkey", "boto3", "fastapi", "prometheus_client", "genai_prices", "yaml", "httpx"}
    code = "import sys, spendfuse.guard; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert not vendors & set(loaded.stdout.split())


@pytest.mark.parametrize("name", spendfuse.guard.__all__)
def test_every_name_that_is_offered_is_there(name: str) -> None:
    assert getattr(spendfuse.guard, name).__name__ == name


def test_a_name_that_is_not_offered_is_missing() -> None:
    with pytest.raises(AttributeError, match="NoStore"):
        spendfuse.guard.NoStore  # noqa: B018
