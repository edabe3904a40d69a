"""The usage queue: records in packs to SQS, from the background.

A queue that is slow, broken or gone costs the app nothing and loses nothing: what it does not
take waits on disk, whole packs, and is sent when it works again, by this process or another.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)

from spendfuse.clock import utc_now
from spendfuse.errors import InputError, SettingsError, SpendfuseError, UnavailableError
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import Background, Pace, gently, shown
from spendfuse.metering.sinks.packing import Pack, by_key, pack_records
from spendfuse.metering.sinks.sender import PackSender
from spendfuse.metering.sinks.sink import Sink, SinkHealth
from spendfuse.metering.sinks.spill import MAX_SPILL_BYTES, SpillFolder
from spendfuse.metering.sinks.wiring import Wiring

CONNECT_SECONDS = 2
READ_SECONDS = 5
ATTEMPTS = 3
OUTAGE_LINGER_SECONDS = 10.0
"""Nobody waits for packs that go to disk: fewer and larger files."""

_TOO_LONG = "BatchRequestTooLong"
_NEVER_TAKEN = {"InvalidMessageContents", "InvalidParameterValue", _TOO_LONG}
_THROTTLED = {
    "OverLimit",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "TooManyRequestsException",
}
_MENDABLE_HERE = (NoCredentialsError, NoRegionError, ParamValidationError, PartialCredentialsError)
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_-]")
_NAME_CHARACTERS, _DIGEST_CHARACTERS = 80, 12
_FIRST_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_REGION = re.compile(r"https://sqs\.(?P<region>[a-z0-9-]+)\.(amazonaws|api\.aws)")


class SqsSink:
    """Sends records to the usage queue.

    Args:
        connect: makes a boto3 SQS client; called on the background thread, once in each
            process: a forked child must not talk over its parent's connections. The sink
            closes it.
        queue_url: the usage queue's.
        spill_folder: where packs go that the queue does not take, in a folder of the queue's
            own; several processes may share it. None keeps 32 packs and ``pace.max_waiting``
            records in memory, and then drops.
        spill_bytes: how much may be on disk for the queue; above it the newest find no room.
        pace: how much may wait, how long, and how soon a failure is tried again.
        now: the wall clock, for the packs.
    """

    name = "sqs"

    def __init__(
        self,
        connect: Callable[[], Any],
        queue_url: str,
        *,
        spill_folder: Path | None = None,
        spill_bytes: int = MAX_SPILL_BYTES,
        pace: Pace | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        pace = pace or Pace()
        self._pace = pace
        self._now = now
        spill = None
        if spill_folder is not None:
            folder = spill_folder / _folder_name(queue_url)
            spill = SpillFolder(folder, max_bytes=spill_bytes)
        # Made first, because it feeds the sender: at exit it is closed first.
        self._background: Background[list[Pack]] = Background(
            self.name, self._packs, self._hand_on, pace=pace, clock=clock
        )
        self._sender = PackSender(
            self.name,
            lambda: SqsQueue(connect(), queue_url),
            spill=spill,
            pace=pace,
            now=now,
            clock=clock,
        )
        self.emit: Callable[[Record], None] = self._background.emit

    def flush(self, timeout_seconds: float) -> bool:
        """Return whether all that was emitted before is in the queue or on disk.

        The queue gets three quarters of the time; what it has not taken then is written down.
        """
        deadline = time.monotonic() + timeout_seconds
        is_packed = self._background.flush(timeout_seconds)
        return self._sender.flush(max(0.0, deadline - time.monotonic())) and is_packed

    def close(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        self._background.close(timeout_seconds)
        self._sender.close(max(0.0, deadline - time.monotonic()))

    def health(self) -> SinkHealth:
        """Return what became of the records.

        ``waiting`` counts all that is in the spill folder, and ``delivered`` what was sent from
        it, whichever process wrote it.
        """
        packing, sender = self._background.health(), self._sender
        return SinkHealth(
            accepted=packing.accepted,
            delivered=sender.delivered,
            waiting=packing.waiting + sender.waiting(),
            dropped=packing.dropped + sender.dropped,
            failures=packing.failures + sender.failures,
            last_error=sender.last_error or packing.last_error,
        )

    def _packs(self, records: list[Record]) -> list[Pack]:
        return pack_records(
            gently(by_key(records)),
            created_at=self._now(),
            new_id=_pack_id,
            refuse=lambda error: self._background.refuse(1, shown(error)),
        )

    def _hand_on(self, packs: list[Pack]) -> None:
        self._sender.take(packs)
        usual = self._pace.linger_seconds
        outage = max(usual, OUTAGE_LINGER_SECONDS)
        self._background.linger_seconds = outage if self._sender.is_failing else usual


def _folder_name(queue_url: str) -> str:
    """Return a name of the queue's own, so that no pack ever goes to another queue."""
    digest = hashlib.sha256(queue_url.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    name = _NOT_IN_NAMES.sub("-", queue_url.rstrip("/").rpartition("/")[2])
    return f"{name[:_NAME_CHARACTERS]}-{digest}"


def _pack_id() -> str:
    return secrets.token_hex(16)


class SqsQueue:
    """The queue, with SQS's errors told apart by what to do about them."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url
        self._one_by_one = False

    def send(self, bodies: Sequence[str]) -> list[SpendfuseError | None]:
        """Send up to ten messages; return for each None, or why it was not stored.

        Raises:
            SettingsError: the queue or the right to send is missing; nothing was stored.
            UnavailableError: not now. The messages may be stored all the same.
        """
        if self._one_by_one and len(bodies) > 1:
            return self._each_alone(bodies)
        try:
            return self._send_request(bodies)
        except InputError as error:
            if len(bodies) == 1:
                return [error]
            # A queue may have a lower limit than SQS itself; each pack fits by itself.
            self._one_by_one |= isinstance(error, _TooLongError)
            return self._each_alone(bodies)

    def close(self) -> None:
        self._client.close()

    def _each_alone(self, bodies: Sequence[str]) -> list[SpendfuseError | None]:
        return [result for body in bodies for result in self.send([body])]

    def _send_request(self, bodies: Sequence[str]) -> list[SpendfuseError | None]:
        entries = [
            {"Id": str(position), "MessageBody": body} for position, body in enumerate(bodies)
        ]
        try:
            answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except ClientError as error:
            raise _problem(error) from error
        except _MENDABLE_HERE as error:
            raise SettingsError(f"{error}; give the process credentials and a region") from error
        except BotoCoreError as error:
            raise UnavailableError(f"SQS can't be reached: {type(error).__name__}") from error
        return _results(answer, len(bodies))


class _TooLongError(InputError):
    pass


def _results(answer: Mapping[str, Any], count: int) -> list[SpendfuseError | None]:
    results: list[SpendfuseError | None] = [
        UnavailableError("SQS's answer does not name the message")
    ] * count
    for entry in answer.get("Successful", ()):
        results[int(entry["Id"])] = None
    for entry in answer.get("Failed", ()):
        status = 400 if entry.get("SenderFault") else _FIRST_SERVER_ERROR
        results[int(entry["Id"])] = _told_apart(
            entry.get("Code", "?"), status, entry.get("Message", "")
        )
    return results


def _problem(error: ClientError) -> SpendfuseError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details = error.response.get("Error", {})
    return _told_apart(details.get("Code", "?"), status, details.get("Message", ""))


def _told_apart(code: str, status: int, message: str) -> SpendfuseError:
    name = code.rpartition(".")[2]
    if status >= _FIRST_SERVER_ERROR or status == _TOO_MANY_REQUESTS:
        return UnavailableError(f"SQS can't take packs now: {code}")
    if name in _THROTTLED or "Throttl" in name:
        return UnavailableError(f"SQS throttles: {code}")
    if name == _TOO_LONG:
        return _TooLongError(f"{code}: raise the queue's MaximumMessageSize to 256 KB or more")
    if name in _NEVER_TAKEN:
        return InputError(f"{code}: {message}")
    return SettingsError(f"SQS refuses: {code}; see that the queue exists and may be sent to")


def open_sink(
    wiring: Wiring,
    *,
    queue_url: str,
    spill_folder: str | None = None,
    spill_mb: int = MAX_SPILL_BYTES // 2**20,
) -> Sink:
    """Return the sink; the app's own client is used in this process, and not in forked ones."""
    here = os.getpid()

    def connect() -> Any:
        if wiring.sqs is not None and os.getpid() == here:
            return _Borrowed(wiring.sqs)
        return sqs_client(queue_url)

    return SqsSink(
        connect,
        queue_url,
        spill_folder=None if spill_folder is None else Path(spill_folder).expanduser(),
        spill_bytes=spill_mb * 2**20,
        now=wiring.now,
    )


class _Borrowed:
    """The app's own client, which the app goes on using when the sink is closed."""

    def __init__(self, client: Any) -> None:
        self.send_message_batch = client.send_message_batch

    def close(self) -> None:
        """Leave it open."""


def sqs_client(queue_url: str) -> Any:
    """Return a client for the queue's region that gives up soon: what fails waits on disk."""
    found = _REGION.match(queue_url)
    # A session of its own, because boto3's default one is not for several threads.
    return boto3.session.Session().client(
        "sqs",
        region_name=found["region"] if found else None,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        ),
    )
