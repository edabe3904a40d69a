"""Requests that the shared store decides about as they are: the first, and those near the limit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.leasing.lease import Purse
from spendfuse.guard.leasing.lender import Lender
from spendfuse.guard.leasing.local_holds import LocalHold
from spendfuse.guard.leasing.local_steps import LocalSteps
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    Refused,
    Reserve,
    Settle,
    Settled,
    Unseeded,
    is_short,
    room,
)
from spendfuse.guard.store import Store

_ROUNDS = 3
"""How often idle money is returned for one request: the thread that borrows ahead may be quick."""


class DirectRequests:
    """Hands requests on, once all is returned that lies idle here and might do for them."""

    def __init__(self, shared: Store, local: LocalSteps, lender: Lender) -> None:
        self._shared = shared
        self._local = local
        self._lender = lender

    def reserve(self, purse: Purse, step: Reserve) -> Granted | Refused | Unseeded:
        """Let the shared store decide about a request as it is."""
        local = LocalHold.in_shared_store(step, self._local.clock())
        with self._local.lock:
            granted = self._local.again(step)
            if granted is not None:
                return granted
            # From now on the shared store is asked about this id, whoever comes with it.
            self._local.holds.by_id[step.id] = local
        is_known = False
        try:
            outcome = self._ask(purse, step)
            is_known = isinstance(outcome, Granted)
        except (UnavailableError, ReservationError):
            # It may have been granted, now or before.
            is_known = True
            raise
        finally:
            with self._local.lock:
                if is_known:
                    self._local.holds.add(local, step.hold_seconds)
                else:
                    self._local.holds.forget(local)
        return outcome

    def _ask(self, purse: Purse, step: Reserve) -> Granted | Refused | Unseeded:
        version = purse.version
        for _ in range(_ROUNDS):
            idle = self._idle(step)
            # Nothing is refused, or lowered, for want of money that lies idle here.
            first = step._replace(least_nano_usd=step.nano_usd, calls_in=False) if idle else step
            outcome = self._shared.reserve(first)
            if not isinstance(outcome, Refused):
                break
            if idle:
                pairs = zip(step.levels, outcome.standings, strict=True)
                short = {level.counter for level, at in pairs if is_short(level, at, step.nano_usd)}
                self._give_back(idle, short)
                version = purse.version
            elif not (self._was_others_turn(step) or self._idle(step)):
                break
            # Else the thread that syncs was about to return money, or has borrowed ahead.
        else:
            outcome = self._shared.reserve(step)
        if isinstance(outcome, Unseeded):
            return outcome
        with self._local.lock:
            if purse.version == version and not purse.unsent:
                purse.hear(outcome.standings)
            if isinstance(outcome, Granted):
                return outcome
            seen = [
                self._local.purses.as_seen_here(level.counter, standing)
                for level, standing in zip(step.levels, outcome.standings, strict=True)
            ]
        return outcome._replace(standings=tuple(seen))

    def _idle(self, step: Reserve) -> list[Purse]:
        """Return the purses whose room might do for a request."""
        with self._local.lock:
            self._local.holds.sweep(self._local.clock())
            return self._local.purses.idle(_refusing(step))

    def _was_others_turn(self, step: Reserve) -> bool:
        """Wait for those who talk to the shared store just now; return whether there were any."""
        was_others = False
        for each in self._local.purses.counted(_refusing(step)):
            if not each.comes_to_rest(0):
                was_others = True
                each.comes_to_rest()
        return was_others

    def settle(self, step: Settle) -> Settled | Unseeded:
        """Hand on what this process knows nothing of."""
        settled = self._shared.settle(step)
        if isinstance(settled, Settled):
            is_part = step.keep_nano_usd is not None
            if not is_part:
                self._finish(step.hold)
            if is_part or settled.kind == "late" or step.nano_usd > step.hold.nano_usd:
                # It may have cost more than was held for it.
                self._make_up_for(step.hold.levels)
        return settled

    def release(self, hold: Hold) -> bool:
        is_released = self._shared.release(hold)
        self._finish(hold)
        return is_released

    def _finish(self, hold: Hold) -> None:
        with self._local.lock:
            self._local.holds.finish_in_shared_store(hold.id, self._local.clock())

    def pay_debt(self, purse: Purse) -> None:
        """Charge at once what cost more than was borrowed: others must not spend it too."""
        self._lender.settle_up(purse, 0)
        self._make_up_for(purse.levels)

    def _make_up_for(self, levels: Sequence[Level]) -> None:
        """Return what lies idle here of budgets that are overspent now."""
        refusing = [each for each in levels if each.mode != "observe"]
        with self._local.lock:
            idle = self._local.purses.idle([each.counter for each in refusing])
        if idle:
            standings = self._shared.look([each.counter for each in refusing])
            pairs = zip(refusing, standings, strict=True)
            over = {level.counter for level, at in pairs if at and room(level, at) < 0}
            self._give_back(idle, over)

    def _give_back(self, idle: Sequence[Purse], short: Collection[str]) -> None:
        for purse in idle:
            if purse.counts_on(short):
                self._lender.settle_up(purse, 0)


def _refusing(step: Reserve) -> list[str]:
    return [each.counter for each in step.levels if each.mode != "observe"]
