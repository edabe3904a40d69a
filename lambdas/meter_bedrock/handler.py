"""Bedrock's invocation log → usage queue.

CloudWatch Logs calls this asynchronously: what it raises is tried twice more by Lambda, and then
lies in the usage queue's dead-letter queue. So whatever is wrong with one event is only counted
and logged, and what fails for all of them (a broken delivery, a queue that can't be reached) is
raised. Logs hold ids and counts; the events themselves may hold prompts.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from lambdas.clients import client
from lambdas.meter_bedrock.settings import Settings
from spendfuse.bedrock_rules import (
    FILE_NAME,
    PRICES_FILE_NAME,
    BedrockRules,
    bedrock_rules_from_json,
)
from spendfuse.clock import utc_now
from spendfuse.metering.bedrock_log import Metered, Prices, metered, read_delivery
from spendfuse.metering.bedrock_packs import packs
from spendfuse.metering.price_book import PriceBook

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_ASSET = Path(__file__).parents[2]
_SHOWN = 10
"""Lines about events and reasons, a delivery."""


@dataclass(frozen=True)
class MeterBedrock:
    """Sends what a delivery's calls cost to the usage queue."""

    rules: BedrockRules
    prices: Prices
    queue: UsageQueue
    now: Callable[[], datetime]

    def __call__(self, event: Mapping[str, Any]) -> Metered:
        """Return what became of the events, once all of their packs are sent.

        Raises:
            InputError: the event is no delivery of CloudWatch Logs.
        """
        delivery = read_delivery(event)
        found = metered(delivery.events, self.rules, self.prices)
        _log(found)
        for pack in packs(delivery, found.records, now=self.now()):
            self.queue.put(pack)
        return found


@dataclass(frozen=True)
class UsageQueue:
    """Where packs go; a pack that was sent twice counts once."""

    client: Any
    queue_url: str

    def put(self, pack: str) -> None:
        self.client.send_message(QueueUrl=self.queue_url, MessageBody=pack)


@cache
def build() -> MeterBedrock:
    """Wire the meter to AWS, on the first event and not on import."""
    settings = Settings.from_env(os.environ)
    return MeterBedrock(
        rules=bedrock_rules_from_json((_ASSET / FILE_NAME).read_text(encoding="utf-8")),
        prices=PriceBook.from_json((_ASSET / PRICES_FILE_NAME).read_text(encoding="utf-8")),
        queue=UsageQueue(client("sqs"), settings.usage_queue_url),
        now=utc_now,
    )


def handler(event: dict[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001
    """Return the counts, for whoever calls it by hand."""
    return _counts(build()(event))


def _counts(found: Metered) -> dict[str, int]:
    return {
        "metered": len(found.records),
        "unpriced": len(found.unpriced),
        "metered_elsewhere": found.metered_elsewhere,
        "foreign": found.foreign,
        "unreadable": len(found.unreadable),
    }


def _log(found: Metered) -> None:
    logger.info("calls: %s", _counts(found))
    for event_id, reason in found.unreadable[:_SHOWN]:
        logger.warning("log event %s can't be read: %s", event_id, reason)
    for reason, count in Counter(found.unpriced).most_common(_SHOWN):
        logger.warning("%d calls without a price: %s", count, reason)
