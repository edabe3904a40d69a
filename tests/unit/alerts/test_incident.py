"""An alert is told as part of its incident, whatever the order in which alerts come."""

from dataclasses import replace
from datetime import timedelta

import pytest
from unit.alerts.alert_samples import (
    DEFINITIONS,
    NOW,
    a_rung_alert,
    a_trip_alert,
    a_trip_report,
    alert_of,
)

from spendfuse.alerts.incident import incident_key, story, told
from spendfuse.alerts.outlook import NextRung, Outlook, outlook
from spendfuse.definitions import Definitions

FIRST, SECOND, THIRD = a_rung_alert(50), a_rung_alert(80), a_trip_alert()
INCIDENT = [
    told(each, seen_at=NOW + timedelta(minutes=minute))
    for minute, each in enumerate([FIRST, SECOND, THIRD])
]
NOTHING = Outlook("armed")


def test_alerts_of_one_budget_and_period_are_one_incident() -> None:
    assert incident_key(FIRST) == incident_key(a_trip_report())
    assert incident_key(a_rung_alert(period="2026-12")) != incident_key(FIRST)
    assert incident_key(a_rung_alert(budget="other")) != incident_key(FIRST)


def test_an_alert_without_a_budget_stands_for_itself() -> None:
    assert incident_key(alert_of("raw-text.txt")) != incident_key(alert_of("alarm-metric.json"))


def test_alerts_are_numbered_as_they_come() -> None:
    stories = [story(each, reversed(INCIDENT), NOTHING) for each in (FIRST, SECOND, THIRD)]

    assert [each.number for each in stories] == [1, 2, 3]
    assert [len(each.earlier) for each in stories] == [0, 1, 2]
    assert [len(each.later) for each in stories] == [2, 1, 0]


def test_the_first_alert_escalates_nothing_and_a_graver_one_does() -> None:
    mild = told(a_rung_alert(50, id="late"), seen_at=NOW + timedelta(hours=1))
    late = a_rung_alert(50, id="late")

    assert not story(FIRST, INCIDENT, NOTHING).escalates
    assert story(SECOND, INCIDENT, NOTHING).escalates
    assert not story(late, [*INCIDENT, mild], NOTHING).escalates


def test_two_alerts_of_one_moment_get_two_numbers() -> None:
    both = [told(each, seen_at=NOW) for each in (FIRST, SECOND)]

    assert {story(each, both, NOTHING).number for each in (FIRST, SECOND)} == {1, 2}


def test_a_headline_is_remembered_in_one_short_line() -> None:
    remembered = told(a_rung_alert(headline="a\nb" * 500), seen_at=NOW)

    assert "\n" not in remembered.headline
    assert len(remembered.headline) <= 200


def test_what_is_ahead_is_measured_by_the_limit_that_the_alert_names() -> None:
    ahead = outlook(a_rung_alert(50, limit_nano_usd=2_000 * 10**9), DEFINITIONS)

    assert ahead.ahead[0] == NextRung(80, 1_600 * 10**9, trips=False)
    assert ahead.left_nano_usd == 2_000 * 10**9 - FIRST.spent_nano_usd


def test_a_rung_that_the_spend_has_passed_is_not_ahead() -> None:
    # One pack can carry the spend over two rungs at once.
    leap = outlook(a_rung_alert(50, spent_nano_usd=900 * 10**9), DEFINITIONS)

    assert [rung.percent for rung in leap.ahead] == [100]


def test_the_budget_starts_anew_when_its_period_ends() -> None:
    assert outlook(FIRST, DEFINITIONS).resets_at.isoformat() == "2026-12-01T00:00:00+00:00"


def of_main(**changes: object) -> Definitions:
    main, *others = DEFINITIONS.budgets
    return replace(DEFINITIONS, budgets=(replace(main, **changes), *others))


def test_a_zone_s_budget_resets_at_its_own_midnight_and_a_total_never() -> None:
    berlin = outlook(FIRST, of_main(zone="Europe/Berlin"))
    ever = outlook(replace(FIRST, period="total"), of_main(period="total"))

    assert berlin.resets_at.isoformat() == "2026-11-30T23:00:00+00:00"
    assert ever.resets_at is None


@pytest.mark.parametrize("period", ["2026-W47", "soon", "", "0000-00", "9999-12"])
def test_a_period_of_another_kind_has_no_end_that_we_know(period: str) -> None:
    assert outlook(a_rung_alert(period=period), DEFINITIONS).resets_at is None


def test_a_budget_that_is_gone_leaves_its_figures() -> None:
    gone = outlook(a_rung_alert(budget="gone"), DEFINITIONS)

    assert gone.left_nano_usd is not None
    assert gone.ahead == ()


def test_what_aws_bills_says_nothing_about_the_ledgers_rungs() -> None:
    aws = outlook(alert_of("budgets-monthly-actual-50.txt"), DEFINITIONS)

    assert aws.ahead == ()
    assert not aws.is_ladder_known
