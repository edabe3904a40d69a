"""Packs: the messages in which usage records travel. The schema is docs/pack.schema.json.

A pack that can't be read is refused whole. A record that can't be read is rejected with its
reason, and the rest of its pack counts. What a record says beside its money (tokens, latency,
status) never costs the money: what can't be read there is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from spendfuse.budget import Budget
from spendfuse.clock import parse_utc, utc_text
from spendfuse.errors import InputError

SCHEMA = 1
MAX_COST_NANO_USD = 10**15
"""A million dollars for one call is a unit error, not a bill."""
MAX_ID_BYTES = 256
_DIGEST_CHARACTERS = 16
MAX_ATTRIBUTES = 50
MAX_TOKENS = 10**12
MAX_LATENCY_MS = 86_400_000
"""A day. What is above either was counted in another unit, and is left out."""
LATEST_USAGE = timedelta(days=35)
"""How late usage may arrive; the ledger keeps its markers as long."""

# A pack's own latency must not move a record past midnight, so that only a clock
# that is plainly wrong is corrected.
_CLOCK_TOLERANCE = timedelta(seconds=60)
# What arrives later than this after it was sent has either been held up (spilled, or back from
# the dead-letter queue: its own time is right), or its sender's clock is slow by as much.
_SLOWEST_CLOCK = timedelta(minutes=15)
# A clock may be wrong by a time zone and a summer time. Beyond that it was held up.
_WRONG_ZONE = timedelta(hours=25)
_EARLIEST_FUTURE = timedelta(minutes=5)
_NO_TIME = timedelta(0)
_SHOWN_CHARACTERS = 80


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
    input_tokens: int = 0
    """All input, what was read from or written to a prompt cache included; 0 if unknown."""
    output_tokens: int = 0
    """All output, reasoning included."""
    latency_ms: float | None = None
    is_error: bool = False
    is_cached: bool = False
    """Answered from the app's own cache: nothing was sent to the provider."""

    @property
    def matched_on(self) -> Mapping[str, str]:
        """What budgets match on: the attributes, and model and provider beside them."""
        matched_on = dict(self.attributes)
        if self.model:
            matched_on["model"] = self.model
        if self.provider:
            matched_on["provider"] = self.provider
        return matched_on


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that can't be counted, kept for people to look at."""

    position: int
    reason: str
    raw: str
    """The record's JSON text; empty where it is nested too deeply to be written."""


@dataclass(frozen=True, slots=True)
class Pack:
    id: str
    records: tuple[UsageRecord, ...]
    rejected: tuple[RejectedRecord, ...]
    received_at: datetime
    """When the queue accepted it."""


class _Clock(NamedTuple):
    """What a pack's way to us says of its sender's clock."""

    correction: timedelta = _NO_TIME
    doubt: timedelta = _NO_TIME
    """How slow the clock may be, unless the pack was held up as long."""


def read_pack(text: str, *, received_at: datetime, doubted_by: Sequence[Budget] = ()) -> Pack:
    """Return the pack in a message.

    Args:
        text: the message's body.
        received_at: when the queue accepted it; the sender's clock is measured against it.
        doubted_by: where a pack was either held up or sent by a slow clock, records that would
            count in another period of one of these budgets are rejected. Without budgets, such
            a pack counts by its own time.

    Raises:
        MalformedPackError: not a pack of this schema; says why.
    """
    raw = _pack_object(text)
    clock = _clock(raw, received_at)
    records: dict[str, UsageRecord] = {}
    rejected = []
    for position, item in enumerate(raw["records"]):
        try:
            record = _record(item, clock.correction, received_at)
            if clock.doubt:
                _check_periods(record, clock.doubt, doubted_by)
        except InputError as error:
            rejected.append(RejectedRecord(position, str(error), _raw(item)))
        else:
            # A sender that retries may pack a record twice; one id is one call.
            records.setdefault(record.id, record)
    return Pack(raw["id"], tuple(records.values()), tuple(rejected), received_at)


