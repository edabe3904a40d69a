"""What is deployed, as far as cost and delay go by it.

The stacks decide these figures and can't be asked from here, so they stand here once more; a test
compares each with the template.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """The figures of the stacks, and of the Lambdas' clients."""

    memory_mb: int = 512
    """Of each function."""
    usage_batch_packs: int = 10
    """What one ``record_usage`` takes at most."""
    record_concurrency: int = 5
    record_timeout_seconds: int = 30
    usage_visibility_seconds: int = 180
    watch_timeout_seconds: int = 50
    watch_stream_batch: int = 100
    gauges_timeout_seconds: int = 50
    schedule_seconds: int = 60
    """Of watch_budgets and of publish_gauges, each."""
    notify_timeout_seconds: int = 60
    notify_visibility_seconds: int = 180
    trip_timeout_seconds: int = 300
    trip_visibility_seconds: int = 360
    log_kept_days: int = 30
    polled_queues: int = 3
    """Usage, notify and trip, each with a function behind it."""
    fold_rows: int = 500
    """Rows of a log that one fold takes at most."""
    shares_wait_seconds: int = 3600
    """How long rows of shares wait for others, where they don't fill a fold."""
    shares_look_seconds: int = 300
    """How often those that wait are read, to see whether they fill a fold."""
    user_books: int = 256
    """Rows in which the users of a budget and period are spread."""


@dataclass(frozen=True, slots=True)
class AlarmPace:
    """Rings when ``enough`` of the last ``of_last`` periods are beyond the alarm's figure."""

    period_seconds: int
    enough: int = 1
    of_last: int = 1


ALARM_PACES = {
    "budget-used": AlarmPace(60),
    "high-daily-cost": AlarmPace(60),
    "hourly-spend": AlarmPace(60, of_last=5),
    "spend-anomaly": AlarmPace(300, enough=3, of_last=3),
}
"""By the alarms' names."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The SDK's sink for the usage queue."""

    linger_seconds: float
    """How long a record may wait for others to go with it."""
    max_records: int
    """In a pack."""
    max_bytes: int
    """Of a pack."""
    connect_seconds: float
    read_seconds: float
    attempts: int
