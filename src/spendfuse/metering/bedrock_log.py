"""Bedrock's model-invocation log as records: whose call, what it used, what it cost.

Bedrock writes an entry a call, CloudWatch Logs delivers them in batches. What has no price here
is recorded without one, and never as $0; what can't be read is counted by the id of its log event.
Bodies are never copied.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.clock import parse_utc
from spendfuse.errors import InputError
from spendfuse.metering.attribution import attribute_text
from spendfuse.metering.bedrock_identity import attributes, is_metered_elsewhere
from spendfuse.metering.bedrock_usage import Entry, logged_tier, logged_usage
from spendfuse.metering.record import Record
from spendfuse.metering.usage import NO_USAGE, Usage

PROVIDER = "aws"
SCHEMA_TYPE = "ModelInvocationLog"

_ARN = re.compile(r"arn:[^:]*:(?:bedrock|sagemaker):[^:]*:\d*:(?P<kind>[^/]+)/(?P<id>.+)")
_NAMES_A_MODEL = ("foundation-model", "inference-profile")
_NOT_BY_THE_TOKEN = {
    "provisioned-model": "provisioned throughput is billed by the hour, not by the token",
    "imported-model": "an imported model is billed by the minute, not by the token",
    "endpoint": "a marketplace endpoint is billed by the hour, not by the token",
}
_NO_MODEL = "the log does not name its model; name it in bedrock_log.models"


class Cost(Protocol):
    """What the price book answers."""

    @property
    def nano_usd(self) -> int: ...
    @property
    def price(self) -> Any: ...


class Prices(Protocol):
    """The price book, as far as it is needed here."""

    def price(
        self, provider: str, model: str, usage: Usage, *, at: datetime, tier: str | None = None
    ) -> Cost: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch of log events, as CloudWatch Logs sends it to a function."""

    source: tuple[str, str, str]
    """Account, log group, log stream."""
    events: tuple[Any, ...]
    """Empty for a control message, which only asks whether somebody listens."""

    @property
    def event_ids(self) -> list[str]:
        return [_event_id(event) for event in self.events]


@dataclass(slots=True)
class Metered:
    """What became of a delivery's events."""

    records: list[Record] = field(default_factory=list)
    metered_elsewhere: int = 0
    foreign: int = 0
    """Lines that are no invocations: Bedrock writes one when it is given the log group."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """The id of each event, and why."""

    @property
    def unpriced(self) -> list[str]:
        """Why, for each record without a price."""
        return [each.problem or "" for each in self.records if each.cost_nano_usd is None]


def read_delivery(event: Mapping[str, Any]) -> Delivery:
    """Read what CloudWatch Logs hands to a function.

    Raises:
        InputError: it is no such message; nothing of it is known.
    """
    try:
        raw = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
        if raw["messageType"] == "CONTROL_MESSAGE":
            return Delivery(("", "", ""), ())
        source = (str(raw["owner"]), str(raw["logGroup"]), str(raw["logStream"]))
        return Delivery(source, tuple(raw["logEvents"]))
    # Base64, gzip, UTF-8, JSON and its keys: the message is broken, whichever it is.
    except (ValueError, LookupError, TypeError, OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"the event is no delivery of CloudWatch Logs ({type(error).__name__})"
        ) from error


def metered(events: Iterable[Any], rules: BedrockRules, prices: Prices) -> Metered:
    """Return the records of a delivery's events; no event stops those beside it."""
    found = Metered()
    for event in events:
        try:
            entry = _entry(event)
            if entry is None:
                found.foreign += 1
            elif is_metered_elsewhere(entry, rules):
                found.metered_elsewhere += 1
            else:
                found.records.append(_record(event, entry, rules, prices))
        except InputError as error:
            found.unreadable.append((_event_id(event), str(error)))
    return found


def _entry(event: Any) -> Entry | None:
    message = event.get("message") if isinstance(event, Mapping) else None
    if not isinstance(message, str):
        raise InputError("the event has no message")
    if not message.lstrip().startswith("{"):
        return None
    try:
        entry = json.loads(message)
    except (ValueError, RecursionError) as error:
        # Not the error's own text, which may quote the message.
        raise InputError("the message is no whole JSON object") from error
    return entry if entry.get("schemaType") == SCHEMA_TYPE else None


def _event_id(event: Any) -> str:
    value = event.get("id") if isinstance(event, Mapping) else None
    return attribute_text(value) if isinstance(value, str) and value else "without an id"


def _record(event: Any, entry: Entry, rules: BedrockRules, prices: Prices) -> Record:
    at, model, error = _time(event, entry), _model(entry, rules), entry.get("errorCode")
    priced = _priced(entry, model, at, prices)
    return Record(
        id=_record_id(event, entry),
        at=at,
        provider=PROVIDER,
        model=attribute_text(model.name),
        usage=priced.usage,
        cost_nano_usd=priced.nano_usd,
        attributes=attributes(entry, rules),
        price_version=priced.version,
        status="error" if error else "ok",
        error_type=attribute_text(error) if isinstance(error, str) and error else None,
        problem=priced.problem,
    )


def _record_id(event: Any, entry: Entry) -> str:
    request_id = entry.get("requestId")
    is_text = isinstance(request_id, str) and request_id
    return attribute_text(request_id) if is_text else _event_id(event)


def _time(event: Any, entry: Entry) -> datetime:
    """Return Bedrock's time of the call; the log event's own where that can't be read."""
    try:
        return parse_utc(entry.get("timestamp"))
    except InputError:
        pass
    try:
        return datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
        raise InputError("neither the entry nor its log event has a time") from error


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    problem: str | None = None
    """Why the price book can't be asked for it."""


def _model(entry: Entry, rules: BedrockRules) -> _Model:
    named = entry.get("modelId")
    if not isinstance(named, str) or not named:
        return _Model("unknown", "the entry names no model")
    arn = _ARN.fullmatch(named)
    short = arn["id"] if arn else named
    mapped = rules.models.get(named) or rules.models.get(short)
    if mapped:
        return _Model(mapped)
    if arn is None or arn["kind"] in _NAMES_A_MODEL:
        return _Model(short)
    problem = _NOT_BY_THE_TOKEN.get(arn["kind"], _NO_MODEL)
    return _Model(f"{arn['kind']}/{short}", problem)


class _Priced(NamedTuple):
    usage: Usage = NO_USAGE
    nano_usd: int | None = None
    version: str = ""
    problem: str | None = None


def _priced(entry: Entry, model: _Model, at: datetime, prices: Prices) -> _Priced:
    usage: Usage | None = None
    try:
        usage = logged_usage(entry)
        if usage is None:
            return _nothing_counted(entry)
        if model.problem:
            return _Priced(usage, problem=model.problem)
        cost = prices.price(PROVIDER, model.name, usage, at=at, tier=logged_tier(entry))
        return _Priced(usage, cost.nano_usd, cost.price.version)
    except InputError as error:
        return _Priced(usage or NO_USAGE, problem=str(error))


def _nothing_counted(entry: Entry) -> _Priced:
    if entry.get("errorCode"):
        return _Priced(nano_usd=0)  # Refused before it used anything: Bedrock bills nothing.
    return _Priced(problem="the log has no token counts for it")
