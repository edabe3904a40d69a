"""What the meter says of the calls inside a reservation, and what they cost it in the end.

A record may come after the end: of a stream that outlives its reservation, or because the
middleware around the request records when the response is out. What was reported by then is
waited for; what comes later still is charged on top.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Token
from typing import Literal, NamedTuple

from spendfuse.metering.attribution import Attribution, current_attribution
from spendfuse.metering.listening import listen
from spendfuse.metering.record import Record

End = Literal["ok", "error", "cancelled"]


class Ending(NamedTuple):
    """How a reservation ends by itself."""

    nano_usd: int | None
    """To be charged; None where it is released."""
    is_guess: bool = False
    """Whether the meter heard nothing, and the estimate stands for the cost."""


class Inside:
    """Listens to the meter, inside of one reservation's ``with``.

    Of reservations of one guard within each other, the innermost hears of a call: it would be
    charged twice. The outer ones know that there was one.

    Args:
        owner: who made the reservations that don't hear of the same call.
        estimate_nano_usd: what is held.
        cut_off_nano_usd: what a call costs that was cancelled before the meter heard of it.
        conclude: settles, when the end had to wait for the meter.
        charge_late: charges the (number, nano-dollars) of what came after the end.
    """

    def __init__(
        self,
        owner: object,
        estimate_nano_usd: int,
        *,
        cut_off_nano_usd: Callable[[], int],
        conclude: Callable[[Ending], None],
        charge_late: Callable[[int, int], None],
    ) -> None:
        self.owner = owner
        self._estimate = estimate_nano_usd
        self._cut_off = cut_off_nano_usd
        self._conclude = conclude
        self._charge_late = charge_late
        self._lock = threading.Lock()
        self._nano = self._records = self._waiting = self._late = 0
        self._is_unpriced = self._is_covered = self._is_mute = False
        self._end: End | None = None
        self._charged: int | None = None
        self._outer: tuple[Inside, ...] = ()

    def begin(self) -> Token[Attribution]:
        """Listen to what is called from here on, until ``attribution.leave``."""
        others = current_attribution().listeners
        self._outer = tuple(
            each for each in others if isinstance(each, Inside) and each.owner is self.owner
        )
        return listen((*(each for each in others if each not in self._outer), self))

    def expect(self) -> None:
        self._cover_outer()
        with self._lock:
            self._waiting += 1

    def arrived(self) -> None:
        with self._lock:
            self._waiting -= 1
            if self._waiting or self._end is None or self._charged is not None or self._is_mute:
                return
            ending = self._ending()
        self._conclude(ending)

    def hear(self, record: Record) -> None:
        self._cover_outer()
        with self._lock:
            self._records += 1
            if record.cost_nano_usd is None:
                self._is_unpriced = True
            else:
                self._nano += record.cost_nano_usd
            if self._charged is None or self._is_mute:
                return
            more = self._cost() - self._charged
            if more <= 0:
                return
            self._charged += more
            self._late += 1
            number = self._late
        self._charge_late(number, more)

    def end(self, error: BaseException | None) -> Ending | None:
        """Return how it ends; None where the meter has yet to record what was reported."""
        with self._lock:
            self._end = _end_of(error)
            return None if self._waiting else self._ending()

    def mute(self) -> None:
        """Hear no more: the app has settled or released it itself."""
        self._is_mute = True
        self._cover_outer()

    def cover(self) -> None:
        """Hear that a reservation within this one pays for a call."""
        self._is_covered = True

    def _cost(self) -> int:
        return max(self._nano, self._estimate) if self._is_unpriced else self._nano

    def _ending(self) -> Ending:
        ending = self._judged()
        self._charged = ending.nano_usd or 0
        if ending.nano_usd is not None:
            self._cover_outer()
        return ending

    def _judged(self) -> Ending:
        if self._records:
            return Ending(self._cost())
        if self._is_covered:
            return Ending(0)
        if self._end == "ok":
            return Ending(self._estimate, is_guess=True)
        return Ending(None) if self._end == "error" else Ending(self._cut_off())

    def _cover_outer(self) -> None:
        for each in self._outer:
            each.cover()


def _end_of(error: BaseException | None) -> End:
    """Cancellation, an interrupt and a closed generator are no ``Exception``; errors are."""
    if error is None:
        return "ok"
    return "error" if isinstance(error, Exception) else "cancelled"
