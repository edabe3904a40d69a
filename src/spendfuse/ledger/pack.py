"""Packs: the messages in which usage records travel. The schema is docs/pack.schema.json.

A pack that can't be read is refused whole. A record that can't be read is rejected with its
reason, and the rest of its pack counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from spendfuse.clock import parse_utc
from spendfuse.errors import InputError

SCHEMA = 1
MAX_COST_NANO_USD = 10**15
"""A million dollars for one call is a unit error, not a bill."""
MAX_ID_BYTES = 256
_DIGEST_CHARACTERS = 16
MAX_ATTRIBUTES = 50
LATEST_USAGE = timedelta(days=35)
"""How late usage may arrive; the ledger keeps its markers as long."""

# A pack's own latency must not move a record past midnight, so that only a clock
# that is plainly wrong is corrected.
_CLOCK_TOLERANCE = timedelta(seconds=60)
# What arrives later than this after it was sent was held up: a spilled pack, or one that came
# back from the dead-letter queue. Its own time is right.
_SLOWEST_CLOCK = timedelta(minutes=15)
_EARLIEST_FUTURE = timedelta(minutes=5)


class MalformedPackError(InputError):
    """The message is not a pack that this recorder reads; nothing of it was counted."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One LLM call, as far as the ledger needs it."""

    id: str
    at: datetime
    """When the call was made, the sender's clock corrected."""
    cost_nano_usd: int | None
    """None when the sender could not price it: counted as unpriced, never as $0."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    provider: str = ""
    """Both empty where the sender does not say."""

    @property
    def matched_on(self) -> Mapping[str, str]:
        """What budgets match on: the attributes, and model and provider beside them."""
        named = {"model": self.model, "provider": self.provider}
        return {**self.attributes, **{name: text for name, text in named.items() if text}}


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that can't be counted, kept for people to look at."""

    position: int
    reason: str
    raw: str
    """The record's JSON text, as it came."""


@dataclass(frozen=True, slots=True)
class Pack:
    id: str
    records: tuple[UsageRecord, ...]
    rejected: tuple[RejectedRecord, ...] = ()


def read_pack(text: str, *, received_at: datetime) -> Pack:
    """Return the pack in a message.

    Args:
        text: the message's body.
        received_at: when the queue accepted it; the sender's clock is measured against it.

    Raises:
        MalformedPackError: not a pack of this schema; says why.
    """
    raw = _pack_object(text)
    clock_error = _clock_error(raw, received_at)
    records: dict[str, UsageRecord] = {}
    rejected = []
    for position, item in enumerate(raw["records"]):
        try:
            record = _record(item, clock_error, received_at)
        except InputError as error:
            raw_item = json.dumps(item, ensure_ascii=False)
            rejected.append(RejectedRecord(position, str(error), raw_item))
        else:
            # A sender that retries may pack a record twice; one id is one call.
            records.setdefault(record.id, record)
    return Pack(raw["id"], tuple(records.values()), tuple(rejected))


def _pack_object(text: str) -> dict[str, Any]:
    try:
        raw = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedPackError(f"the message is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise MalformedPackError("the message is JSON, but not an object")
    if raw.get("schema") != SCHEMA:
        raise MalformedPackError(
            f"the pack has schema {raw.get('schema')!r}; this recorder reads schema {SCHEMA}"
        )
    if not _is_id(raw.get("id")):
        raise MalformedPackError(f"the pack's id must be text of 1 to {MAX_ID_BYTES} bytes")
    if not isinstance(raw.get("records"), list):
        raise MalformedPackError("the pack's records must be a list")
    return raw


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _clock_error(raw: Mapping[str, Any], received_at: datetime) -> timedelta:
    """Return how far the sender's clock is behind ours; zero where nothing says that it is.

    Nothing arrives before it is sent, so a clock that is ahead is always seen.
    """
    try:
        error = received_at - parse_utc(raw.get("sent_at"))
    except InputError as reason:
        raise MalformedPackError(f"sent_at: {reason}") from reason
    is_wrong = error < -_CLOCK_TOLERANCE or _CLOCK_TOLERANCE < error <= _SLOWEST_CLOCK
    return error if is_wrong else timedelta(0)


def _record(item: object, clock_error: timedelta, received_at: datetime) -> UsageRecord:
    if not isinstance(item, dict):
        raise InputError(f"expected an object, got {type(item).__name__}")
    if not _is_id(item.get("id")):
        raise InputError(f"id: expected text of 1 to {MAX_ID_BYTES} bytes")
    return UsageRecord(
        id=item["id"],
        at=_time(item.get("at"), clock_error, received_at),
        cost_nano_usd=_cost(item.get("cost_nano_usd")),
        attributes=_attributes(item.get("attributes") or {}),
        model=_name(item, "model"),
        provider=_name(item, "provider"),
    )


def cut_id(text: str) -> str:
    """Return text that fits a key, as the SDK cuts it: a long one ends in a hash of the whole."""
    raw = text.encode(errors="replace")
    if len(raw) <= MAX_ID_BYTES:
        return raw.decode()
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{raw[: MAX_ID_BYTES - _DIGEST_CHARACTERS - 1].decode(errors='ignore')}~{digest}"


def _name(item: Mapping[str, Any], field_name: str) -> str:
    value = item.get(field_name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{field_name}: expected text, got {value!r}")
    return cut_id(value or "")


def _is_id(value: object) -> bool:
    """Bytes, because DynamoDB's keys are bounded in bytes; and text that can be encoded at all."""
    if not isinstance(value, str) or not value:
        return False
    try:
        return len(value.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False


def _time(text: object, clock_error: timedelta, received_at: datetime) -> datetime:
    at = parse_utc(text)
    try:
        at += clock_error
    except OverflowError as error:
        raise InputError(f"at: {text!r} is no time of ours") from error
    if at < received_at - LATEST_USAGE:
        raise InputError(
            f"at: {text!r} is more than {LATEST_USAGE.days} days before it was received"
        )
    if at > received_at + _EARLIEST_FUTURE:
        raise InputError(f"at: {text!r} is more than 5 minutes after it was received")
    return at


def _cost(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"cost_nano_usd: expected an integer or null, got {value!r}")
    if value < 0:
        raise InputError(f"cost_nano_usd: {value} is negative; corrections are made in the ledger")
    if value > MAX_COST_NANO_USD:
        raise InputError(f"cost_nano_usd: {value} is above {MAX_COST_NANO_USD}, a million dollars")
    return value


def _attributes(raw: object) -> dict[str, str]:
    if not isinstance(raw, dict) or len(raw) > MAX_ATTRIBUTES:
        raise InputError(f"attributes: expected an object of at most {MAX_ATTRIBUTES} texts")
    known = {key: value for key, value in raw.items() if value is not None}
    for key, value in known.items():
        if not _is_id(value):
            raise InputError(f"attributes.{key}: expected text of 1 to {MAX_ID_BYTES} bytes")
    return known
