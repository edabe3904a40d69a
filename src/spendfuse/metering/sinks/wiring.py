"""What sinks may be handed, instead of making their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from spendfuse.clock import utc_now


@dataclass(frozen=True, slots=True)
class Wiring:
    """Clients and streams of the app's own; None means that the sink makes its own."""

    now: Callable[[], datetime] = utc_now
    stream: TextIO | None = None
    """For ``print`` and ``emf``; else standard output."""
    sqs: Any = None
    """A boto3 SQS client."""
    registry: Any = None
    """A ``prometheus_client.CollectorRegistry``; else the default one."""
    meter_provider: Any = None
    """An OpenTelemetry ``MeterProvider``; else the global one."""
    bigquery: Any = None
    """A ``google.cloud.bigquery.Client``."""
