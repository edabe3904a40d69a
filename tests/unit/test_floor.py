"""Money, periods, budgets and the definitions file: the values everybody stands on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.budget import Budget, Limits, Override, Rung
from spendfuse.clock import parse_utc, utc_text
from spendfuse.definitions import definitions_from_json
from spendfuse.errors import InputError, SettingsError
from spendfuse.fuse_state import TripOrder
from spendfuse.money import decimal_usd, display_usd, nano_usd, usd
from spendfuse.period import NEVER, Period, PeriodKind

MOMENTS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)).map(
    lambda age: datetime(2000, 1, 2, tzinfo=UTC) + age
)


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_nano_dollars_survive_the_way_to_dollars_and_back(nano: int) -> None:
    assert nano_usd(usd(nano)) == nano


@pytest.mark.parametrize("value", [True, None, "ten", "NaN", "Infinity", [], "1,000"])
def test_what_is_no_amount_is_refused_with_the_value(value: object) -> None:
    with pytest.raises(InputError, match="expected an amount in dollars"):
        decimal_usd(value)


def test_a_float_from_json_means_what_was_written() -> None:
    assert decimal_usd(0.1) == Decimal("0.1")


def test_finer_than_a_nano_dollar_is_refused_and_not_rounded() -> None:
    with pytest.raises(InputError, match="finer than a nano-dollar"):
        nano_usd(Decimal("0.0000000001"))


@pytest.mark.parametrize("text", ["1e30", "-1e30", "1e999999", "1e-999999", "1e18", "0.1e-28"])
def test_an_amount_that_no_counter_holds_is_refused_like_any_other_nonsense(text: str) -> None:
    with pytest.raises(InputError):
        nano_usd(Decimal(text))


def test_an_amount_of_many_digits_is_not_rounded() -> None:
    assert nano_usd(Decimal("123456789012345678.123456789")) == 123456789012345678123456789
    with pytest.raises(InputError, match="finer than a nano-dollar"):
        nano_usd(Decimal("123456789012345678.12345678900001"))


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (1_234_500_000_000, "$1,234.50"),
        (-2_500_000_000, "-$2.50"),
        (0, "$0.00"),
        (400, "$0.0000004"),
        (9_995_000_000, "$10.00"),
    ],
)
def test_dollars_are_shown_as_people_write_them(nano: int, text: str) -> None:
    assert display_usd(nano) == text


@pytest.mark.parametrize(
    ("nano", "text"), [(12_345_678_900_000_000, "$12,345,678.90"), (1_234_567, "$0.001234567")]
)
def test_dollars_are_shown_whole_where_the_app_s_own_decimals_are_short(
    nano: int, text: str
) -> None:
    with localcontext(prec=4):
        assert display_usd(nano) == text


@pytest.mark.parametrize(
    ("kind", "at", "key"),
    [
        ("month", "2026-01-31T23:59:59.999999+00:00", "2026-01"),
        ("month", "2026-02-01T00:00:00+00:00", "2026-02"),
        ("month", "2026-01-31T23:30:00-05:00", "2026-02"),
        ("day", "2026-03-01T00:30:00+01:00", "2026-02-28"),
        ("week", "2027-01-01T12:00:00+00:00", "2026-W53"),
        ("week", "2026-11-22T23:59:59+00:00", "2026-W47"),
    ],
)
def test_a_period_begins_at_midnight_utc(kind: PeriodKind, at: str, key: str) -> None:
    assert Period.containing(kind, datetime.fromisoformat(at)).key == key


CALENDAR: tuple[PeriodKind, ...] = ("day", "week", "month")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "America/Sao_Paulo",  # midnight did not exist when summer began
    "Asia/Beirut",  # nor does it here
    "America/St_Johns",  # clocks went back at 00:01: some minutes of a day came after its end
    "America/Havana",  # midnight comes twice when summer ends
    "Pacific/Apia",  # 2011-12-30 never was
    "Pacific/Kiritimati",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
)
ODD_MOMENTS = [
    ("America/Sao_Paulo", "2018-11-04T03:00:00", "2018-11-04", 23),
    ("America/Sao_Paulo", "2018-11-04T02:59:59", "2018-11-03", 24),
    ("Asia/Beirut", "2026-03-28T22:00:00", "2026-03-29", 23),
    ("Asia/Beirut", "2026-03-28T21:59:59", "2026-03-28", 24),
    ("America/St_Johns", "2010-11-07T02:30:59", "2010-11-07", 25),
    ("America/St_Johns", "2010-11-07T02:31:00", "2010-11-07", 25),
    ("America/St_Johns", "2010-11-07T02:29:59", "2010-11-06", 24),
    ("America/Havana", "2026-11-01T04:00:00", "2026-11-01", 25),
    ("America/Havana", "2026-11-01T05:00:00", "2026-11-01", 25),
    ("America/Toronto", "1919-03-31T04:45:00", "1919-03-30", 24),
    ("Pacific/Apia", "2011-12-30T09:59:59", "2011-12-29", 24),
    ("Pacific/Apia", "2011-12-30T10:00:00", "2011-12-31", 24),
    ("Europe/Berlin", "2026-03-29T12:00:00", "2026-03-29", 23),
    ("Europe/Berlin", "2026-10-25T12:00:00", "2026-10-25", 25),
    ("Europe/Berlin", "2026-11-21T22:59:59", "2026-11-21", 24),
    ("Europe/Berlin", "2026-11-21T23:00:00", "2026-11-22", 24),
]


def assert_it_joins(kind: PeriodKind, at: datetime, zone: str) -> None:
    period = Period.containing(kind, at, zone)
    moment = timedelta(microseconds=1)

    assert period.start <= at < period.end
    assert period.previous.end == period.start
    assert Period.from_key(kind, period.key, zone) == period
    assert Period.containing(kind, period.start, zone) == period
    assert Period.containing(kind, period.end - moment, zone) == period
    following = Period.containing(kind, period.end, zone)
    assert following.start == period.end
    assert len({following.key, period.key, period.previous.key}) == 3


@given(st.sampled_from(CALENDAR), MOMENTS, st.sampled_from(ZONES))
def test_periods_join_without_gap_or_overlap(kind: PeriodKind, at: datetime, zone: str) -> None:
    assert_it_joins(kind, at, zone)


@pytest.mark.parametrize("kind", CALENDAR)
@pytest.mark.parametrize(("zone", "at"), [(zone, at) for zone, at, _, _ in ODD_MOMENTS])
def test_periods_join_where_clocks_jump(kind: PeriodKind, zone: str, at: str) -> None:
    assert_it_joins(kind, datetime.fromisoformat(f"{at}+00:00"), zone)


@pytest.mark.parametrize(("zone", "at", "key", "hours"), ODD_MOMENTS)
def test_a_day_begins_at_its_zone_s_first_moment_however_long_it_is(
    zone: str, at: str, key: str, hours: int
) -> None:
    day = Period.containing("day", datetime.fromisoformat(f"{at}+00:00"), zone)

    assert (day.key, day.end - day.start) == (key, timedelta(hours=hours))


def test_a_day_that_never_was_is_no_period() -> None:
    with pytest.raises(InputError, match="Pacific/Apia has no such day"):
        Period.from_key("day", "2011-12-30", "Pacific/Apia")


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_total_is_one_period_without_an_end(at: datetime, zone: str) -> None:
    total = Period.containing("total", at, zone)

    assert total.start <= at < total.end == NEVER
    assert (total.key, total.previous) == ("total", total)
    assert Period.from_key("total", "total", zone) == total


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("month", "2026-13"),
        ("day", "2026-02-30"),
        ("week", "2026-W60"),
        ("day", "x"),
        ("total", "2026"),
        ("month", "total"),
        ("month", "9999-12"),
        ("week", "9999-W52"),
        ("day", "0001-01-01"),
    ],
)
def test_what_is_no_period_s_key_is_refused(kind: PeriodKind, key: str) -> None:
    with pytest.raises(InputError, match="is not the key of a"):
        Period.from_key(kind, key)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("year", ["1000", "9998"])
def test_the_first_and_the_last_period_of_all_have_two_ends(year: str, zone: str) -> None:
    for kind, key in (("month", f"{year}-12"), ("day", f"{year}-12-31"), ("week", f"{year}-W52")):
        period = Period.from_key(kind, key, zone)

        assert period.previous.end == period.start < period.end


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../etc/passwd", "\0"])
def test_what_is_no_zone_is_refused_with_its_name(zone: str) -> None:
    with pytest.raises(InputError, match="is no time zone that is known here"):
        Period.containing("day", datetime(2026, 1, 1, tzinfo=UTC), zone)


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001

    with pytest.raises(InputError, match="no time zone"):
        Period.containing("day", naive)
    with pytest.raises(InputError, match="no time zone"):
        utc_text(naive)
    with pytest.raises(InputError, match="with a zone"):
        parse_utc("2026-01-01T00:00:00")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_at_the_end_of_time_is_refused_like_any_other_nonsense(text: str) -> None:
    with pytest.raises(InputError, match="expected a time with a zone"):
        parse_utc(text)


def test_a_time_s_text_ends_in_z() -> None:
    at = datetime.fromisoformat("2026-11-21T23:13:34.125999+01:00")

    assert utc_text(at) == "2026-11-21T22:13:34.125Z"


def test_the_root_budget_matches_everything_and_others_all_of_their_attributes() -> None:
    root = Budget("all", 1, "month", ())
    search = Budget("search", 1, "month", (), {"team": "search", "environment": "prod"})

    assert root.matches({})
    assert search.matches({"team": "search", "environment": "prod", "user": "u"})
    assert not search.matches({"team": "search"})


@given(st.integers(min_value=1, max_value=1000), st.integers(min_value=1, max_value=10**15))
def test_a_rung_s_threshold_is_the_first_nano_dollar_at_its_percentage(p: int, limit: int) -> None:
    threshold = Rung(p, ()).threshold_nano_usd(limit)

    assert threshold * 100 >= limit * p
    assert (threshold - 1) * 100 < limit * p


def test_an_order_about_the_same_cause_has_the_same_id() -> None:
    cause = {"fuse": "f", "budget": "llm", "period": "2026-11", "percent": 100}

    assert TripOrder(**cause, limit_nano_usd=5).id == TripOrder(**cause, limit_nano_usd=5).id
    assert TripOrder(**cause, limit_nano_usd=5).id != TripOrder(**cause, limit_nano_usd=6).id
    assert (
        TripOrder(**cause, limit_nano_usd=5, allowance=1).id
        != TripOrder(**cause, limit_nano_usd=5).id
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"deployment": 1, "budgets": 2}'])
def test_a_broken_definitions_file_says_what_to_do(text: str) -> None:
    with pytest.raises(SettingsError, match=r"definitions\.json can't be read"):
        definitions_from_json(text)


def test_the_limit_of_one_value_beats_each_one_s_and_that_the_configured_one() -> None:
    user_day, llm = Budget("user-day", 10, "day", per="user"), Budget("llm", 1000, "month")
    overrides = [Override("user-day", "", 5), Override("user-day", "u-17", 50)]
    limits = Limits((llm, user_day), overrides={each[:2]: each for each in overrides})

    assert [limits.limit_nano_usd(user_day, each) for each in ("u-17", "u-2", "")] == [50, 5, 5]
    assert limits.limit_nano_usd(llm) == 1000
