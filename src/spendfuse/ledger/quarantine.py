"""Records that could not be counted: what became of them, and how they are sent once more. Pure.

A record travels again alone, in a pack whose id follows from where the record lay. So it counts
once, however often and beside whichever others it is sent.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime

from spendfuse.clock import utc_text
from spendfuse.errors import InputError
from spendfuse.ledger.pack import SCHEMA

MAX_PACK_BYTES = 240_000
_RETRY_ID = "retry-"
_DIGEST_CHARACTERS = 32
_CUT = re.compile(r"\.\.\. \(\d+ bytes more\)\Z")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record as it lies in quarantine."""

    day: str
    """On which it was put there, UTC: ``2026-11-21``."""
    pack_id: str
    position: int
    """Of the record in its pack, from 0."""
    reason: str
    record: str
    """Its JSON text as it came, unless it was cut."""
    quarantined_at: datetime | None = None
    retried_at: datetime | None = None
    """When it was last sent again; None while it waits."""

    @property
    def id(self) -> str:
        """Its name for people: ``<pack id>#<position>``."""
        return f"{self.pack_id}#{self.position}"

    @property
    def retry_id(self) -> str:
        """The id of the pack in which it is sent again.

        Of the place in the pack and not of the day: a pack that is delivered on both sides of
        midnight leaves one record on two days.
        """
        digest = hashlib.sha256(self.id.encode(errors="replace")).hexdigest()
        return f"{_RETRY_ID}{digest[:_DIGEST_CHARACTERS]}"

    def retry_pack(self, sent_at: datetime) -> str:
        """Return the pack, as text, in which the record is sent again.

        Raises:
            InputError: it can't be sent; says why.
        """
        record = self._sendable_record()
        at = json.dumps(utc_text(sent_at))
        # The record's own text, so that nothing of it changes on the way.
        pack = (
            f'{{"schema": {SCHEMA}, "id": {json.dumps(self.retry_id)}, "created_at": {at}, '
            f'"sent_at": {at}, "records": [{record}]}}'
        )
        if len(pack) > MAX_PACK_BYTES:
            raise InputError(
                f"with {len(pack):,} bytes it does not fit a message ({MAX_PACK_BYTES:,})"
            )
        return pack

    def _sendable_record(self) -> str:
        try:
            json.loads(self.record, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            if not self.record:
                raise InputError("nothing was kept of it: it was nested too deeply") from error
            if _CUT.search(self.record):
                raise InputError("only its beginning was kept: it was too large") from error
            raise InputError(f"what was kept of it is no JSON ({error})") from error
        # SQS refuses some characters, none of them ASCII. Outside of texts JSON has no others.
        return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], self.record)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
