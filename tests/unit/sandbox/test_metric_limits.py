from datetime import UTC, datetime, timedelta

import pytest

from spendfuse.sandbox.metric_limits import refusal

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def a_datum(**changes):
    return {"MetricName": "CostUSD", "Value": 1.0, **changes}


def with_dimension(name="Model", value="gpt"):
    return a_datum(Dimensions=[{"Name": name, "Value": value}])


def with_values(count, **changes):
    return {"MetricName": "CostUSD", "Values": [1.0] * count, **changes}


@pytest.mark.parametrize(
    "datum",
    [
        a_datum(),
        a_datum(Timestamp=NOW - timedelta(days=14)),
        a_datum(Timestamp=NOW + timedelta(hours=2)),
        with_values(150, Counts=[2.0] * 150),
        a_datum(Dimensions=[{"Name": f"n{n}", "Value": "v"} for n in range(30)]),
        with_dimension(value="x" * 1024),
        with_dimension(value=":starts with a colon"),
        {"MetricName": "CostUSD", "StatisticValues": {"SampleCount": 1.0}},
    ],
)
def test_what_aws_takes_is_taken(datum):
    assert refusal([datum] * 1000, NOW) is None


@pytest.mark.parametrize(
    ("datum", "why"),
    [
        (a_datum(Timestamp=NOW - timedelta(days=14, seconds=1)), "two weeks"),
        (a_datum(Timestamp=NOW + timedelta(hours=2, seconds=1)), "two hours"),
        (with_values(151), "150 values"),
        (with_values(0), "150 values"),
        (with_values(2, Counts=[1.0]), "as many"),
        (a_datum(Values=[1.0]), "must be given"),
        ({"MetricName": "CostUSD"}, "must be given"),
        (a_datum(Value=float("nan")), "between"),
        (a_datum(Value=float("inf")), "between"),
        (with_values(1, Counts=[float("nan")]), "between"),
        (a_datum(Dimensions=[{"Name": f"n{n}", "Value": "v"} for n in range(31)]), "greater than"),
        (with_dimension(value="größe"), "ASCII"),
        (with_dimension(value="two\nlines"), "ASCII"),
        (with_dimension(value=""), "1 to 1024"),
        (with_dimension(value="  "), "blank"),
        (with_dimension(value="x" * 1025), "1 to 1024"),
        (with_dimension(name=":Model"), "colon"),
        (a_datum(MetricName=""), "MetricName"),
    ],
)
def test_one_bad_datum_refuses_the_call_and_is_named(datum, why):
    refused = refusal([a_datum(), datum], NOW)

    assert refused is not None
    assert "member.2" in refused
    assert why in refused


def test_a_call_has_at_most_a_thousand_data():
    assert "1000" in str(refusal([a_datum()] * 1001, NOW))
