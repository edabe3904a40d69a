"""Tells the store what became of reservations: at once, from an event loop, or by themselves.

What ends by itself raises nothing: the request is over, and its answer must reach the user.
"""

from __future__ import annotations

import logging
from functools import partial

from spendfuse.errors import SpendfuseError, UnavailableError
from spendfuse.guard.errors import ReservationError
from spendfuse.guard.health import Counts
from spendfuse.guard.inside import Ending
from spendfuse.guard.seeded import SeededStore
from spendfuse.guard.step import Hold, Settled
from spendfuse.guard.workers import Workers
from spendfuse.metering.said_once import SaidOnce
from spendfuse.money import display_usd

logger = logging.getLogger(__name__)


class Settling:
    """The guard's way to the end of a reservation.

    Args:
        seeded: where it is held.
        counts: what is counted on the way.
        workers: threads, for a store that waits for a network.
        is_local: whether the store does not.
    """

    def __init__(
        self, seeded: SeededStore, counts: Counts, workers: Workers, *, is_local: bool
    ) -> None:
        self._seeded = seeded
        self._counts = counts
        self._workers = workers
        self._is_local = is_local
        self._said_once = SaidOnce()

    def charge(self, hold: Hold, nano: int) -> Settled:
        """Charge a hold's cost; errors as ``Store.settle`` has them."""
        try:
            settled = self._seeded.settle(hold, nano)
        except UnavailableError:
            self._counts.add("store_failures")
            raise
        if settled.kind != "again":
            self._counts.add("settled")
            if settled.kind == "late":
                self._counts.add("late")
        return settled

    def release(self, hold: Hold) -> bool:
        """Let go of a hold; errors as ``Store.release`` has them."""
        try:
            is_released = self._seeded.release(hold)
        except UnavailableError:
            self._counts.add("store_failures")
            raise
        if is_released:
            self._counts.add("released")
        return is_released

    def find(self, hold_id: str) -> Hold:
        """Return the hold of an id.

        Raises:
            ReservationError: nobody knows it.
        """
        try:
            hold = self._seeded.find(hold_id)
        except UnavailableError:
            self._counts.add("store_failures")
            raise
        if hold is None:
            raise ReservationError(f"there is no reservation {hold_id!r}; nothing was counted")
        return hold

    def conclude(self, hold: Hold, ending: Ending) -> None:
        """End a reservation as its ``with`` says; raises nothing of spendfuse's."""
        if ending.is_guess:
            self._say_guess(hold)
        try:
            if ending.nano_usd is None:
                self.release(hold)
            else:
                self.charge(hold, ending.nano_usd)
        except SpendfuseError as error:
            logger.warning(
                "reservation %s: %s can't be charged: %s",
                hold.id,
                display_usd(ending.nano_usd or 0),
                error,
            )

    async def conclude_async(self, hold: Hold, ending: Ending) -> None:
        """End a reservation, even if the task is cancelled meanwhile."""
        if self._is_local:
            self.conclude(hold, ending)
        else:
            await self._workers.finish(partial(self.conclude, hold, ending))

    def conclude_later(self, hold: Hold, ending: Ending) -> None:
        """End a reservation while the meter records: that must not wait."""
        if self._is_local:
            self.conclude(hold, ending)
            return
        try:
            self._workers.submit(partial(self.conclude, hold, ending))
        except SpendfuseError as error:
            logger.warning("reservation %s can't be settled: %s", hold.id, error)

    def charge_late(self, hold: Hold, number: int, nano: int) -> None:
        """Charge what came after the end: in the same periods, and with an id of its own."""
        extra = hold._replace(id=f"{hold.id}+{number}", nano_usd=0)
        self.conclude_later(extra, Ending(nano))

    def _say_guess(self, hold: Hold) -> None:
        self._counts.add("unreported")
        if self._said_once.is_new("guess"):
            logger.warning(
                "reservation %s ended and the meter had heard of no call: its estimate is charged; "
                "track the call, report_usage, or call settle() (logged once, counted always)",
                hold.id,
            )
