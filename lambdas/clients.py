"""boto3 clients for the Lambdas: made on the first event, with bounded waits."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

ATTEMPTS = 6
READ_SECONDS = 10
_CONNECT_SECONDS = 3
_LONGEST_BACK_OFF_SECONDS = 20


def client(service: str, *, attempts: int = ATTEMPTS, read_seconds: int = READ_SECONDS) -> Any:
    """Return a client of the function's own region and role; ``attempts`` counts the first."""
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return boto3.client(service, config=config)


def longest_call_seconds(*, attempts: int = ATTEMPTS, read_seconds: int = READ_SECONDS) -> int:
    """Return how long one call of such a client can take: each attempt times out at the end.

    botocore waits at most a second before the second attempt, and twice as long before each
    further one.
    """
    back_offs = sum(min(1 << retry, _LONGEST_BACK_OFF_SECONDS) for retry in range(attempts - 1))
    return attempts * (_CONNECT_SECONDS + read_seconds) + back_offs
