"""boto3 clients for the Lambdas: made on the first event, with bounded waits."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "max_attempts": 5},
)


def client(service: str) -> Any:
    """Return a client of the function's own region and role."""
    return boto3.client(service, config=_CONFIG)
