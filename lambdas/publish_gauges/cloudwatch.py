"""Data points → CloudWatch, in as few calls as it allows.

CloudWatch knows no repeat: what is sent twice counts twice. Only what it surely did not take is
sent again; an answer that got lost on its way may still double a minute. The ledger's own totals
don't come from here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.errors import UnavailableError
from spendfuse.ledger.gauges import Datum
from spendfuse.metrics import DEPLOYMENT, NAMESPACE

logger = logging.getLogger(__name__)

_MAX_DATA = 1000
# A request holds 1 MB. As form fields, which is the longest way that boto3 writes them, a datum
# takes up to 600 bytes beside its text, and each value with its count 120.
_MAX_BYTES = 900_000
_DATUM_BYTES, _VALUE_BYTES = 600, 120
_ENCODED = 3
"""Bytes of one character, percent-encoded."""
_REFUSED = {
    "InvalidFormat",
    "InvalidParameterCombination",
    "InvalidParameterCombinationException",
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "MissingParameter",
    "MissingRequiredParameterException",
    "ValidationError",
}


class CloudWatchMetrics:
    """Publishes one deployment's data points."""

    def __init__(self, client: Any, deployment: str) -> None:
        self._client = client
        self._deployment = deployment
        self._accepted: set[tuple[Datum, ...]] = set()

    def put(self, data: Sequence[Datum]) -> int:
        """Publish the data, and return how many CloudWatch refuses for what they are.

        Raises:
            UnavailableError: some or all were not published; they may be later.
        """
        return sum(self._send(call) for call in calls(data))

    def put_once(self, data: Sequence[Datum]) -> int:
        """Publish the data as ``put`` does; tried again, leave out the calls that went well."""
        refused = 0
        for call in calls(data):
            if call not in self._accepted:
                refused += self._send(call)
                self._accepted.add(call)
        self._accepted.clear()
        return refused

    def _send(self, data: Sequence[Datum]) -> int:
        try:
            self._client.put_metric_data(
                Namespace=NAMESPACE, MetricData=[self._metric_datum(each) for each in data]
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _REFUSED:
                raise UnavailableError(f"CloudWatch took no metrics: {error}") from error
            return self._send_apart(data, error)
        except BotoCoreError as error:
            raise UnavailableError(f"CloudWatch can't be reached: {error}") from error
        return 0

    def _send_apart(self, data: Sequence[Datum], error: ClientError) -> int:
        """Find what is refused: one bad datum must not take the others with it."""
        if len(data) == 1:
            logger.error("CloudWatch refuses %s of %s: %s", data[0].name, data[0].by, error)
            return 1
        middle = len(data) // 2
        return self._send(data[:middle]) + self._send(data[middle:])

    def _metric_datum(self, datum: Datum) -> dict[str, Any]:
        by = ((DEPLOYMENT, self._deployment), *((datum.by,) if datum.by else ()))
        return {
            "MetricName": datum.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in by],
            "Timestamp": datum.at,
            "Unit": datum.unit,
            # CloudWatch has doubles only. Here money stops being exact, and is no longer counted.
            "Values": [float(value) for value, _ in datum.values],
            "Counts": [float(count) for _, count in datum.values],
        }


def calls(data: Sequence[Datum]) -> Iterator[tuple[Datum, ...]]:
    """Yield the data in parts that fit a call; the same data give the same parts."""
    part: list[Datum] = []
    size = 0
    for datum in data:
        more = _size(datum)
        if part and (len(part) == _MAX_DATA or size + more > _MAX_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(datum)
        size += more
    if part:
        yield tuple(part)


def _size(datum: Datum) -> int:
    text = sum(len(part) for part in datum.by or ())
    return _DATUM_BYTES + _ENCODED * text + _VALUE_BYTES * len(datum.values)
