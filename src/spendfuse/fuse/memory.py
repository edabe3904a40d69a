"""``MemoryFuse``: the fuse's memory in this process, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from spendfuse.fuse.key import KeyRef
from spendfuse.fuse.records import KeyRecord, KeyStatus, Trip, TripStatus
from spendfuse.fuse.store import OvertakenError
from spendfuse.fuse_state import Allowance, FuseState


class MemoryFuse:
    """A ``FuseStore`` that forgets when the process ends."""

    def __init__(self, fuse: str) -> None:
        self._state = FuseState(fuse)
        self._trips: dict[str, Trip] = {}
        self._records: dict[tuple[str, KeyRef], KeyRecord] = {}

    def state(self) -> FuseState:
        return self._state

    def open_trip(self, trip: Trip) -> Trip:
        return self._trips.setdefault(trip.id, trip)

    def trips(self) -> Sequence[Trip]:
        return sorted(self._trips.values(), key=lambda trip: trip.opened_at)

    def blow(self, trip_id: str, *, epoch: int, at: datetime) -> None:
        trip = self._trips[trip_id]
        expected = ("armed", epoch, "planning")
        if (self._state.state, self._state.epoch, trip.status) != expected:
            raise OvertakenError(f"trip {trip_id}: the fuse is no longer armed at epoch {epoch}")
        self._state = replace(
            self._state, state="tripped", epoch=epoch + 1, trip_id=trip_id, since=at
        )
        self._trips[trip_id] = replace(trip, status="tripping", epoch=epoch + 1)

    def join(self, trip_id: str, *, epoch: int) -> None:
        trip = self._trips[trip_id]
        if trip.status != "planning":
            raise OvertakenError(f"trip {trip_id}: it is {trip.status} by now")
        self._trips[trip_id] = replace(trip, status="tripping", epoch=epoch, joined=True)

    def arm(self, allowances: Mapping[str, Allowance], *, epoch: int, at: datetime) -> None:
        if (self._state.state, self._state.epoch) != ("tripped", epoch):
            raise OvertakenError(f"the fuse is no longer tripped at epoch {epoch}")
        self._state = replace(
            self._state, state="armed", epoch=epoch + 1, allowances=dict(allowances), since=at
        )

    def count_pass(self, trip_id: str) -> None:
        trip = self._trips[trip_id]
        self._trips[trip_id] = replace(trip, passes=trip.passes + 1)

    def mark_reported(self, trip_id: str, outcome: str) -> None:
        trip = self._trips[trip_id]
        reported = tuple(sorted({*trip.reported, outcome}))
        self._trips[trip_id] = replace(trip, reported=reported)

    def set_status(self, seen: Trip, status: TripStatus) -> None:
        trip = self._trips[seen.id]
        if (trip.status, trip.epoch) != (seen.status, seen.epoch):
            raise OvertakenError(f"trip {seen.id}: it is {trip.status} by now")
        self._trips[seen.id] = replace(trip, status=status)

    def put_record(self, record: KeyRecord) -> None:
        self._records.setdefault((record.trip_id, record.ref), record)

    def mark_record(self, trip_id: str, key: KeyRef, status: KeyStatus, *, note: str = "") -> None:
        record = self._records[trip_id, key]
        self._records[trip_id, key] = replace(record, status=status, note=note)

    def records(self) -> Sequence[KeyRecord]:
        return list(self._records.values())
