"""Where the fuse remembers: the port that ``MemoryFuse`` and ``DynamoFuse`` both keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from spendfuse.errors import SpendfuseError
from spendfuse.fuse.key import KeyRef
from spendfuse.fuse.records import KeyRecord, KeyStatus, Trip, TripStatus
from spendfuse.fuse_state import Allowance, FuseState


class OvertakenError(SpendfuseError):
    """A trip or a restore happened in between: read the state again before acting on it."""


class FuseStore(Protocol):
    """One fuse's state, trips and restore records.

    Every method raises UnavailableError when the store does not answer (a write may or may
    not have happened then), and SettingsError when it refuses us. All reads are consistent.
    """

    def state(self) -> FuseState:
        """Return the state; a fuse that never tripped is armed, at epoch 0."""
        ...

    def open_trip(self, trip: Trip) -> Trip:
        """Put the trip if there is none of its id; return the one that stands."""
        ...

    def trips(self) -> Sequence[Trip]:
        """Return every trip, oldest first."""
        ...

    def blow(self, trip_id: str, *, epoch: int, at: datetime) -> None:
        """Trip the fuse and mark the trip ``tripping``, both at ``epoch`` + 1, or neither.

        Raises:
            OvertakenError: the fuse is not armed at ``epoch``, or the trip not ``planning``.
        """
        ...

    def join(self, trip_id: str, *, epoch: int) -> None:
        """Mark the trip ``tripping`` at ``epoch``, which is another trip's.

        Raises:
            OvertakenError: the trip is not ``planning``.
        """
        ...

    def arm(self, allowances: Mapping[str, Allowance], *, epoch: int, at: datetime) -> None:
        """Arm the tripped fuse at ``epoch`` + 1, with these allowances and no others.

        Raises:
            OvertakenError: the fuse is not tripped at ``epoch``.
        """
        ...

    def count_pass(self, trip_id: str) -> None:
        """Add one to the trip's passes."""
        ...

    def mark_reported(self, trip_id: str, outcome: str) -> None:
        """Remember that people were told of this outcome."""
        ...

    def set_status(self, seen: Trip, status: TripStatus) -> None:
        """Set how far a trip has got, if it still has the status and epoch that the caller saw.

        Raises:
            OvertakenError: another worker or a restore has moved it on.
        """
        ...

    def put_record(self, record: KeyRecord) -> None:
        """Write the restore record if its trip has none for this key."""
        ...

    def mark_record(self, trip_id: str, key: KeyRef, status: KeyStatus, *, note: str = "") -> None:
        """Set how far the key has got; what was there before stays as it was written."""
        ...

    def records(self) -> Sequence[KeyRecord]:
        """Return the restore records of all trips."""
        ...
