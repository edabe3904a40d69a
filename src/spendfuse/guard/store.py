"""What a store of counters must do; ``memory``, ``valkey``, ``dynamodb`` and ``leased`` do it.

Each step is atomic over all levels and idempotent by the hold's id. tests/contract/guard holds
every store to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from spendfuse.guard.step import (
    Granted,
    Hold,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
)

REMEMBERED_SECONDS = 600.0
"""How long a finished id is known: a repeated settle within it counts once."""
LATE_SECONDS = 86_400.0
"""How long after its hold's end a request may still settle by its bare id."""
UNSEEDED_SECONDS = 60.0
"""How long a cost that was not charged yet waits for its lost counter to come back. Whoever brings
it back by then asks the ledger, which knows the cost by itself."""
CALLED_IN_SECONDS = 2.0
"""How long a counter's standing says that it was called in."""


class Store(Protocol):
    """Keeps counters and holds; safe to share between threads."""

    is_local: bool
    """Whether its steps never wait for a network: asyncio may then take them on its own thread."""
    takes_rates: bool
    """Whether it keeps sliding windows; where not, a step with rates is a SettingsError."""

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        """Hold an amount on all levels, or on none.

        Raises:
            ReservationError: the id was used for another amount or other counters (their limits
                may have changed), or is finished: settled, released or expired.
            SettingsError: a limit is above what this store counts exactly.
            UnavailableError: the store can't be reached. It may have taken the step all the same:
                the same id again tells.
        """
        ...

    def settle(self, step: Settle) -> Settled | Unseeded:
        """Charge a hold's actual cost on its levels, in the periods in which it was reserved.

        After the hold has expired, or was released, the cost counts all the same. So does that of
        a hold that the store has lost: it is charged on the levels that it brings along.

        Raises:
            ReservationError: it was settled with another amount before, or this is a new part of
                what is settled; nothing changes.
            UnavailableError: not certain to have been taken; the same step again counts once.
        """
        ...

    def release(self, hold: Hold) -> bool:
        """Let go of a hold, nothing more charged; False if it was gone or settled already.

        Raises:
            UnavailableError: as for ``settle``.
        """
        ...

    def find(self, hold_id: str) -> Hold | None:
        """Return a hold by its bare id, finished or not, as long as the store knows it."""
        ...

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        """Return the counters as they stand, expired holds let go; None for a missing one."""
        ...

    def close(self) -> None:
        """Give back what is borrowed, and let go of threads and connections."""
        ...


@runtime_checkable
class AtOnce(Protocol):
    """What a store has that waits for a network only now and then: steps that never do.

    They answer as those of ``Store``, or None: nothing was done, and the step itself would wait.
    """

    def reserve_at_once(self, step: Reserve) -> Granted | None: ...

    def settle_at_once(self, step: Settle) -> Settled | None: ...

    def release_at_once(self, hold: Hold) -> bool | None: ...
