"""Usage queue → ledger.

A message that is no pack goes to the dead-letter queue at once and with its reason; waiting
for the queue's own redrive would lose the reason. So does one of whose rejected records the
quarantine can't hold all, and its good records count nevertheless. What fails for now is left to
SQS, which delivers it again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from lambdas import definitions_file
from lambdas.clients import client
from lambdas.record_usage.settings import Settings
from spendfuse.budget import Budget
from spendfuse.clock import utc_now
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import MalformedPackError, Pack, read_pack
from spendfuse.ledger.posting import Posting, posting

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_REASON_CHARACTERS = 500


@dataclass(frozen=True)
class RecordUsage:
    """Counts the packs of one delivery; what can't be kept elsewhere goes to ``dead_letters``."""

    ledger: DynamoLedger
    budgets: tuple[Budget, ...]
    dead_letters: DeadLetters
    now: Callable[[], datetime]

    def __call__(self, messages: list[dict[str, Any]]) -> list[str]:
        """Return the ids of the messages to be delivered again."""
        postings: dict[str, Posting] = {}
        failed = []
        for message in messages:
            try:
                adds = self._readable(message)
            except Exception:
                logger.exception("message %s was not taken", message["messageId"])
                failed.append(message["messageId"])
            else:
                postings |= {message["messageId"]: adds} if adds else {}
        return failed + self._post(postings)

    def _readable(self, message: dict[str, Any]) -> Posting | None:
        """Return what the message's pack adds, its rejected records kept; None if refused."""
        try:
            pack = read_pack(
                message["body"], received_at=_sent_at(message), doubted_by=self._doubts(message)
            )
        except MalformedPackError as error:
            self.dead_letters.put(message, str(error))
            return None
        if pack.rejected:
            self._set_apart(message, pack)
        return posting(pack, self.budgets)

    def _doubts(self, message: dict[str, Any]) -> tuple[Budget, ...]:
        # A message that comes back from the dead-letter queue has a new time of arrival, and says
        # nothing of its sender's clock. Those that we put there can be told by their reason.
        return () if "reason" in message.get("messageAttributes", {}) else self.budgets

    def _set_apart(self, message: dict[str, Any], pack: Pack) -> None:
        """Keep the pack's rejected records, in quarantine or (all of it) as a dead letter."""
        logger.warning("pack %s: %d records rejected", pack.id, len(pack.rejected))
        left = self.ledger.quarantine(pack, self.now())
        if left:
            self.dead_letters.put(
                message,
                f"{len(left)} of {len(pack.rejected)} rejected records are not whole in "
                f"quarantine; the {len(pack.records)} good ones count. The first of them, "
                f"record {left[0].position}: {left[0].reason}",
            )

    def _post(self, postings: dict[str, Posting]) -> list[str]:
        try:
            new = self.ledger.post(list(postings.values()), self.now())
        except Exception:
            # Packs that were counted have their markers: delivered again, they change nothing.
            logger.exception("%d packs will be delivered again", len(postings))
            return list(postings)
        logger.info("%d packs counted, %d known already", new, len(postings) - new)
        return []


@dataclass(frozen=True)
class DeadLetters:
    """The usage queue's dead-letter queue, with the reason beside each message."""

    client: Any
    queue_url: str

    def put(self, message: dict[str, Any], reason: str) -> None:
        reason = _printable(reason)
        logger.error("message %s to the dead letters: %s", message["messageId"], reason)
        self.client.send_message(
            QueueUrl=self.queue_url,
            MessageBody=message["body"],
            MessageAttributes={
                "reason": {"DataType": "String", "StringValue": reason},
                "message_id": {"DataType": "String", "StringValue": message["messageId"]},
            },
        )


@cache
def build() -> RecordUsage:
    """Wire the recorder to AWS, on the first event and not on import."""
    settings = Settings.from_env(os.environ)
    return RecordUsage(
        ledger=DynamoLedger(client("dynamodb"), settings.ledger_table),
        budgets=definitions_file.load().budgets,
        dead_letters=DeadLetters(client("sqs"), settings.dead_letter_queue_url),
        now=utc_now,
    )


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Return the messages that SQS should deliver again."""
    failed = build()(event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _printable(reason: str) -> str:
    """Return what SQS takes as an attribute: some characters it refuses."""
    shown = "".join(each if each.isprintable() else "?" for each in reason)
    return shown[:_REASON_CHARACTERS]


def _sent_at(message: dict[str, Any]) -> datetime:
    milliseconds = int(message["attributes"]["SentTimestamp"])
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
