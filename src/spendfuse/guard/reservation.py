"""A reservation in the app's hands: settle it, release it, or let ``with`` do that."""

from __future__ import annotations

from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spendfuse.guard.step import Hold
from spendfuse.money import usd

if TYPE_CHECKING:
    from spendfuse.guard.guard import Guard


class Reservation:
    """Money held for one request.

    As a context manager, sync or async: what the meter records inside is settled at the end; an
    error before anything was recorded releases it.
    """

    def __init__(self, guard: Guard, hold: Hold, *, max_tokens: int | None = None) -> None:
        self._guard = guard
        self.hold = hold
        self.max_tokens = max_tokens
        """What the call may put out: as asked, or lowered to what a ``fit`` budget has left."""

    @property
    def id(self) -> str:
        return self.hold.id

    @property
    def held_usd(self) -> Decimal:
        return usd(self.hold.nano_usd)

    def settle(self, cost_usd: object) -> None:
        """Charge what the request really cost; again with the same amount changes nothing."""
        self._guard.settle(self, cost_usd)

    def release(self) -> None:
        """Let go of the money: nothing was spent."""
        self._guard.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError
