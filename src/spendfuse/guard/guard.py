"""The guard: asks the store before a request is made, and tells it afterwards what it cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from spendfuse.clock import utc_now
from spendfuse.errors import InputError, SettingsError, SpendfuseError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.asking import Attribute, asked_as, checked_id, levels_of
from spendfuse.guard.errors import (
    BudgetFigures,
    FuseTrippedError,
)
from spendfuse.guard.estimate import (
    LEAST_TOKENS,
    Dollars,
    Estimator,
    amount_nano_usd,
)
from spendfuse.guard.granting import Granting
from spendfuse.guard.health import BudgetGauge, Counts, GuardHealth
from spendfuse.guard.in_force import FuseInForce, LimitsInForce, LimitsSource
from spendfuse.guard.refusal import figures
from spendfuse.guard.reservation import Reservation, Reserving
from spendfuse.guard.seeded import SeededStore, Spent
from spendfuse.guard.settling import Settling
from spendfuse.guard.step import Reserve, Settled, room
from spendfuse.guard.store import Store
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.guard.tree import Levels
from spendfuse.guard.workers import Workers
from spendfuse.metering.estimate import DEFAULT_MAX_TOKENS
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.record import RecordIds

logger = logging.getLogger(__name__)
HOLD_SECONDS = 600.0
LEAST_HOLD_SECONDS, MOST_HOLD_SECONDS = 0.001, 30 * 86_400.0
"""What every store keeps: milliseconds, and for less long than it keeps counters."""


class Guard:
    """Reserves money for requests; safe to share between threads and tasks.

    Every budget that matches a request's attributes is charged: those given, those of
    ``attributed()`` around it, and ``model`` and ``provider``. Users are counted by their real
    ids, hashed in the counters' names; pseudonyms are the tracker's affair.

    Args:
        limits: budgets, or ``Limits``, or a function that returns the limits in force; it is
            asked for every request, so it must be quick.
        store: where the counters are; by default in this process. Around a shared one goes a
            ``Fallback``: it does what each budget's ``when_down`` says; without it, all refuse.
        prices: for estimates by model and prompt; by default the installed price book, opened
            when it is first needed, which takes half a second.
        spent: what the ledger says, for counters that the store does not have (any more).
        fuse: the fuse's state; while it is tripped, everything is refused.
        hold_seconds: after this time a hold ends by itself.
        default_max_tokens: output that is assumed of a call without ``max_tokens``.
        max_output_tokens: the most that a model can put out, by model.
        least_tokens: a ``fit`` budget lowers no call below this much output.
        now: the time, aware.

    Example:
        >>> from spendfuse.budget import Budget
        >>> guard = Guard([Budget("all", 100 * 10**9, "month")])
        >>> with guard.reserve("0.05", user="u-17") as held:
        ...     held.settle("0.0123")
    """

    def __init__(
        self,
        limits: LimitsSource,
        *,
        store: Store | None = None,
        prices: PriceBook | None = None,
        spent: Spent | None = None,
        fuse: Callable[[], FuseState] | None = None,
        hold_seconds: float = HOLD_SECONDS,
        default_max_tokens: int = DEFAULT_MAX_TOKENS,
        max_output_tokens: Mapping[str, int] | None = None,
        least_tokens: int = LEAST_TOKENS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if not _lasts(hold_seconds):
            raise SettingsError(
                f"hold_seconds must be from {LEAST_HOLD_SECONDS} to {MOST_HOLD_SECONDS:.0f} "
                f"(30 days), got {hold_seconds!r}"
            )
        self._limits = LimitsInForce(limits)
        self._fuse = FuseInForce(fuse)
        self._asks_fuse = fuse is not None
        self._store = MemoryStore() if store is None else store
        self._hold_seconds = hold_seconds
        self._now = now
        self._ids = RecordIds()
        self._counts = Counts()
        self._workers = Workers()
        self._seeded = SeededStore(self._store, spent, self._counts, hold_seconds=hold_seconds)
        self._granting = Granting(self._store, self._seeded, self._counts)
        self._estimator = Estimator(
            prices,
            default_max_tokens=default_max_tokens,
            max_output_tokens=max_output_tokens,
            least_tokens=least_tokens,
        )
        self.settling = Settling(
            self._seeded, self._counts, self._workers, is_local=self._store.is_local
        )
        """Ends reservations that end by themselves."""

    def reserve(
        self,
        estimate_usd: Dollars | None = None,
        *,
        model: str = "",
        provider: str = "",
        prompt: object = None,
        max_tokens: int | None = None,
        tier: str | None = None,
        batch: bool = False,
        hold_id: str | None = None,
        **attributes: Attribute,
    ) -> Reservation:
        """Hold an estimate on every budget that applies, or on none.

        In coroutines, ``reserve_async`` or ``async with guard.reserving(…)``: this waits for a
        store that other processes share.

        Args:
            estimate_usd: dollars; or leave it out and give ``model`` and ``prompt``.
            model: what will be called; budgets match on it.
            provider: where the model's name does not tell.
            prompt: a text or messages, or the number of input tokens.
            max_tokens: the limit on output that the call will carry. None: the smaller of the
                model's maximum and the default; send the reservation's ``max_tokens``.
            tier: flex, priority or fast.
            batch: through the provider's batch interface.
            hold_id: the same id again gives the same answer and holds nothing more.
            **attributes: user, team, feature, …, over those of ``attributed()``.

        Raises:
            BudgetExceededError: it does not fit.
            RateExceededError: it would be too many dollars within a minute.
            FuseTrippedError: the fuse is tripped.
            GuardDownError: the store can't be reached, and a budget refuses then.
            UnknownModelError: the price book does not know the model.
            ReservationError: the id is used already, for something else.
            InputError: an amount, an attribute or a number of tokens can't be.
        """
        if not self._store.is_local:
            self._workers.mind_the_loop("reserve")
        if self._asks_fuse:
            self.check_fuse()
        at = self._now()
        call = None
        if estimate_usd is None:
            call = self._estimator.asked(
                model, provider, prompt, max_tokens=max_tokens, tier=tier, batch=batch, at=at
            )
            max_tokens, provider = call.max_tokens, call.price.provider
        elif prompt is not None:
            raise InputError("an estimate is given in dollars or by a prompt, not by both")
        nano = amount_nano_usd(estimate_usd) if call is None else call.most_nano_usd
        if model:
            attributes["model"] = model
        if provider:
            attributes["provider"] = provider
        levels = self._levels(attributes, at)
        least = nano if call is None or not levels.fits else self._estimator.least_nano_usd(call)
        step = Reserve(
            self._ids() if hold_id is None else checked_id(hold_id),
            nano,
            least,
            levels.budgets,
            levels.rates,
            self._hold_seconds,
            self._seeded.seeds,
            calls_in=True,
        )
        granted = self._granting.granted(step, at)
        hold, is_lowered = granted.hold, False
        if call is not None and hold.nano_usd < nano:
            max_tokens, is_lowered = self._granting.lowered(granted, call), True
        return Reservation(
            self,
            hold,
            call=call,
            max_tokens=max_tokens,
            observed=self._granting.observed(granted) if levels.observes else (),
            is_lowered=is_lowered,
            is_again=granted.is_again,
        )

    @asked_as(reserve)
    async def reserve_async(self, estimate_usd: Dollars | None = None, **call: Any) -> Reservation:
        """Reserve without keeping the event loop waiting; arguments and errors as ``reserve``.

        Where the task is cancelled meanwhile, nothing stays held.
        """
        work = partial(self.reserve, estimate_usd, **call)
        if not self._would_wait(opens_book=estimate_usd is None):
            return work()
        return await self._workers.run(work, undo=_take_back)

    @asked_as(reserve)
    def reserving(self, estimate_usd: Dollars | None = None, **call: Any) -> Reserving:
        """Return what reserves when it is entered, by ``with`` or ``async with``."""
        return Reserving(self, {"estimate_usd": estimate_usd, **call})

    def settle(self, reservation: Reservation | str, cost_usd: Dollars) -> Settled:
        """Charge what a request really cost; by its bare id, from another process too.

        Raises:
            ReservationError: nobody knows the id, or it was settled with another amount; nothing
                was counted.
            UnavailableError: the store can't be reached; the same call again counts once.
        """
        nano = amount_nano_usd(cost_usd)
        if not self._store.is_local:
            self._workers.mind_the_loop("settle")
        if not isinstance(reservation, Reservation):
            return self._seeded.settle(self._seeded.find(checked_id(reservation)), nano)
        reservation.wants(self, nano)
        settled = self._seeded.settle(reservation.hold, nano)
        reservation.told()
        return settled

    async def settle_async(self, reservation: Reservation | str, cost_usd: Dollars) -> Settled:
        """Charge what a request cost, even if the task is cancelled meanwhile."""
        if self._store.is_local:
            return self.settle(reservation, cost_usd)
        if isinstance(reservation, Reservation):
            # Here and not in the thread: a ``with`` that is cancelled meanwhile ends as was said.
            reservation.wants(self, amount_nano_usd(cost_usd))
        return await self._workers.finish(partial(self.settle, reservation, cost_usd))

    def release(self, reservation: Reservation | str) -> bool:
        """Let go of a reservation, nothing charged; False if it was gone or settled already.

        Raises:
            ReservationError: nobody knows the id.
            UnavailableError: the store can't be reached.
        """
        if not isinstance(reservation, Reservation):
            return self._seeded.release(self._seeded.find(checked_id(reservation)))
        reservation.wants(self, None)
        is_released = self._seeded.release(reservation.hold)
        reservation.told()
        return is_released

    async def release_async(self, reservation: Reservation | str) -> bool:
        """Let go of a reservation, even if the task is cancelled meanwhile."""
        if self._store.is_local:
            return self.release(reservation)
        if isinstance(reservation, Reservation):
            reservation.wants(self, None)
        return await self._workers.finish(partial(self.release, reservation))

    def check_fuse(self) -> None:
        """Ask the fuse alone.

        Raises:
            FuseTrippedError: it is tripped.
        """
        try:
            self._fuse.check()
        except FuseTrippedError as error:
            self._counts.refuse(error)
            raise

    async def check_fuse_async(self) -> None:
        """Ask the fuse without keeping the event loop waiting."""
        if self._fuse.would_wait():
            await self._workers.finish(self.check_fuse)
        else:
            self.check_fuse()

    def fuse_state(self) -> FuseState | None:
        """Return the fuse's last known state; None where the guard asks no fuse."""
        return self._fuse.state()

    def check(self, **attributes: Attribute) -> list[BudgetFigures]:
        """Return how the budgets of such a request stand, holding nothing.

        Raises:
            UnavailableError: the store, or the ledger for a missing counter, can't be asked.
        """
        levels = self._levels(attributes, self._now()).budgets
        return [
            figures(level, standing, is_short=room(level, standing) <= 0)
            for level, standing in zip(levels, self._seeded.standings(levels), strict=True)
        ]

    def health(self) -> GuardHealth:
        """Return what this guard has done."""
        return self._counts.health(
            fuse_unreadable=self._fuse.failures, limits_unreadable=self._limits.failures
        )

    def gauges(self) -> list[BudgetGauge]:
        """Return how the budgets stand that are not ``per`` anything: for metrics.

        It asks the store once, and the ledger for each budget.
        """
        tree, now = self._limits.tree(), self._now()
        levels = [tree.level(each, "", now) for each in tree.limits.budgets if each.per is None]
        return self._seeded.gauges(levels)

    def close(self) -> None:
        """Wait for what runs, and let go of threads and connections."""
        self._workers.close()
        self._store.close()

    def _levels(self, attributes: dict[str, Attribute], at: datetime) -> Levels:
        tree = self._limits.tree()
        if tree.asks_provider and "model" in attributes and "provider" not in attributes:
            attributes["provider"] = self._estimator.provider_of(attributes["model"], at=at)
        return levels_of(tree, attributes, at)

    def _would_wait(self, *, opens_book: bool) -> bool:
        return (
            not self._store.is_local
            or self._seeded.asks_ledger
            or (opens_book and not self._estimator.is_open)
            or self._limits.would_wait()
            or self._fuse.would_wait()
        )


def _lasts(hold_seconds: object) -> bool:
    if isinstance(hold_seconds, bool) or not isinstance(hold_seconds, int | float):
        return False
    return LEAST_HOLD_SECONDS <= hold_seconds <= MOST_HOLD_SECONDS


def _take_back(reservation: Reservation) -> None:
    """Release what a cancelled task reserved; an earlier attempt's hold is not its own."""
    if not reservation.is_again:
        with suppress(SpendfuseError):
            reservation.release()
