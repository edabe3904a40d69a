"""What the meter says of the calls inside a reservation, and what they cost it in the end.

A record may come after the end: of a stream that outlives its reservation, or because the
middleware around the request records when the response is out. What was reported by then is
waited for; what comes later still is charged on top.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Token
from typing import Literal, TypeGuard

from spendfuse.guard.settling import Ending, Settling
from spendfuse.guard.step import Hold
from spendfuse.metering.attribution import Attribution, current_attribution
from spendfuse.metering.listening import Listener, listen
from spendfuse.metering.record import Record

End = Literal["ok", "error", "cancelled"]


class Inside:
    """Listens to the meter, inside of one reservation's ``with``.

    Of reservations of one guard within each other, the innermost hears of a call: it would be
    charged twice. The outer ones know that there was one.

    Args:
        hold: of the reservation.
        settling: ends it, where the end had to wait for the meter; its guard's.
        cut_off_nano_usd: tells what a call costs that was cancelled before the meter heard of it.
    """

    def __init__(self, hold: Hold, settling: Settling, cut_off_nano_usd: Callable[[], int]) -> None:
        self._hold = hold
        self._settling = settling
        self._cut_off = cut_off_nano_usd
        # Reentrant: the garbage collector may find an abandoned stream while this is locked, and
        # what that reports is heard here.
        self._lock = threading.RLock()
        self._nano = self._records = self._waiting = self._late = 0
        self._is_unpriced = self._is_covered = self._is_mute = False
        self._end: End | None = None
        self._charged: int | None = None
        self._outer: tuple[Inside, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self._end is not None

    def begin(self) -> Token[Attribution]:
        """Listen to what is called from here on, until ``attribution.leave``."""
        others = current_attribution().listeners
        if not others:
            return listen((self,))
        self._outer = tuple(each for each in others if self._is_within(each))
        return listen((*(each for each in others if not self._is_within(each)), self))

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
        self._settling.conclude_later(self._hold, ending)

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
        self._settling.charge_late(self._hold, number, more)

    def end(self, error: BaseException | None) -> Ending | None:
        """Return how it ends; None where the meter has yet to record what was reported."""
        with self._lock:
            self._end = _end_of(error)
            return None if self._waiting else self._ending()

    def mute(self, *, is_paid: bool) -> None:
        """Hear no more: the app has settled it itself, or released it."""
        self._is_mute = True
        if is_paid:
            self._cover_outer()

    def cover(self) -> None:
        """Hear that a reservation within this one pays for a call."""
        self._is_covered = True

    def _is_within(self, listener: Listener) -> TypeGuard[Inside]:
        return isinstance(listener, Inside) and listener._settling is self._settling  # noqa: SLF001

    def _cost(self) -> int:
        return max(self._nano, self._hold.nano_usd) if self._is_unpriced else self._nano

    def _ending(self) -> Ending:
        records = -1
        while records != self._records:
            # Heard of another one meanwhile, from the garbage collector.
            records = self._records
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
            return Ending(self._hold.nano_usd, is_guess=True)
        return Ending(None) if self._end == "error" else Ending(self._cut_off())

    def _cover_outer(self) -> None:
        for each in self._outer:
            each.cover()


def _end_of(error: BaseException | None) -> End:
    """Cancellation, an interrupt and a closed generator are no ``Exception``; errors are."""
    if error is None:
        return "ok"
    return "error" if isinstance(error, Exception) else "cancelled"
