"""What the fuse writes down: its trips, and what was there before each key was touched.

The restore record is the rest's foundation: no key is touched before its record was written
and read back, only a key whose record says that we called for it is ever enabled, and what the
records say is done is the cursor from which an interrupted trip or restore goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spendfuse.fuse.key import Key, KeyRef
from spendfuse.fuse_state import TripOrder

TripStatus = Literal[
    "planning", "tripping", "done", "empty", "dry-run", "off", "past", "stale", "restored"
]
"""``planning`` has touched nothing; ``tripping`` has set the state and disables keys; the others
are final: ``done`` (what failed is in the records), ``empty`` (no key to disable), ``dry-run``
and ``off`` (by the configured mode), ``past`` (its period is over), ``stale`` (restored since).
Keys can be tagged and the fuse armed: until its period is over, an order that ended as ``empty``
or ``off`` is judged anew when it is given again."""

KeyStatus = Literal["planned", "disabling", "disabled", "failed", "left", "restored", "gone"]
"""``planned``: untouched. ``disabling``: called, result unknown. ``failed``: it still worked when
it was read back, and a call that timed out may yet take effect.
``left``: somebody else had disabled it first. ``gone``: it was deleted."""

HELD: frozenset[KeyStatus] = frozenset({"disabling", "disabled"})
"""What the fuse holds disabled, as far as it knows."""

CALLED: frozenset[KeyStatus] = HELD | {"failed"}
"""What a restore enables. A key found disabled under any other status is somebody's decision."""


@dataclass(frozen=True, slots=True)
class Trip:
    """One order, and how far it got."""

    order: TripOrder
    opened_at: datetime
    cause: str
    """Why, in words."""
    allowance_nano_usd: int = 0
    """What a restore lets this budget spend on top before it trips again."""
    status: TripStatus = "planning"
    epoch: int = 0
    """The fuse's epoch while this trip holds it; any other one means that it was overtaken."""
    joined: bool = False
    """Whether another trip had already blown the fuse."""
    passes: int = 0
    """How many times all keys were tried and some failed."""
    reported: tuple[str, ...] = ()
    """The outcomes that people have been told of."""

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def is_final(self) -> bool:
        return self.status not in ("planning", "tripping")

    @property
    def may_still_blow(self) -> bool:
        """Whether the order did nothing yet, and could when it is given again."""
        return self.status in ("planning", "empty", "off")

    @property
    def holds_fuse(self) -> bool:
        """Whether it blew the fuse (or joined in), and was not restored yet."""
        return self.status in ("tripping", "done")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """The restore record of one key in one trip."""

    trip_id: str
    key: Key
    """The key as it was before."""
    status: KeyStatus = "planned"
    note: str = ""
    """What went wrong, if something did."""

    @property
    def ref(self) -> KeyRef:
        return self.key.ref
