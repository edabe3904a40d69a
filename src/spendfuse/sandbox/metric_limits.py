"""What CloudWatch refuses in PutMetricData. One bad datum refuses the whole call.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

MOST_DATA = 1000
MOST_VALUES = 150
MOST_DIMENSIONS = 30
OLDEST = timedelta(days=14)
NEWEST = timedelta(hours=2)
_LARGEST = 2.0**360
_NAME_LENGTH, _VALUE_LENGTH = 255, 1024

Datum = Mapping[str, Any]


def refusal(data: Sequence[Datum], now: datetime) -> str | None:
    """Return why CloudWatch would not take these data, None if it would.

    ``data`` are as boto3 sends them, ``Timestamp`` as an aware datetime or absent.
    """
    if len(data) > MOST_DATA:
        return f"The collection MetricData must not have a size greater than {MOST_DATA}."
    for number, datum in enumerate(data, start=1):
        for problem in _problems(datum, now):
            return f"MetricData.member.{number} ({datum.get('MetricName')}): {problem}"
    return None


def _problems(datum: Datum, now: datetime) -> Iterator[str]:
    name = datum.get("MetricName") or ""
    if not 1 <= len(name) <= _NAME_LENGTH:
        yield f"MetricName must have 1 to {_NAME_LENGTH} characters."
    yield from _dimension_problems(datum.get("Dimensions") or ())
    yield from _value_problems(datum)
    at = datum.get("Timestamp")
    if at is not None and not now - OLDEST <= at <= now + NEWEST:
        yield (
            f"The Timestamp {at.isoformat()} must be at most two weeks before the current time "
            "and two hours after it."
        )


def _dimension_problems(dimensions: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if len(dimensions) > MOST_DIMENSIONS:
        yield f"The collection Dimensions must not have a size greater than {MOST_DIMENSIONS}."
    for each in dimensions:
        for text, most in ((each["Name"], _NAME_LENGTH), (each["Value"], _VALUE_LENGTH)):
            if not 1 <= len(text) <= most or not text.strip():
                yield f"The dimension {each} must have 1 to {most} characters, not all blank."
            elif not text.isascii() or not text.isprintable():
                yield f"The dimension {each} must contain only printable ASCII characters."
        if each["Name"].startswith(":"):
            yield f"The name of the dimension {each} must not start with a colon."


def _value_problems(datum: Datum) -> Iterator[str]:
    values, counts = datum.get("Values"), datum.get("Counts")
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if len(given) != 1:
        yield f"One of Value, Values and StatisticValues must be given, not {given}."
    if values is not None and not 1 <= len(values) <= MOST_VALUES:
        yield f"The collection Values must have 1 to {MOST_VALUES} values, got {len(values)}."
    if counts is not None and len(counts) != len(values or ()):
        yield "Counts must have as many values as Values."
    single = datum.get("Value")
    for number in (*(values or ()), *(counts or ()), *(() if single is None else (single,))):
        if math.isnan(number) or abs(number) > _LARGEST:
            yield f"The value {number} must be a number between -2^360 and 2^360."
