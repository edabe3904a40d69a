"""The use case that blows the fuse.

One pass lists the keys, plans, writes a restore record for each key and reads them back, sets
the fuse's state, and only then disables key after key, each one verified. Every step can be
repeated, and the records say what is done: so a crash at any point needs nothing but the same
order once more, and a long plan goes on in a fresh process.

The state is set as soon as the records are safe and before the first key is touched: metered
apps read it and stop within seconds, while a thousand keys take minutes. It is set together
with the trip's own status, in one transaction, at the epoch at which the order was judged. Any
later trip or restore changes the epoch; it is read before and after each key, and a pass that
finds another one stops, and puts back the one key it may just have switched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from spendfuse.definitions import FuseMode
from spendfuse.errors import InputError, SpendfuseError, UnavailableError
from spendfuse.fuse import report
from spendfuse.fuse.judgement import FindBudget, Refusal, no_budget, refusal
from spendfuse.fuse.key import Key, KeyStore
from spendfuse.fuse.plan import Plan, no_key_reason, plan_trip
from spendfuse.fuse.records import KeyRecord, Trip, TripStatus
from spendfuse.fuse.report import Deeds, Report
from spendfuse.fuse.store import FuseStore, OvertakenError
from spendfuse.fuse.switch import switch_off, switch_on
from spendfuse.fuse_state import FuseState, TripOrder

MAX_PASSES = 8
"""How often the keys that failed are tried before people are told to do it by hand."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """What one call did."""

    trip: Trip
    finished: bool
    """False: the same order should be given again, soon."""
    waits: bool = False
    """Whether to leave the key stores some time first: some keys failed."""


def _always() -> bool:
    return True


@dataclass(frozen=True)
class TripFuse:
    """Disable this fuse's keys, for one order."""

    store: FuseStore
    key_stores: Sequence[KeyStore]
    tell: Callable[[Report], None]
    """Sends a report to people; it may be sent twice, with the same id."""
    now: Callable[[], datetime]
    mode: FuseMode = "armed"
    find_budget: FindBudget = no_budget

    def __call__(
        self,
        order: TripOrder,
        *,
        cause: str,
        allowance_nano_usd: int = 0,
        may_go_on: Callable[[], bool] = _always,
    ) -> Tripped:
        """Carry out the order as far as ``may_go_on`` allows; a handled one does nothing.

        Raises:
            UnavailableError: a store did not answer; the same call goes on where this stopped.
        """
        trip = self.store.open_trip(
            Trip(order, self.now(), cause, allowance_nano_usd=allowance_nano_usd)
        )
        state = self.store.state()
        if trip.status == "restored":
            self._settle(trip)
        if trip.is_final:
            if not trip.may_still_blow or self._refusal(order, state) is not None:
                return Tripped(trip, finished=True)
            if not self._move(trip, "planning"):
                return Tripped(trip, finished=False)
            trip = replace(trip, status="planning")
        if trip.status == "planning":
            verdict = self._refusal(order, state)
            if verdict is not None:
                news = report.not_blown(trip, verdict.status, verdict.reason)
                return self._close(trip, verdict.status, news)
        elif state.epoch != trip.epoch:
            return self._overtaken(trip)
        return self._pass(trip, state, may_go_on)

    def _refusal(self, order: TripOrder, state: FuseState) -> Refusal | None:
        return refusal(order, state, mode=self.mode, now=self.now(), find_budget=self.find_budget)

    def _pass(self, trip: Trip, state: FuseState, may_go_on: Callable[[], bool]) -> Tripped:
        listed, unreachable = self._listed()
        plan = plan_trip(listed, trip.order, self.store.records())
        deeds = Deeds(left=plan.left, foreign=plan.foreign, unreachable=unreachable)
        if trip.status == "planning":
            if self.mode == "dry-run" and not trip.order.is_manual:
                names = [str(key) for key in plan.disable]
                return self._close(trip, "dry-run", report.rehearsed(trip, names, deeds))
            if not plan.disable and unreachable:
                raise UnavailableError("; ".join(unreachable))
            if not plan.disable and state.state != "tripped":
                reason = no_key_reason(plan, trip.order.fuse)
                return self._close(trip, "empty", report.not_blown(trip, "empty", reason, deeds))
        self._write_down(trip, plan)
        try:
            trip = self._begun(trip, state)
        except OvertakenError:
            # Another order or a duplicate of this one was faster. What the records say by now is
            # that worker's, and not this one's to settle.
            return Tripped(trip, finished=False)
        try:
            for key in plan.disable:
                if not may_go_on():
                    return Tripped(trip, finished=False)
                self._disable(trip, key)
            self._check_epoch(trip)
        except OvertakenError:
            return self._overtaken(trip)
        return self._finish(trip, deeds)

    def _listed(self) -> tuple[list[Key], list[str]]:
        """Return the keys of the stores that answer, and what the others said."""
        listed: list[Key] = []
        unreachable: list[str] = []
        for store in self.key_stores:
            try:
                listed += store.all_keys()
            except SpendfuseError as error:
                # One provider's outage must not keep the others' keys working.
                unreachable.append(f"{store.name}: {error}")
        return listed, unreachable

    def _write_down(self, trip: Trip, plan: Plan) -> None:
        """Write what is there before anything is touched, and make sure that it can be read."""
        known = {each.ref: each.key for each in self._records(trip)}
        expected = {key.ref: known.get(key.ref, key) for key in plan.disable}
        for ref, key in expected.items():
            if ref not in known:
                self.store.put_record(KeyRecord(trip.id, key))
        found = {each.ref: each.key for each in self._records(trip)}
        lost = [str(key) for ref, key in expected.items() if found.get(ref) != key]
        if lost:
            raise UnavailableError(
                f"trip {trip.id}: nothing was touched, since the restore records of these keys "
                f"do not read back as they were written: {', '.join(lost)}"
            )
        for each in plan.left:
            if each.by_somebody and each.key.ref in found:
                self.store.mark_record(trip.id, each.key.ref, "left")

    def _begun(self, trip: Trip, state: FuseState) -> Trip:
        """Blow the fuse, or join the trip that has blown it, or go on with what was begun."""
        if trip.status == "tripping":
            return trip
        if state.state == "tripped":
            self.store.join(trip.id, epoch=state.epoch)
            return replace(trip, status="tripping", epoch=state.epoch, joined=True)
        self.store.blow(trip.id, epoch=state.epoch, at=self.now())
        return replace(trip, status="tripping", epoch=state.epoch + 1)

    def _disable(self, trip: Trip, key: Key) -> None:
        self._check_epoch(trip)
        self.store.mark_record(trip.id, key.ref, "disabling")
        done = switch_off(self._store_of(key), key.id)
        if self.store.state().epoch != trip.epoch:
            # The restore may have looked at this key before it was disabled.
            self.store.mark_record(trip.id, key.ref, "disabling")
            raise OvertakenError(trip.id)
        self.store.mark_record(trip.id, key.ref, done.status, note=done.note)

    def _check_epoch(self, trip: Trip) -> None:
        if self.store.state().epoch != trip.epoch:
            raise OvertakenError(trip.id)

    def _overtaken(self, trip: Trip) -> Tripped:
        """Stop, and begin anew if the cause still stands.

        It stands when the restore did not know of this order: it left no allowance for it.
        """
        self._settle(trip)
        is_over = self._refusal(trip.order, self.store.state()) is not None
        if trip.order.is_manual or is_over:
            return Tripped(trip, finished=True)
        self._move(trip, "planning")
        return Tripped(trip, finished=False)

    def _settle(self, trip: Trip) -> None:
        """Put back what this trip switched after it had been overtaken.

        If another trip has blown the fuse since, the key stays as it is, and so does its record,
        which makes the next restore look at it: that it is disabled was never verified.
        """
        for record in self._records(trip):
            if record.status == "disabling" and self.store.state().state != "tripped":
                done = switch_on(self._store_of(record.key), record.key.id)
                self.store.mark_record(trip.id, record.ref, done.status, note=done.note)

    def _finish(self, trip: Trip, deeds: Deeds) -> Tripped:
        records = self._records(trip)
        deeds = replace(
            deeds,
            disabled=[each for each in records if each.status == "disabled"],
            failed=[each for each in records if each.status in ("disabling", "failed")],
        )
        if not deeds.failed and not deeds.unreachable:
            return self._close(trip, "done", report.blown(trip, "done", deeds))
        if trip.passes + 1 >= MAX_PASSES:
            return self._close(trip, "done", report.blown(trip, "gave-up", deeds))
        self._tell_once(trip, report.blown(trip, "incomplete", deeds))
        self.store.count_pass(trip.id)
        return Tripped(trip, finished=False, waits=True)

    def _close(self, trip: Trip, status: TripStatus, news: Report) -> Tripped:
        # First the news: a crash in between repeats it, the other order would lose it.
        self._tell_once(trip, news)
        if not self._move(trip, status):
            return Tripped(trip, finished=False)
        return Tripped(replace(trip, status=status), finished=True)

    def _move(self, trip: Trip, status: TripStatus) -> bool:
        """Set the trip's status; False if another worker or a restore was faster."""
        try:
            self.store.set_status(trip, status)
        except OvertakenError:
            return False
        return True

    def _tell_once(self, trip: Trip, news: Report) -> None:
        if news.outcome not in trip.reported:
            self.tell(news)
            self.store.mark_reported(trip.id, news.outcome)

    def _records(self, trip: Trip) -> list[KeyRecord]:
        return [each for each in self.store.records() if each.trip_id == trip.id]

    def _store_of(self, key: Key) -> KeyStore:
        for store in self.key_stores:
            if store.name == key.store:
                return store
        raise InputError(f"key {key}: there is no key store {key.store!r} in this deployment")
