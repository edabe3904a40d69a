"""Packs records for the usage queue: the messages of docs/pack.schema.json.

A pack's text is ASCII, so its bytes are its characters and the queue takes every one of them. It
begins with the time of sending, at a fixed place: the same pack gets a new one at each attempt,
because the recorder measures the sender's clock with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spendfuse.clock import utc_text
from spendfuse.errors import InputError
from spendfuse.metering.attribution import MAX_ATTRIBUTES, attribute_text
from spendfuse.metering.record import Record

MAX_PACK_BYTES = 240_000
MAX_PACK_RECORDS = 500
MAX_PACK_KEYS = 10
"""API keys in one pack: each adds a counter a budget to the ledger's one transaction."""

_BEGINNING = '{"schema":1,"sent_at":"'
_TIME_CHARACTERS = len("2026-11-21T22:13:34.125Z")
_REST = re.compile(r'","id":"(?P<id>[0-9A-Za-z-]{1,64})","created_at":"[^"]*","records":\[')
_END = "]}"
# All that stands around a pack's records: two times, an id of 64 characters, the names.
_FRAME_BYTES = 200
_CUT = ("provider", "model", "price_version", "status", "error_type")

# NaN would make the recorder refuse the whole pack; here it costs one record.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class UnreadablePackError(InputError):
    """The text is not a pack as this module writes them."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Records on their way to the queue, encoded."""

    id: str
    """Made once; the recorder counts it once, however often it is sent."""
    count: int
    """How many records it holds."""
    rest: str
    """Its text after the time of sending."""

    @property
    def size(self) -> int:
        """The bytes of its body."""
        return len(_BEGINNING) + _TIME_CHARACTERS + len(self.rest)

    def body(self, sent_at: datetime) -> str:
        """Return the message to send at this moment."""
        return f"{_BEGINNING}{utc_text(sent_at)}{self.rest}"


def read_back(body: str, count: int) -> Pack:
    """Return the pack of a body that was written down.

    Raises:
        UnreadablePackError: it is not whole, or was not written by ``Pack.body``.
    """
    rest = body[len(_BEGINNING) + _TIME_CHARACTERS :]
    found = _REST.match(rest)
    if not body.startswith(_BEGINNING) or found is None or not rest.endswith(_END):
        raise UnreadablePackError("the file holds no whole pack of schema 1")
    return Pack(found["id"], count, rest)


def pack_records(
    records: Iterable[Record],
    *,
    created_at: datetime,
    new_id: Callable[[], str],
    refuse: Callable[[Exception], None],
    max_bytes: int = MAX_PACK_BYTES,
    max_records: int = MAX_PACK_RECORDS,
) -> list[Pack]:
    """Return packs of the records, in their order.

    Records of many API keys come in fewer packs when they are ordered ``by_key``.

    Args:
        records: what to pack.
        created_at: stands in each pack.
        new_id: makes pack ids; letters, digits and hyphens, at most 64.
        refuse: called with the reason for each record that can't be packed; the rest are.
        max_bytes: of a pack's body.
        max_records: in a pack.
    """
    packs: list[Pack] = []
    texts: list[str] = []
    keys: set[str] = set()
    room = max_bytes - _FRAME_BYTES
    size = 0
    for record in records:
        try:
            text = _record_text(record, room)
        except Exception as error:  # noqa: BLE001 (one bad record must not cost its neighbours)
            refuse(error)
            continue
        key = record.attributes.get("key_id")
        is_full = size + len(text) > room or len(texts) == max_records
        if texts and (is_full or _is_one_key_too_many(key, keys)):
            packs.append(_pack(new_id(), created_at, texts))
            texts, keys, size = [], set(), 0
        texts.append(text)
        size += len(text) + 1
        if key is not None:
            keys.add(key)
    if texts:
        packs.append(_pack(new_id(), created_at, texts))
    return packs


def by_key(records: Iterable[Record]) -> list[Record]:
    """Return the records with those of one API key together."""
    return sorted(records, key=lambda record: record.attributes.get("key_id") or "")


def _is_one_key_too_many(key: str | None, keys: set[str]) -> bool:
    return key is not None and len(keys) >= MAX_PACK_KEYS and key not in keys


def _pack(pack_id: str, created_at: datetime, texts: list[str]) -> Pack:
    head = f'","id":"{pack_id}","created_at":"{utc_text(created_at)}","records":['
    return Pack(pack_id, len(texts), f"{head}{','.join(texts)}{_END}")


def _record_text(record: Record, room: int) -> str:
    raw = record.to_json()
    text = _encode(raw)
    if len(text) > room:
        text = _encode(_cut(raw))
    if len(text) > room:
        raise InputError(f"it has {len(text)} bytes; a pack holds {room}")
    return text


def _cut(raw: dict[str, Any]) -> dict[str, Any]:
    """Cut texts to what the ledger takes: better than to lose what the call cost."""
    texts = {name: attribute_text(raw[name]) for name in _CUT if isinstance(raw[name], str)}
    attributes = [
        (attribute_text(name), attribute_text(value)) for name, value in raw["attributes"].items()
    ]
    return raw | texts | {"attributes": dict(attributes[:MAX_ATTRIBUTES])}
