"""The steps that a process takes by itself, out of its purses: they never wait for the network."""

from __future__ import annotations

import threading
from collections.abc import Callable

from spendfuse.errors import SettingsError
from spendfuse.guard.leasing.lease import Purse
from spendfuse.guard.leasing.local_holds import LocalHold, LocalHolds
from spendfuse.guard.leasing.purses import Purses
from spendfuse.guard.step import Granted, Hold, Reserve, Settle, Settled

_new_tuple = tuple.__new__


class LocalSteps:
    """Purses and holds, under one lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        # Reentrant: the garbage collector may settle an abandoned stream in the middle of a step.
        self.lock = threading.RLock()
        self.holds = LocalHolds()
        self.purses = Purses()
        self.debtors: list[Purse] = []
        """Those whose requests cost more than was borrowed: others must hear of it soon."""
        self.is_closed = False
        """Whether nobody comes round any more: then all costs are debts."""

    def reserve(self, step: Reserve) -> Granted | None:
        """Take the step if there is room here; None: nothing was done."""
        hold_id, nano_usd, _, levels, rates, hold_seconds, _, _ = step
        if rates:
            raise SettingsError(
                f"rate {rates[0].rate!r}: a leased store keeps no sliding windows; for rates take "
                "the memory store, or valkey without leases"
            )
        with self.lock:
            if hold_id in self.holds.by_id:
                return self.again(step)
            alias = self.purses.aliases.get(id(levels))
            purse = self.purses.of(levels) if alias is None else alias[1]
            now = self.clock()
            if nano_usd > purse.room or now >= purse.until:
                return None
            purse.room -= nano_usd
            purse.held += nano_usd
            purse.asked = nano_usd
            hold: Hold = _new_tuple(Hold, (hold_id, nano_usd, levels, (), 0))
            self.holds.add(LocalHold(hold, nano_usd, purse, now + hold_seconds), hold_seconds)
            return _new_tuple(Granted, (hold, purse.standings(), False))

    def again(self, step: Reserve) -> Granted | None:
        """Return what the same id got before; None: the shared store knows, or nobody."""
        self.holds.sweep(self.clock())
        local = self.holds.by_id.get(step.id)
        if local is None or local.purse is None:
            return None
        local.check_again(step)
        return Granted(local.hold, local.purse.standings(), is_again=True)

    def settle(self, step: Settle) -> Settled | None:
        """Count the cost of a hold of this process; None: it is none."""
        with self.lock:
            local = self.holds.by_id.get(step.hold.id)
            if local is None or local.purse is None:
                return None
            purse, now = local.purse, self.clock()
            if now >= local.until:
                self.holds.sweep(now)
            room = purse.room
            settled = self.holds.settle(local, step, now)
            if purse.room < 0 or self.is_closed:
                self.purses.activate(purse)
                if purse.room < room or self.is_closed:
                    self.debtors.append(purse)
            return settled

    def release(self, hold: Hold) -> bool | None:
        """Let go of a hold of this process; None: it is none."""
        with self.lock:
            now = self.clock()
            self.holds.sweep(now)
            local = self.holds.by_id.get(hold.id)
            if local is None or local.purse is None:
                return None
            return self.holds.release(local, now)

    def find(self, hold_id: str) -> Hold | None:
        local = self.holds.by_id.get(hold_id)
        return None if local is None or local.purse is None else local.hold
