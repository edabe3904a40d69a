"""What Bedrock itself counted: tokens of all calls of the account in this region.

Its input tokens leave out what was read from the prompt cache and written to it; those have
metrics of their own. Ours have everything in it, so all four are added up.

https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.errors import UnavailableError

_NAMESPACE = "AWS/Bedrock"
_TOKENS = {
    "InputTokenCount",
    "OutputTokenCount",
    "CacheReadInputTokenCount",
    "CacheWriteInputTokenCount",
}
_DIMENSION = "ModelId"
_PERIOD = timedelta(minutes=5)
_MAX_QUERIES = 500
_FAILED = ("InternalError", "Forbidden")

Metric = dict[str, Any]


class BedrockMetrics:
    """Asks CloudWatch for Bedrock's metrics."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def tokens(self, since: datetime, until: datetime) -> int:
        """Return the tokens of ``[since, until)``; both on a multiple of five minutes.

        Raises:
            UnavailableError: not all of it is known.
        """
        try:
            found = list(self._metrics())
            parts = [
                found[start : start + _MAX_QUERIES] for start in range(0, len(found), _MAX_QUERIES)
            ]
            return sum(self._sum(part, since, until) for part in parts)
        except (ClientError, BotoCoreError) as error:
            raise UnavailableError(f"Bedrock's metrics can't be read: {error}") from error

    def _metrics(self) -> Iterator[Metric]:
        # The filter is AWS's only one, and longer than any hour that is compared.
        pages = self._client.get_paginator("list_metrics").paginate(
            Namespace=_NAMESPACE, RecentlyActive="PT3H"
        )
        for page in pages:
            for metric in page["Metrics"]:
                # With more dimensions, the same tokens are counted again.
                names = [each["Name"] for each in metric["Dimensions"]]
                if metric["MetricName"] in _TOKENS and names == [_DIMENSION]:
                    yield metric

    def _sum(self, part: list[Metric], since: datetime, until: datetime) -> int:
        queries = [
            {
                "Id": f"m{number}",
                "MetricStat": {
                    "Metric": metric,
                    "Period": int(_PERIOD.total_seconds()),
                    "Stat": "Sum",
                },
            }
            for number, metric in enumerate(part)
        ]
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=since, EndTime=until
        )
        tokens = 0.0
        for page in pages:
            for result in page["MetricDataResults"]:
                if result["StatusCode"] in _FAILED:
                    raise UnavailableError(f"a metric of Bedrock's is not known: {result}")
                tokens += sum(result["Values"])
        return round(tokens)