def _pack_object(text: str) -> dict[str, Any]:
    try:
        # Python's NaN and Infinity are read too: they cost the record that has them, no more.
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedPackError(f"the message is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise MalformedPackError("the message is JSON, but not an object")
    if raw.get("schema") != SCHEMA:
        raise MalformedPackError(
            f"the pack has schema {_shown(raw.get('schema'))}; this recorder reads schema {SCHEMA}"
        )
    if not _is_id(raw.get("id")):
        raise MalformedPackError(f"the pack's id must be text of 1 to {MAX_ID_BYTES} bytes")
    if not isinstance(raw.get("records"), list):
        raise MalformedPackError("the pack's records must be a list")
    return raw


def _clock(raw: Mapping[str, Any], received_at: datetime) -> _Clock:
    """Return how far the sender's clock is behind ours; zero where nothing says that it is.

    Nothing arrives before it is sent, so a clock that is ahead is always seen.
    """
    try:
        error = received_at - _utc(raw.get("sent_at"))
    except InputError as reason:
        raise MalformedPackError(f"sent_at: {reason}") from reason
    if error < -_CLOCK_TOLERANCE or _CLOCK_TOLERANCE < error <= _SLOWEST_CLOCK:
        return _Clock(correction=error)
    if _SLOWEST_CLOCK < error <= _WRONG_ZONE:
        return _Clock(doubt=error)
    return _Clock()


def _check_periods(record: UsageRecord, doubt: timedelta, budgets: Sequence[Budget]) -> None:
    """Reject a record that a slow clock would have put into another period."""
    matched_on = record.matched_on
    for budget in budgets:
        if not budget.matches(matched_on):
            continue
        own, corrected = (budget.period_at(each).key for each in (record.at, record.at + doubt))
        if own != corrected:
            raise InputError(
                f"at: {utc_text(record.at)} by the sender's clock, {utc_text(record.at + doubt)} "
                f"by ours: the pack came {_hours(doubt)} after its sent_at, so either it was held "
                f"up or that clock is slow, and budget {budget.name!r} would count it in {own} or "
                f"in {corrected}. If it was held up, `spendfuse ledger quarantine retry` counts "
                "it by the sender's time; if the clock is slow, set it right and "
                "`spendfuse ledger adjust`"
            )


def _hours(length: timedelta) -> str:
    minutes = round(length / timedelta(minutes=1))
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _raw(item: object) -> str:
    try:
        return json.dumps(item, ensure_ascii=False)
    except RecursionError:  # some Pythons read more deeply nested JSON than they write
        return ""


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # an int of more digits than Python prints
        return f"a {type(value).__name__} that can't be shown"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _record(item: object, correction: timedelta, received_at: datetime) -> UsageRecord:
    if not isinstance(item, dict):
        raise InputError(f"expected an object, got {type(item).__name__}")
    if not _is_id(item.get("id")):
        raise InputError(f"id: expected text of 1 to {MAX_ID_BYTES} bytes")
    tokens = item.get("tokens")
    if not isinstance(tokens, dict):
        tokens = {}
    return UsageRecord(
        id=item["id"],
        at=_time(item.get("at"), correction, received_at),
        cost_nano_usd=_cost(item.get("cost_nano_usd")),
        attributes=_attributes(item.get("attributes") or {}),
        model=_name(item, "model"),
        provider=_name(item, "provider"),
        input_tokens=_tokens(tokens.get("input_tokens")),
        output_tokens=_tokens(tokens.get("output_tokens")),
        latency_ms=_latency(item.get("latency_ms")),
        is_error=item.get("status") == "error",
        is_cached=item.get("cached") is True,
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
        raise InputError(f"{field_name}: expected text, got {_shown(value)}")
    return cut_id(value or "")


def _is_id(value: object) -> bool:
    """Bytes, because DynamoDB's keys are bounded in bytes; and text that can be encoded at all."""
    if not isinstance(value, str) or not value:
        return False
    try:
        return len(value.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False


def _utc(value: object) -> datetime:
    if not isinstance(value, str) or len(value) > _SHOWN_CHARACTERS:
        raise InputError(f"expected a time with a zone, got {_shown(value)}")
    return parse_utc(value)


def _tokens(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= MAX_TOKENS else 0


def _latency(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A comparison with NaN is false.
    return value if 0 <= value <= MAX_LATENCY_MS else None


def _time(text: object, correction: timedelta, received_at: datetime) -> datetime:
    at = _utc(text)
    try:
        at += correction
    except OverflowError as error:
        raise InputError(f"at: {_shown(text)} is no time of ours") from error
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
        raise InputError(f"cost_nano_usd: expected an integer or null, got {_shown(value)}")
    if value < 0:
        raise InputError(
            f"cost_nano_usd: {_shown(value)} is negative; corrections are made in the ledger"
        )
    if value > MAX_COST_NANO_USD:
        raise InputError(
            f"cost_nano_usd: {_shown(value)} is above {MAX_COST_NANO_USD}, a million dollars"
        )
    return value


def _attributes(raw: object) -> dict[str, str]:
    if not isinstance(raw, dict) or len(raw) > MAX_ATTRIBUTES:
        raise InputError(f"attributes: expected an object of at most {MAX_ATTRIBUTES} texts")
    known = {key: value for key, value in raw.items() if value is not None}
    for key, value in known.items():
        if not _is_id(value):
            raise InputError(
                f"attributes.{_shown(key)[1:-1]}: expected text of 1 to {MAX_ID_BYTES} bytes"
            )
    return known
