import pytest

from spendfuse.sandbox.alarm_state import AlarmRule, next_state


def a_rule(**changes):
    fields = {
        "comparison": "GreaterThanThreshold",
        "threshold": 80.0,
        "periods": 2,
        "to_alarm": 2,
    }
    return AlarmRule(**{**fields, **changes})


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([0, 81, 90], "ALARM"),
        ([0, 80, 90], "OK"),
        ([99, 99, 1], "OK"),
        ([None, None, 81], "OK"),
    ],
)
def test_as_many_periods_as_asked_must_breach(values, state):
    assert next_state(a_rule(), values, "OK") == state


def test_m_of_n_periods_are_enough():
    assert next_state(a_rule(to_alarm=1), [0, 81, 1], "OK") == "ALARM"


def test_a_new_period_without_data_yet_changes_nothing():
    assert next_state(a_rule(), [81, 90, None], "OK") == "ALARM"


@pytest.mark.parametrize(
    ("missing", "state"),
    [
        ("missing", "INSUFFICIENT_DATA"),
        ("breaching", "ALARM"),
        ("notBreaching", "OK"),
        ("ignore", "ALARM"),
    ],
)
def test_silence_counts_as_the_alarm_says(missing, state):
    assert next_state(a_rule(missing=missing), [None, None, None], "ALARM") == state


def test_a_missing_period_can_count_as_a_breach():
    assert next_state(a_rule(missing="breaching"), [0, None, 81], "OK") == "ALARM"
    assert next_state(a_rule(missing="notBreaching"), [0, None, 81], "OK") == "OK"


@pytest.mark.parametrize(
    ("comparison", "state"),
    [
        ("GreaterThanThreshold", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_each_comparison_treats_the_threshold_itself_as_aws_does(comparison, state):
    assert next_state(a_rule(comparison=comparison), [0, 80, 80], "OK") == state
