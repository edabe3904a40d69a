"""The usage queue, as people reach it: records go in again, and what it gave up on is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.errors import UnavailableError
from spendfuse.ledger.quarantine import MAX_PACK_BYTES

_MAX_ENTRIES = 10
"""SQS's limit for one SendMessageBatch call."""


class DeadLetters(NamedTuple):
    """The usage queue's dead-letter queue."""

    messages: int
    """About as many: SQS does not count exactly."""
    queue_arn: str


def dead_letters(sqs: Any, queue_url: str) -> DeadLetters:
    """Return what lies in the dead-letter queue.

    Raises:
        UnavailableError: it can't be read.
    """
    names = ["ApproximateNumberOfMessages", "QueueArn"]
    try:
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    except (BotoCoreError, ClientError) as error:
        raise UnavailableError(f"the dead-letter queue can't be read: {error}") from error
    found = answer["Attributes"]
    return DeadLetters(int(found["ApproximateNumberOfMessages"]), found["QueueArn"])


def send(sqs: Any, queue_url: str, packs: Sequence[str]) -> Iterator[tuple[int, str | None]]:
    """Send packs, several in one call, and yield each one's position and why it was refused.

    Yields after each call, so that what was sent is known even when a later call fails.

    Raises:
        UnavailableError: the queue can't be reached; what was not yielded may or may not be there.
    """
    for batch in _batches(packs):
        entries = [{"Id": str(position), "MessageBody": packs[position]} for position in batch]
        try:
            answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(f"the usage queue can't be reached: {error}") from error
        refused = {each["Id"]: each for each in answer.get("Failed", ())}
        for position in batch:
            failure = refused.get(str(position))
            yield position, failure and str(failure.get("Message") or failure.get("Code"))


def _batches(packs: Sequence[str]) -> Iterable[list[int]]:
    batch: list[int] = []
    size = 0
    for position, pack in enumerate(packs):
        if batch and (len(batch) == _MAX_ENTRIES or size + len(pack) > MAX_PACK_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(position)
        size += len(pack)
    if batch:
        yield batch
