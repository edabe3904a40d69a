import pytest

from spendfuse.sandbox.alarm_checks import dashboard_refusal, detector_refusal, math_refusal

METRIC = {"Id": "m", "MetricStat": {"Metric": {"MetricName": "HourlyUSD"}}, "ReturnData": False}
RATIO = {"Id": "e", "Expression": "m * 100"}
BAND = {"Id": "band", "Expression": "ANOMALY_DETECTION_BAND(m, 3)"}
RETURNED = {**METRIC, "ReturnData": True}


@pytest.mark.parametrize(
    "properties",
    [
        {"Metrics": [METRIC, RATIO], "Threshold": 0},
        {"Metrics": [RETURNED, BAND], "ThresholdMetricId": "band"},
    ],
)
def test_what_aws_takes_is_taken(properties):
    assert math_refusal(properties) is None


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"Metrics": [METRIC, RATIO]}, "Threshold"),
        ({"Metrics": [METRIC, METRIC], "Threshold": 1}, "unique"),
        ({"Metrics": [METRIC], "Threshold": 1}, "return data"),
        ({"Metrics": [RETURNED, RATIO], "Threshold": 1}, "return data"),
        ({"Metrics": [{"Id": "s", "Expression": "SEARCH('x')"}], "Threshold": 1}, "SEARCH"),
        ({"Metrics": [{**METRIC, "Id": f"m{n}"} for n in range(11)], "Threshold": 1}, "10"),
        ({"Metrics": [RETURNED, RATIO], "ThresholdMetricId": "e"}, "no ANOMALY_DETECTION_BAND"),
        ({"Metrics": [METRIC, BAND], "ThresholdMetricId": "band"}, "and its band"),
        (
            {"Metrics": [RETURNED, BAND], "ThresholdMetricId": "band", "Threshold": 1},
            "not both",
        ),
    ],
)
def test_what_aws_refuses_is_refused(properties, why):
    assert why in str(math_refusal(properties))


def test_a_detector_names_one_metric():
    metric = {"MetricName": "HourlyUSD", "Namespace": "Spendfuse/Ledger", "Stat": "Maximum"}

    assert detector_refusal(metric) is None
    assert detector_refusal({"SingleMetricAnomalyDetector": metric}) is None
    assert detector_refusal({}) is not None
    assert detector_refusal({**metric, "SingleMetricAnomalyDetector": metric}) is not None
    assert "Stat" in str(detector_refusal({**metric, "Stat": None}))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"widgets": []}', None),
        ('{"widgets": [{"type": "text", "properties": {"markdown": ""}}]}', None),
        ("{", "valid JSON"),
        ("[]", "array"),
        ("{}", "array"),
        ('{"widgets": [{"properties": {}}]}', "widgets/0"),
        ('{"widgets": [{"type": "text"}]}', "widgets/0"),
    ],
)
def test_a_dashboard_is_an_object_with_widgets(body, why):
    refused = dashboard_refusal(body)

    assert (refused is None) if why is None else why in str(refused)


def test_a_dashboard_has_at_most_500_widgets():
    widget = '{"type": "text", "properties": {}}'

    assert dashboard_refusal('{"widgets": [' + ",".join([widget] * 500) + "]}") is None
    assert dashboard_refusal('{"widgets": [' + ",".join([widget] * 501) + "]}") is not None
