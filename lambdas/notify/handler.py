"""The notify queue's function: each message is parsed, joined to its incident and told.

A message that could not be told on all of its channels goes back to the queue, and comes
again when the channel said, or after a wait that doubles.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas import definitions_file
from lambdas.clients import client
from lambdas.notify.settings import Settings
from spendfuse.alerts.channel import UndeliveredError, Wiring
from spendfuse.alerts.channels import open_channels
from spendfuse.alerts.dynamodb import DynamoIncidents
from spendfuse.alerts.envelopes import parse_envelope
from spendfuse.alerts.tell_people import Failure, TellPeople
from spendfuse.alerts.translation import alert_from
from spendfuse.clock import utc_now

_LONGEST_WAIT_SECONDS = 180

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notify:
    """The use case, and the queue that its messages come from."""

    tell_people: TellPeople
    sqs: Any
    queue_url: str


@cache
def build() -> Notify:
    """Wire the use case to AWS, on the first event and not on import."""
    settings = Settings.from_env(os.environ)
    channels = open_channels(Wiring(client=client, settings=os.environ, now=utc_now))
    return Notify(
        tell_people=TellPeople(
            incidents=DynamoIncidents(client("dynamodb"), settings.incident_table, now=utc_now),
            channels=channels,
            definitions=definitions_file.load(),
            now=utc_now,
        ),
        sqs=client("sqs"),
        queue_url=settings.notify_queue_url,
    )


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Tell a batch of messages."""
    return tell_batch(event["Records"], build())


def tell_batch(records: list[dict[str, Any]], notify: Notify) -> dict[str, Any]:
    """Tell each message; name those to be delivered again, so that SQS redelivers only them."""
    resting: dict[str, UndeliveredError] = {}
    failed = []
    for record in records:
        try:
            failures = _tell(record, notify, resting)
        except Exception:
            # The ids are enough to find it; the body may hold anything.
            logger.exception("message %s was not told", record["messageId"])
            failures = [Failure("all", "see the log")]
        if failures:
            failed.append({"itemIdentifier": record["messageId"]})
            _put_back(record, failures, notify)
    return {"batchItemFailures": failed}


def _tell(
    record: Mapping[str, Any], notify: Notify, resting: dict[str, UndeliveredError]
) -> list[Failure]:
    sent_at = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
    envelope = parse_envelope(record["body"], received_at=sent_at)
    alert = alert_from(envelope, notify.tell_people.definitions)
    failures = notify.tell_people(alert, attempt=_attempt(record), resting=resting)
    for failure in failures:
        logger.warning(
            "message %s, alert %s: not told on %s: %s",
            record["messageId"],
            alert.id,
            failure.channel,
            failure.reason,
        )
    return failures


def _put_back(record: Mapping[str, Any], failures: list[Failure], notify: Notify) -> None:
    """Have the message delivered again in time; else it comes after the queue's own timeout."""
    try:
        notify.sqs.change_message_visibility(
            QueueUrl=notify.queue_url,
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=wait_seconds(failures, attempt=_attempt(record)),
        )
    except (ClientError, BotoCoreError):
        logger.exception("message %s: its visibility was not changed", record["messageId"])


def wait_seconds(failures: list[Failure], *, attempt: int) -> int:
    """Return what the slowest channel asked for, or a wait that doubles with each attempt."""
    asked = [each.retry_after_seconds for each in failures if each.retry_after_seconds is not None]
    if not asked:
        return _doubling(attempt)
    # Never much hastier: "1 second", again and again, would use up the queue's receives.
    return max(*asked, _doubling(attempt - 1))


def _doubling(attempt: int) -> int:
    return min(1 << min(attempt, 8), _LONGEST_WAIT_SECONDS)


def _attempt(record: Mapping[str, Any]) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])
