"""Tells the store of reservations that end by themselves, as their ``with`` says.

It raises nothing: the request is over, and its answer must reach the user.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import NamedTuple

from spendfuse.errors import SpendfuseError
from spendfuse.guard.health import Counts
from spendfuse.guard.seeded import SeededStore
from spendfuse.guard.step import Hold
from spendfuse.guard.workers import Workers
from spendfuse.metering.said_once import SaidOnce
from spendfuse.money import display_usd

logger = logging.getLogger(__name__)


class Ending(NamedTuple):
    """How a reservation ends by itself."""

    nano_usd: int | None
    """To be charged; None where it is released."""
    is_guess: bool = False
    """Whether the meter heard nothing, and the estimate stands for the cost."""


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

    def conclude(self, hold: Hold, ending: Ending) -> None:
        """End a reservation as its ``with`` says; raises nothing of spendfuse's."""
        if ending.is_guess:
            self._say_guess(hold)
        try:
            if ending.nano_usd is None:
                self._seeded.release(hold)
            else:
                self._seeded.settle(hold, ending.nano_usd)
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
        else:
            self._workers.later(partial(self.conclude, hold, ending))

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
