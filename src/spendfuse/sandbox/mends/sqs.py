"""Queues are measured, as on AWS: how many messages wait, and for how long the oldest.

Without it an alarm on dead letters could never ring here.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, sqs

from spendfuse.sandbox.queue_figures import figures

_LOOK_SECONDS = 1.0
_REPEAT_SECONDS = 60.0
"""AWS measures once a minute; here a change is measured when it is seen."""
_NAMESPACE = "AWS/SQS"

logger = logging.getLogger("spendfuse.sandbox")


def mend() -> None:
    """Measure every queue from now on."""
    threading.Thread(target=_watch, name="queues", daemon=True).start()


def _watch() -> None:
    last: dict[Any, tuple[float, Mapping[str, float]]] = {}
    while True:
        time.sleep(_LOOK_SECONDS)
        for key, queue in sqs._queues.all_items():
            try:
                _measure(key, queue, last)
            except Exception:
                # The one place for it: one queue must not hide the others.
                logger.exception("queue %s can't be measured", key)


def _measure(
    key: Sequence[str], queue: Mapping[str, Any], last: dict[Any, tuple[float, Mapping[str, float]]]
) -> None:
    now = time.time()
    waiting = [(each["sent_at"], each["visible_at"]) for each in list(queue["messages"])]
    found = figures(waiting, now)
    measured_at, before = last.get(key, (0.0, {}))
    # The age grows by itself; that is no change worth a data point.
    changed = found["ApproximateNumberOfMessagesVisible"] != before.get(
        "ApproximateNumberOfMessagesVisible"
    )
    if not changed and now - measured_at < _REPEAT_SECONDS:
        return
    last[key] = (now, found)
    account, region, _url = key
    with request_scope(account, region):
        for name, value in found.items():
            unit = "Seconds" if "Age" in name else "Count"
            cloudwatch.record_metric(_NAMESPACE, name, value, unit, {"QueueName": queue["name"]})
