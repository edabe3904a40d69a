"""The use case that undoes trips: it enables exactly the keys that this fuse disabled.

The state comes first, with its new epoch and the allowances, and then the keys. The new epoch is
what stops a trip that is still at work; were the keys first, it would disable them behind our
back, and its order could blow the fuse again. So a crash leaves the fuse armed, with some keys
still disabled and their records saying so: the next restore goes on from the records, whatever
the state, and ``status`` shows what is left. If the fuse blows again meanwhile, the restore stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from spendfuse.fuse import report
from spendfuse.fuse.allowances import Spent, after_restore
from spendfuse.fuse.judgement import FindBudget, no_budget
from spendfuse.fuse.key import Key, KeyRef, KeyStore
from spendfuse.fuse.records import CALLED, KeyRecord, Trip
from spendfuse.fuse.report import Report
from spendfuse.fuse.store import FuseStore, OvertakenError
from spendfuse.fuse.switch import Switched, switch_on
from spendfuse.fuse_state import Allowance, FuseState


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do now."""

    state: FuseState
    keys: tuple[Key, ...]
    """As they were before the trips."""
    new_allowances: tuple[Allowance, ...]
    allowances: dict[str, Allowance]
    """All that will be in force."""
    trips: tuple[Trip, ...]
    """The trips that it undoes, and the orders that it answers before they blow the fuse."""

    @property
    def is_empty(self) -> bool:
        return self.state.state != "tripped" and not self.keys


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    enabled: tuple[Key, ...] = ()
    gone: tuple[Key, ...] = ()
    failed: tuple[tuple[Key, str], ...] = ()
    allowances: tuple[Allowance, ...] = ()


@dataclass(frozen=True)
class RestoreFuse:
    """Arm the fuse and enable the keys that it disabled."""

    store: FuseStore
    key_stores: Sequence[KeyStore]
    tell: Callable[[Report], None]
    now: Callable[[], datetime]
    spent: Spent
    find_budget: FindBudget = no_budget

    def plan(self) -> RestorePlan:
        """Return what a call would do, and change nothing."""
        # The trips first: one that is opened after the state was read is a new cause.
        trips = self.store.trips()
        state = self.store.state()
        is_tripped = state.state == "tripped"
        undone = [each for each in trips if each.holds_fuse or (is_tripped and each.may_still_blow)]
        allowances = dict(state.allowances)
        if is_tripped:
            allowances = after_restore(state, undone, self.spent, self.now(), self.find_budget)
        new = [each for key, each in allowances.items() if state.allowances.get(key) != each]
        keys = {each.ref: each.key for each in self._called()}
        return RestorePlan(state, tuple(keys.values()), tuple(new), allowances, tuple(undone))

    def __call__(self) -> Restored:
        """Do it; a second call finds nothing left to do.

        Raises:
            OvertakenError: the fuse tripped (or was restored) meanwhile; some keys may be
                enabled, and the records say which. Look at the status before going on.
            UnavailableError: a store did not answer; the same call goes on from there.
        """
        plan = self.plan()
        if plan.is_empty:
            return Restored()
        epoch = plan.state.epoch
        if plan.state.state == "tripped":
            self.store.arm(plan.allowances, epoch=epoch, at=self.now())
            epoch += 1
        results = self._enable_all(epoch)
        done = _summed_up(results, plan.new_allowances)
        if not done.failed:
            for trip in plan.trips:
                if trip.holds_fuse:
                    self._mark_restored(trip)
        self.tell(_report(plan, epoch, done))
        return done

    def _mark_restored(self, trip: Trip) -> None:
        """Close a trip that this restore undid, also when it was finished meanwhile.

        One that stands otherwise has begun anew: that is a cause which this restore did not see.
        """
        for seen in (trip, replace(trip, status="done")):
            try:
                self.store.set_status(seen, "restored")
            except OvertakenError:
                continue
            return

    def _enable_all(self, epoch: int) -> list[tuple[Key, Switched]]:
        results: dict[KeyRef, tuple[Key, Switched]] = {}
        for record in self._called():
            if self.store.state().epoch != epoch:
                raise OvertakenError("the fuse's state changed while its keys were being enabled")
            if record.ref not in results:
                results[record.ref] = (record.key, self._enable(record.key))
            _, done = results[record.ref]
            self.store.mark_record(record.trip_id, record.ref, done.status, note=done.note)
        return list(results.values())

    def _enable(self, key: Key) -> Switched:
        for store in self.key_stores:
            if store.name == key.store:
                return switch_on(store, key.id)
        return Switched("disabled", f"there is no key store {key.store!r} here")

    def _called(self) -> list[KeyRecord]:
        return [each for each in self.store.records() if each.status in CALLED]


def _summed_up(
    results: Sequence[tuple[Key, Switched]], allowances: tuple[Allowance, ...]
) -> Restored:
    return Restored(
        enabled=tuple(key for key, done in results if done.status == "restored"),
        gone=tuple(key for key, done in results if done.status == "gone"),
        failed=tuple((key, done.note) for key, done in results if done.status == "disabled"),
        allowances=allowances,
    )


def _report(plan: RestorePlan, epoch: int, done: Restored) -> Report:
    holder = next((each for each in plan.trips if each.id == plan.state.trip_id), None)
    return report.restored(
        holder,
        plan.state.fuse,
        epoch,
        enabled=[str(key) for key in done.enabled],
        gone=[str(key) for key in done.gone],
        failed=[f"{key}: {note}" for key, note in done.failed],
        allowances=done.allowances,
    )
