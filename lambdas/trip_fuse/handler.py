"""Orders → disabled keys.

One message at a time, and each is fit to come again: a plan that outlasts an invocation, or a
key that fails, makes the message fail, and the next delivery goes on where this one stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from lambdas import definitions_file
from lambdas.clients import client
from lambdas.trip_fuse.orders import NoOrder, Order, order_in
from lambdas.trip_fuse.settings import Settings
from spendfuse.alerts.envelopes import parse_envelope
from spendfuse.alerts.fuse_report import fuse_alert
from spendfuse.clock import utc_now
from spendfuse.definitions import Definitions
from spendfuse.fuse.allowances import allowance_nano_usd
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.fuse.keys import open_key_stores
from spendfuse.fuse.report import Report
from spendfuse.fuse.trip import TripFuse

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

KEY_STORE_ATTEMPTS = 1
"""The key stores try again by themselves, and within a bound."""
FUSE_TABLE_ATTEMPTS, FUSE_TABLE_READ_SECONDS = 2, 3
STOP_BEFORE_END_MILLISECONDS = 100_000
"""More than one key can take: two calls to its store and four to the fuse's table, all slow."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 5, 360


class Context(Protocol):
    """What we use of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int: ...


@dataclass(frozen=True)
class TripOnOrder:
    """Carries out one message."""

    trip_fuse: TripFuse
    definitions: Definitions
    settings: Settings
    sqs: Any
    now: Callable[[], datetime]

    def __call__(self, record: dict[str, Any], context: Context) -> bool:
        """Return whether the message is done with."""
        order = order_in(
            parse_envelope(record["body"], received_at=self.now()),
            self.definitions,
            trips_topic_arn=self.settings.trips_topic_arn,
            now=self.now(),
        )
        if isinstance(order, NoOrder):
            logger.warning("message %s trips nothing: %s", record["messageId"], order.reason)
            return True
        return self._carry_out(order, record, context)

    def _carry_out(self, order: Order, record: dict[str, Any], context: Context) -> bool:
        done = self.trip_fuse(
            order.trip,
            cause=order.cause,
            allowance_nano_usd=allowance_nano_usd(order.limit_nano_usd, self.definitions.fuse),
            may_go_on=lambda: (
                context.get_remaining_time_in_millis() >= STOP_BEFORE_END_MILLISECONDS
            ),
        )
        logger.info("trip %s is %s", done.trip.id, done.trip.status)
        if not done.finished:
            self.see_again(record, wait_seconds(record) if done.waits else 0)
        return done.finished

    def see_again(self, record: dict[str, Any], seconds: int) -> None:
        """Let the message come again sooner than the queue would."""
        try:
            self.sqs.change_message_visibility(
                QueueUrl=self.settings.trip_queue_url,
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=seconds,
            )
        except (BotoCoreError, ClientError):
            # It comes again all the same, only later.
            logger.exception("message %s keeps its visibility timeout", record["messageId"])


def wait_seconds(record: dict[str, Any]) -> int:
    """Return how long to leave a message: twice as long after each delivery, up to a bound."""
    deliveries = min(int(record["attributes"]["ApproximateReceiveCount"]), 10)
    doubled: int = _FIRST_WAIT_SECONDS * 2 ** (deliveries - 1)
    return min(doubled, _LONGEST_WAIT_SECONDS)


@cache
def build() -> TripOnOrder:
    """Wire the fuse to AWS, on the first event and not on import."""
    settings = Settings.from_env(os.environ)
    definitions = definitions_file.load()
    sns = client("sns")

    def tell(report: Report) -> None:
        alert = fuse_alert(report, definitions.deployment, utc_now())
        sns.publish(TopicArn=settings.alerts_topic_arn, Message=alert.to_json())

    dynamodb = client(
        "dynamodb", attempts=FUSE_TABLE_ATTEMPTS, read_seconds=FUSE_TABLE_READ_SECONDS
    )
    key_store_client = partial(client, attempts=KEY_STORE_ATTEMPTS)
    trip_fuse = TripFuse(
        store=DynamoFuse(dynamodb, settings.fuse_table, definitions.fuse.name),
        key_stores=open_key_stores(definitions.fuse.key_stores, key_store_client),
        tell=tell,
        now=utc_now,
        mode=definitions.fuse.mode,
        find_budget=definitions.budget,
    )
    return TripOnOrder(trip_fuse, definitions, settings, client("sqs"), utc_now)


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Carry out the orders of an event, and name those that must come again."""
    trip_on_order = build()
    failed = []
    for record in event["Records"]:
        try:
            done = trip_on_order(record, context)
        except Exception:
            # The id is enough to find it; the fuse's records say how far it got.
            logger.exception("message %s was not carried out", record["messageId"])
            trip_on_order.see_again(record, wait_seconds(record))
            done = False
        if not done:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
