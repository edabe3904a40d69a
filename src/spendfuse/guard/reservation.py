"""A reservation in the app's hands: settle it, release it, or let ``with`` do that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from spendfuse.guard.errors import BudgetFigures, ReservationError
from spendfuse.guard.estimate import CallEstimate, Dollars
from spendfuse.guard.inside import Inside
from spendfuse.guard.settling import Ending
from spendfuse.guard.step import Hold
from spendfuse.metering.attribution import Attribution, leave
from spendfuse.money import usd

if TYPE_CHECKING:
    from spendfuse.guard.guard import Guard


class Reservation:
    """Money held for one request.

    As a context manager, sync or async, it ends by itself. What the meter recorded inside is
    settled; a record without a price counts as at least what is held. If the meter heard nothing,
    the estimate is settled; after an error the money is released; a call that was cancelled costs
    its input, or the whole estimate where that was in dollars. Settling or releasing it inside
    wins over all that.

    Calls inside are those made in its context: in tasks started inside as well, and in threads
    that run in a copy of the context. A call that the middleware around the request records later
    is waited for, as the meter knows of it. What a stream reports that outlives the ``with`` is
    charged on top, where it is more than what was charged for it.
    """

    __slots__ = (
        "_call",
        "_cost",
        "_guard",
        "_inside",
        "_is_told",
        "_token",
        "hold",
        "is_again",
        "is_lowered",
        "max_tokens",
        "observed",
    )

    def __init__(
        self,
        guard: Guard,
        hold: Hold,
        *,
        call: CallEstimate | None,
        max_tokens: int | None,
        observed: tuple[BudgetFigures, ...],
        is_lowered: bool,
        is_again: bool,
    ) -> None:
        self._guard = guard
        self._call = call
        self._cost: int | Literal["released"] | None = None
        self._is_told = False
        self._inside: Inside | None = None
        self._token: Token[Attribution] | None = None
        self.hold = hold
        self.max_tokens = max_tokens
        """What the call may put out: as asked or assumed, or lowered to what is left."""
        self.is_lowered = is_lowered
        """Whether a ``fit`` budget lowered ``max_tokens``."""
        self.observed = observed
        """The ``observe`` budgets that it does not fit into."""
        self.is_again = is_again
        """Whether the id was held already, by an earlier attempt."""

    @property
    def id(self) -> str:
        return self.hold.id

    @property
    def held_usd(self) -> Decimal:
        return usd(self.hold.nano_usd)

    def settle(self, cost_usd: Dollars) -> None:
        """Charge what the request really cost; again with the same amount changes nothing.

        Raises:
            ReservationError: it was settled with another amount; that one counts.
            UnavailableError: the store can't be reached; the same call again counts once.
        """
        self._guard.settle(self, cost_usd)

    async def settle_async(self, cost_usd: Dollars) -> None:
        """Charge what the request cost, even if the task is cancelled meanwhile."""
        await self._guard.settle_async(self, cost_usd)

    def release(self) -> None:
        """Let go of the money: nothing was spent."""
        self._guard.release(self)

    async def release_async(self) -> None:
        """Let go of the money, even if the task is cancelled meanwhile."""
        await self._guard.release_async(self)

    def __enter__(self) -> Self:
        if self._token is not None:
            raise ReservationError(
                f"reservation {self.id} is entered already; make one for each call"
            )
        self._token = self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        self.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        await self.end_async(error)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the meter here; whoever calls this also calls ``end``, once."""
        token = self.listen()
        try:
            yield
        finally:
            leave(token)

    def listen(self) -> Token[Attribution]:
        """Listen to the meter in this context from here on.

        Raises:
            ReservationError: it has ended.
        """
        if self._inside is not None and self._inside.has_ended:
            raise ReservationError(f"reservation {self.id} has ended; make a new one")
        return self._listener().begin()

    def end(self, error: BaseException | None) -> None:
        """End as the rules say; raises nothing of its own."""
        ending = self._ending(error)
        if ending is not None:
            self._guard.settling.conclude(self.hold, ending)

    async def end_async(self, error: BaseException | None) -> None:
        """End as the rules say, without keeping the event loop waiting."""
        ending = self._ending(error)
        if isinstance(error, GeneratorExit) and ending is not None:
            # A coroutine that is closed, and not cancelled, may await nothing any more.
            self._guard.settling.conclude_later(self.hold, ending)
        elif ending is not None:
            await self._guard.settling.conclude_async(self.hold, ending)

    def wants(self, guard: Guard, cost_nano_usd: int | None) -> None:
        """Hear what the app says itself, before the store is told; None is a release.

        Raises:
            ReservationError: it says so to a guard that does not hold the money.
        """
        if guard is not self._guard:
            raise ReservationError(
                f"reservation {self.id} is another guard's; call settle() or release() of its own"
            )
        if not self._is_told:
            self._cost = "released" if cost_nano_usd is None else cost_nano_usd

    def told(self) -> None:
        """Hear that the store has it."""
        self._is_told = True
        if self._inside is not None:
            self._inside.mute(is_paid=self._cost != "released")

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            leave(token)

    def _listener(self) -> Inside:
        if self._inside is None:
            self._inside = Inside(self.hold, self._guard.settling, self._cut_off)
        return self._inside

    def _ending(self, error: BaseException | None) -> Ending | None:
        """Return how it ends now; None where that is done, or waits for the meter."""
        if self._is_told:
            return None
        if self._cost is not None:
            # The app has said it, but the store could not be told: it still holds.
            self.told()
            return Ending(None if self._cost == "released" else self._cost)
        return self._listener().end(error)

    def _cut_off(self) -> int:
        if self._call is None:
            return self.hold.nano_usd
        return self._call.nano_usd(0)


class Reserving:
    """A reservation that is made when it is entered: ``with`` waits, ``async with`` awaits.

    One at a time: tasks and threads that run beside each other need one each.
    """

    __slots__ = ("_guard", "_is_entered", "_options", "_reservation")

    def __init__(self, guard: Guard, options: dict[str, Any]) -> None:
        self._guard = guard
        self._options = options
        self._is_entered = False

    def __enter__(self) -> Reservation:
        self._begin()
        try:
            self._reservation = self._guard.reserve(**self._options)
            return self._reservation.__enter__()
        except BaseException:
            self._is_entered = False
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_entered = False
        self._reservation.__exit__(kind, error, traceback)

    async def __aenter__(self) -> Reservation:
        self._begin()
        try:
            self._reservation = await self._guard.reserve_async(**self._options)
            return self._reservation.__enter__()
        except BaseException:
            self._is_entered = False
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        reservation = self._reservation
        self._is_entered = False
        await reservation.__aexit__(kind, error, traceback)

    def _begin(self) -> None:
        if self._is_entered:
            # Else the first one's money would stay held, and nobody could settle it.
            raise ReservationError(
                "reserving() is entered already; call guard.reserving() for each request"
            )
        self._is_entered = True
